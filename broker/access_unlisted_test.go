package broker

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"mcp-gateway/internal/gatewayconfig"
)

// A stateless call to a server that was never listed is told that the server is
// down, as one in a session is, unless a rule hides the name, or the other one that
// the server's lists may come to show it under.
func TestStatelessCallsToAnUnlistedServerAreDecided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := accessConfig("one", "down", "late")
		c.Authorization.Rules[0].When = "true"
		c.Authorization.Rules[1].Tools = []string{"*_delete", "late_drop", "erase"}
		c.Servers[2].OnConflict = true
		c.Views = []gatewayconfig.View{{Name: "team", Servers: []string{"down"}, Tools: gatewayconfig.Rules{Allow: []string{"*_a"}}}}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a")})
		for _, tt := range []struct{ path, name, server string }{
			{"", "down_a", "down"}, {"", "down_delete", ""},
			{"", "late_a", "late"}, {"", "other", "late"},
			{"", "late_drop", ""}, {"", "drop", ""}, {"", "late_erase", ""}, {"", "erase", ""},
			{"/mcp/team", "down_a", "down"}, {"/mcp/team", "down_b", ""}, {"/mcp/team", "late_a", ""},
		} {
			g.path = tt.path
			h := scoped("read")
			maps.Copy(h, mirrors("tools/call", tt.name))
			got := g.request("POST", stateless("1", "tools/call", `"name":"`+tt.name+`"`), h)
			want := `"code":-32602,"message":"Unknown tool: ` + tt.name + `"`
			if tt.server != "" {
				want = `"code":-32603,"message":"server ` + tt.server + ` `
			}
			if !strings.Contains(got.body, want) {
				t.Errorf("%s %s: %d %s", tt.path, tt.name, got.status, got.body)
			}
		}
	})
}
