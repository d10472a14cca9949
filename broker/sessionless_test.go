package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

func TestRequestsWithoutASession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a", "asks")
		one.scripts["a"] = func(x *exchange) {
			x.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + x.id + `,"progress":1}}`)
			x.end(`{"content":[{"type":"resource_link","uri":"a:b"}],"x":1.0}`)
		}
		one.scripts["asks"] = func(x *exchange) {
			x.say(askName)
			x.end(`{"content":[],"structuredContent":` + x.hear(x.ctx) + `}`)
		}
		c := config("one", "new")
		c.Sessionless = true
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "new": modernOne("a")})
		call := func(params string) string {
			return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{` + params + `}}`
		}
		for _, tt := range []struct {
			body   string
			header map[string]string
			status int
			want   string
		}{
			{`{"jsonrpc":"2.0","id":7,"method":"ping"}`, nil, 200, `"result":{}`},
			{`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`, nil, 200, `one_asks`},
			{call(`"name":"one_a"`), nil, 200, `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"resource_link","uri":"one+a:b"}],"x":1.0}}`},
			{call(`"name":"one_a","_meta":{"progressToken":5}`), nil, 200, `"progressToken":5`},
			{call(`"name":"one_asks"`), nil, 200, `"code":-32601`},
			{call(`"name":"one_x"`), nil, 200, `"code":-32602`},
			{call(`"name":"new_a"`), nil, 200, `within a session only`},
			{`{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"one+a:b"}}`, nil, 200, `"code":-32601`},
			{`{"jsonrpc":"2.0","id":7,"method":"logging/setLevel","params":{"level":"info"}}`, nil, 400, `initialize first`},
			{`{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":{"uri":"one+a:b"}}`, nil, 400, `initialize first`},
			{`{"jsonrpc":"2.0","id":7,"method":"x"}`, nil, 200, `"code":-32601`},
			{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil, 202, ``},
			{`{"jsonrpc":"2.0","id":7,"result":{}}`, nil, 400, `initialize first`},
			{`[{"jsonrpc":"2.0","id":7,"method":"ping"}]`, nil, 400, `initialize first`},
			{call(`"name":"one_a"`), map[string]string{"Mcp-Session-Id": "unknown"}, 404, `session not found`},
		} {
			if got := g.request("POST", tt.body, tt.header); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("%s: %d %s\nwant %d %s", tt.body, got.status, got.body, tt.status, tt.want)
			}
		}
		if got := g.request("GET", "", nil); got.status != 400 {
			t.Errorf("GET: %d", got.status)
		}
		if one.sessions() != 1 || !strings.Contains(one.live["s2"], `"capabilities":{}`) {
			t.Errorf("%d sessions, %s", one.sessions(), one.live["s2"])
		}
		c.Sessionless = false
		g.apply(c)
		if got := g.request("POST", call(`"name":"one_a"`), nil); got.status != 400 {
			t.Errorf("refused no more: %d", got.status)
		}
	})
}
