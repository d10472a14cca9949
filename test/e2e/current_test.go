package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// What is taken from clients may be called by the table of before for half a second at
// most, however often it is called.
func TestHowLongTheTableOfBeforeCounts(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{5 * time.Millisecond, 200 * time.Millisecond, 450 * time.Millisecond, 700 * time.Millisecond} {
		t.Run(every.String(), func(t *testing.T) {
			t.Parallel()
			a := mcpserver.Start(t, tools("a", "kept", "taken"))
			config := harness.Config{Servers: []harness.Server{behind(a, "a")}}
			g := harness.Run(t, config)
			c := harness.Connect(t, g.URL)
			config.More = "authorization: {default: allow, rules: [{name: taken, effect: deny, tools: [a_taken]}]}\n"
			tick := time.NewTicker(every)
			defer tick.Stop()
			var took []time.Duration
			for range 3 {
				table := tableOf(g)
				g.Reload(config)
				var since time.Time // the broker has the new table
				for range tick.C {
					if since.IsZero() && tableOf(g) != table {
						since = time.Now()
					}
					if r := c.Post(call("1", "a_taken")); !ok(r) {
						break
					}
				}
				if since.IsZero() {
					since = time.Now()
				}
				took = append(took, time.Since(since))
				g.Reload(harness.Config{Servers: config.Servers})
				harness.Eventually(t, "it is back", func() bool { return ok(c.Post(call("1", "a_taken"))) })
			}
			if worst := slices.Max(took); worst > 500*time.Millisecond+2*every {
				t.Errorf("it was called for %v longer", worst)
			}
			t.Logf("called every %v, for %v longer", every, took)
		})
	}
}

// tableOf is the version of the broker's routing table.
func tableOf(g *harness.Gateway) string {
	_, rest, _ := strings.Cut(g.RawStatus(), `"table":"`)
	version, _, _ := strings.Cut(rest, `"`)
	return version
}
