package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// A call whose server is the filter's to reach is refused for the reason that holds.
func TestCallThatIsNotTheBrokers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("old", "new")}, map[string]http.Handler{"old": raw("a"), "new": modernOne("a")})
		session := map[string]string{"Mcp-Session-Id": g.open()}
		for _, call := range []struct {
			body   string
			header map[string]string
		}{
			{stateless("7", "tools/call", `"name":"new_a"`), mirrors("tools/call", "new_a")},
			{toolCall("old_a", ""), session},
		} {
			got := g.request("POST", call.body, call.header)
			if got.status != 200 || !strings.Contains(got.body, "-32603") || !strings.Contains(got.body, "filter is not active") {
				t.Errorf("without a filter: %d %s", got.status, got.body)
			}
			call.header["X-Mcp-Long"] = "1"
			got = g.request("POST", call.body, call.header)
			if got.status != 200 || !strings.Contains(got.body, "-32603") || !strings.Contains(got.body, "has just changed, call again") {
				t.Errorf("behind a filter: %d %s", got.status, got.body)
			}
		}
	})
}
