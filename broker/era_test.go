package broker

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// The filter and the operator are told what each server was found to speak.
func TestErasAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		both, modern := raw("b"), raw("m")
		both.Discover = rawserver.Discovery(rawserver.Everything)
		modern.Discover, modern.Stateless = both.Discover, true
		c := config("legacy", "both", "modern", "down")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"legacy": raw("l"), "both": both, "modern": modern})
		synctest.Wait()
		expect := func(want ...string) {
			t.Helper()
			var table gatewayconfig.Table
			if err := gatewayconfig.Decode([]byte(g.inside("GET", gatewayconfig.PathTable, "", nil).body), &table); err != nil {
				t.Fatal(err)
			}
			for i, s := range g.broker.Status().Servers {
				told := table.Servers[i]
				if s.Era != want[i] || told.Modern != (want[i] == "both" || want[i] == "modern") || told.ModernOnly != (want[i] == "modern") {
					t.Errorf("%s: status %q, modern %v, only %v; want %q", s.Name, s.Era, told.Modern, told.ModernOnly, want[i])
				}
			}
		}
		expect("legacy", "both", "modern", "")
		if got := len(g.broker.view.Load().catalog.Table().Tools); got != 3 {
			t.Errorf("%d tools", got)
		}

		// The configuration can settle it, for a server that is connected anew then.
		before := len(both.Requests("POST", "initialize"))
		c.Servers[0].Era, c.Servers[1].Era = gatewayconfig.EraAuto, gatewayconfig.EraLegacy
		g.apply(c)
		expect("legacy", "legacy", "modern", "") // from the first moment
		time.Sleep(time.Minute)
		expect("legacy", "legacy", "modern", "")
		if got := len(both.Requests("POST", "initialize")); got != before+1 {
			t.Errorf("%d connections", got-before)
		}
		c.Servers[1].Era = gatewayconfig.EraModern
		g.apply(c)
		time.Sleep(time.Minute)
		expect("legacy", "modern", "modern", "")
	})
}

func TestBridgesAreNotAskedForTheirEra(t *testing.T) {
	t.Parallel()
	if got := bridged(gatewayconfig.Server{Name: "a", Era: gatewayconfig.EraAuto}).Era; got != gatewayconfig.EraLegacy {
		t.Errorf("spoken to as %q", got)
	}
}
