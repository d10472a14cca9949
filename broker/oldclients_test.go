package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"mcp-gateway/broker/rawserver"
)

// newLoop is a broker that is its own endpoint: without a filter that has lists,
// but no calls.
func newLoop(t *testing.T) *gateway {
	t.Helper()
	loop := &hosts{m: map[string]http.RoundTripper{}}
	c := config("one")
	c.Endpoint, c.SSEPath = "http://endpoint/mcp", "/mcp/sse"
	g := newGateway(t, setup{config: c, opts: Options{Loop: loop}}, map[string]http.Handler{"one": raw("a")})
	back, _ := rawserver.Serve(t, g.broker.Public())
	loop.set("endpoint", back)
	synctest.Wait()
	return g
}

func (g *gateway) openAt(revision string) string {
	g.t.Helper()
	got := g.request("POST", strings.Replace(initializeRequest, "2025-11-25", revision, 1), nil)
	return got.header.Get("Mcp-Session-Id")
}

func TestBatch(t *testing.T) {
	t.Parallel()
	const list = `{"jsonrpc":"2.0","id":"l","method":"tools/list"}`
	synctest.Test(t, func(t *testing.T) {
		g := newLoop(t)
		old, newer := g.openAt("2025-03-26"), g.openAt("2025-06-18")
		for _, test := range []struct {
			name   string
			body   string
			header map[string]string
			status int
			want   string
		}{
			{"answered", "[" + list + "]", map[string]string{"Mcp-Session-Id": old}, 200, `[{"jsonrpc":"2.0","id":"l","result":` + toolList("one_a") + `}]`},
			{"of its revision", "[" + list + "]", map[string]string{"Mcp-Session-Id": old, "Mcp-Protocol-Version": "2025-03-26"}, 200, `[{"jsonrpc":"2.0","id":"l","result":` + toolList("one_a") + `}]`},
			{"of another revision", "[" + list + "]", map[string]string{"Mcp-Session-Id": old, "Mcp-Protocol-Version": "2025-06-18"}, 400, `-32600`},
			{"of a newer session", "[" + list + "]", map[string]string{"Mcp-Session-Id": newer}, 400, `-32600`},
			{"without session", "[" + list + "]", nil, 400, `-32600`},
			{"of no session", "[" + list + "]", map[string]string{"Mcp-Session-Id": "x"}, 404, `-32600`},
		} {
			if got := g.request("POST", test.body, test.header); got.status != test.status || !strings.Contains(got.body, test.want) {
				t.Errorf("%s: %d %s", test.name, got.status, got.body)
			}
		}
	})
}

// A broker that was not told where its endpoint is serves no older forms.
func TestNoEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config("one")
		c.SSEPath = "/mcp"
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a")})
		id := g.openAt("2025-03-26")
		if got := g.request("POST", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, map[string]string{"Mcp-Session-Id": id}); got.status != 400 {
			t.Errorf("batch: %d %s", got.status, got.body)
		}
		if got := g.ask(id, "ping"); got != "{}" {
			t.Errorf("ping: %s", got)
		}
	})
}

// The end of an HTTP+SSE stream is the end of the session, also when the broker
// has nobody left to tell.
func TestOldClientsSessionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newLoop(t)
		id := g.openAt("2025-03-26")
		g.broker.endHere(t.Context(), id)
		if got := g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, map[string]string{"Mcp-Session-Id": id}); got.status != 404 {
			t.Errorf("ping: %d %s", got.status, got.body)
		}
		g.broker.endHere(t.Context(), id) // it is gone: nothing to do
	})
}
