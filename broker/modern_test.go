package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"mcp-gateway/broker/rawserver"
)

// meta is what a stateless request carries of itself.
const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// stateless is a request of 2026-07-28; params may be empty.
func stateless(id, method, params string) string {
	if params != "" {
		params += ","
	}
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":{` + params + meta + `}}`
}

// mirrors are the headers that go with a stateless request; name may be empty.
func mirrors(method, name string) map[string]string {
	return map[string]string{"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": name}
}

// modern sends a stateless request without a name.
func (g *gateway) modern(method, params string) answer {
	g.t.Helper()
	return g.request("POST", stateless("1", method, params), mirrors(method, ""))
}

func TestEveryModernStatus(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	const supported = `{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"requested":`
	ping := `{"jsonrpc":"2.0","id":7,"method":"ping"}`
	list := stateless("7", "tools/list", "")
	future := strings.Replace(list, "2026-07-28", "2031-01-01", 1)
	for _, test := range []struct {
		name   string
		verb   string // POST if empty
		body   string
		header headers
		status int
		want   string // id, code, and data if any
	}{
		{name: "no _meta", body: ping, header: headers{"Mcp-Protocol-Version": "2026-07-28"}, status: 400, want: `7 -32602`},
		{name: "no _meta, by Mcp-Method", body: ping, header: headers{"Mcp-Method": "ping"}, status: 400, want: `7 -32602`},
		{name: "no _meta, by Mcp-Name", body: ping, header: headers{"Mcp-Name": "x"}, status: 400, want: `7 -32602`},
		{name: "no capabilities", body: `{"jsonrpc":"2.0","id":"d","method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, header: mirrors("server/discover", ""), status: 400, want: `"d" -32602`},
		{name: "by _meta alone", body: list, status: 400, want: `7 -32020`},
		{name: "other revision in the header", body: list, header: headers{"Mcp-Protocol-Version": "2025-11-25", "Mcp-Method": "tools/list"}, status: 400, want: `7 -32020`},
		{name: "other method", body: list, header: mirrors("prompts/list", ""), status: 400, want: `7 -32020`},
		{name: "other name", body: stateless("7", "tools/call", `"name":"one_a"`), header: mirrors("tools/call", "one_b"), status: 400, want: `7 -32020`},
		{name: "future", body: future, header: headers{"Mcp-Protocol-Version": "2031-01-01", "Mcp-Method": "tools/list"}, status: 400, want: `7 -32022 ` + supported + `"2031-01-01"}`},
		{name: "unknown method", body: stateless("7", "tools/burn", ""), header: mirrors("tools/burn", ""), status: 404, want: `7 -32601`},
		{name: "initialize", body: stateless("7", "initialize", `"protocolVersion":"2026-07-28"`), header: mirrors("initialize", ""), status: 404, want: `7 -32601`},
		{name: "ping", body: stateless("7", "ping", ""), header: mirrors("ping", ""), status: 404, want: `7 -32601`},
		{name: "level", body: stateless("7", "logging/setLevel", `"level":"debug"`), header: mirrors("logging/setLevel", ""), status: 404, want: `7 -32601`},
		{name: "subscribe", body: stateless("7", "resources/subscribe", `"uri":"a:b"`), header: mirrors("resources/subscribe", ""), status: 404, want: `7 -32601`},
		{name: "unsubscribe", body: stateless("7", "resources/unsubscribe", `"uri":"a:b"`), header: mirrors("resources/unsubscribe", ""), status: 404, want: `7 -32601`},
		{name: "call of no such tool", body: stateless("7", "tools/call", `"name":"one_b"`), header: mirrors("tools/call", "one_b"), status: 200, want: `7 -32602`},
		{name: "task without filter", body: stateless("7", "tasks/get", `"taskId":"t"`), header: mirrors("tasks/get", "t"), status: 200, want: `7 -32603`},
		{name: "notification", body: `{"jsonrpc":"2.0","method":"notifications/x"}`, header: headers{"Mcp-Protocol-Version": "2026-07-28"}, status: 202},
		{name: "response", body: `{"jsonrpc":"2.0","id":1,"result":{}}`, header: headers{"Mcp-Protocol-Version": "2026-07-28"}, status: 400, want: `null -32600`},
		{name: "batch", body: `[` + list + `]`, header: headers{"Mcp-Protocol-Version": "2026-07-28"}, status: 400, want: `null -32600`},
		{name: "foreign cursor", body: stateless("7", "tools/list", `"cursor":"abc"`), header: mirrors("tools/list", ""), status: 200, want: `7 -32602`},
		{name: "stream", verb: "GET", header: headers{"Mcp-Protocol-Version": "2026-07-28"}, status: 405, want: `null -32600`},
		{name: "stream of the future", verb: "GET", header: headers{"Mcp-Protocol-Version": "2031-01-01"}, status: 405, want: `null -32600`},
		{name: "delete", verb: "DELETE", header: headers{"Mcp-Protocol-Version": "2026-07-28"}, status: 405, want: `null -32600`},
		{name: "put", verb: "PUT", header: headers{"Mcp-Protocol-Version": "2026-07-28"}, status: 405, want: `null -32600`},
		{name: "content type", body: list, header: headers{"Content-Type": "text/plain"}, status: 415, want: `null -32600`},
		{name: "accept", body: list, header: headers{"Accept": "application/json"}, status: 406, want: `null -32600`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
				verb := test.verb
				if verb == "" {
					verb = "POST"
				}
				header := headers{"Mcp-Session-Id": "unknown"}
				for name, value := range test.header {
					header[name] = value
				}
				got := g.request(verb, test.body, header)
				brief, _ := describe(got.body)
				if got.status != test.status || brief != test.want {
					t.Errorf("%d %s\nwant %d %s", got.status, got.body, test.status, test.want)
				}
				if id := got.header.Values("Mcp-Session-Id"); id != nil {
					t.Errorf("session id %q", id)
				}
				if allow := got.header.Get("Allow"); got.status == 405 && allow != "POST" {
					t.Errorf("Allow: %q", allow)
				}
			})
		})
	}
}

func TestPrincipalIsNoCredential(t *testing.T) {
	t.Parallel()
	with := func(values ...string) string {
		return credentialOf(&http.Request{Header: http.Header{"Authorization": values}})
	}
	if got := credentialOf(&http.Request{}); got != "" {
		t.Errorf("%q without a credential", got)
	}
	one, other := with("Bearer a"), with("Bearer b")
	if one == other || one != with("Bearer a") || len(one) != 64 || strings.Contains(one, "Bearer") {
		t.Errorf("%q, %q", one, other)
	}
}

// What a subscription or a pooled session keeps of its client is bounded.
func TestLargeCapabilitiesAreNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		config := config("one")
		config.Limits.Body = 1 << 20
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) { rawserver.Respond(x.w, x.id, `{"content":[]}`) }
		g := newGateway(t, setup{config: config}, map[string]http.Handler{"one": one})
		large := strings.Repeat("x", largestKept)
		if got := g.call("a", `{"roots":{"x":"`+large+`"}}`, "", "", nil); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
		for _, r := range one.Requests("POST", "initialize") {
			if strings.Contains(r.Body, large) {
				t.Errorf("a session was opened with %d bytes", len(r.Body))
			}
		}
	})
}
