package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// A server's name moves to another address, and what it is sent changes with it.
// Whatever is under way: no address gets what is for the other, the credentials or a
// session, and no call fails.
func TestWhatIsSentFollowsTheAddress(t *testing.T) {
	t.Parallel()
	places := []*mcpserver.Server{mcpserver.Start(t, one("first")), mcpserver.Start(t, one("second"))}
	at := func(i int) harness.Config {
		return harness.Config{Servers: []harness.Server{
			behind(places[i], "a", fmt.Sprintf("headers: {Authorization: of-%d}", i)), behind(places[1-i], "b"),
		}}
	}
	g := harness.Run(t, at(0))
	var over atomic.Bool
	var calling sync.WaitGroup
	for _, c := range []*harness.Client{
		harness.Connect(t, g.URL), harness.Connect(t, g.URL),
		modernClient(harness.NewClient(t, g.URL), "tools/call", "a_tool"),
	} {
		body := call("1", "a_tool")
		if c.Header.Get("Mcp-Method") != "" {
			body = modernBody("tools/call", `"name":"a_tool"`)
		}
		calling.Go(func() {
			for !over.Load() {
				if r, err := c.Try(t.Context(), "POST", body); err != nil || !ok(r) {
					t.Errorf("%v %v", r, err)
					return
				}
			}
		})
	}
	for n := range 8 {
		now := places[(n+1)%2]
		before := len(now.Received("tools/call"))
		g.Reload(at((n + 1) % 2))
		now.Wait(harness.Patience, "calls", func() bool { return len(now.Received("tools/call")) > before+5 })
	}
	over.Store(true)
	calling.Wait()
	for i, s := range places {
		ids := map[string]bool{}
		for _, r := range s.Received("tools/call") {
			if got := r.Header.Get("Authorization"); got != fmt.Sprint("of-", i) {
				t.Fatalf("%s was sent %q", s.URL(), got)
			}
			if id := r.Header.Get("Mcp-Session-Id"); id != "" {
				ids[id] = true
			}
		}
		for id := range ids {
			if !strings.HasPrefix(id, []string{"first", "second"}[i]) {
				t.Errorf("%s has another's session %s", s.URL(), id)
			}
		}
	}
}
