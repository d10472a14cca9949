package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// declaring is a stateless request of a client with these capabilities.
func declaring(id, method, params, capabilities, more string) string {
	text := stateless(id, method, params)
	return strings.Replace(text, `clientCapabilities":{}`, `clientCapabilities":`+capabilities+more, 1)
}

// call sends a call of a tool of server one.
func (g *gateway) call(tool, capabilities, params, more string, header map[string]string) answer {
	g.t.Helper()
	h := mirrors("tools/call", "one_"+tool)
	for name, value := range header {
		h[name] = value
	}
	if params != "" {
		params = "," + params
	}
	return g.request("POST", declaring("7", "tools/call", `"name":"one_`+tool+`"`+params, capabilities, more), h)
}

// required is an answer that asks for input.
type required struct {
	Result struct {
		ResultType    string
		InputRequests map[string]struct {
			Method string
			Params json.RawMessage
		}
		RequestState string
	}
}

func mustAsk(t *testing.T, got answer) required {
	t.Helper()
	var r required
	if err := json.Unmarshal([]byte(got.body), &r); err != nil || r.Result.ResultType != "input_required" {
		t.Fatalf("%d %s, want input_required (%v)", got.status, got.body, err)
	}
	return r
}

func TestCallCrossesInAPooledSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) {
			rawserver.Respond(x.w, x.id, `{"content":[],"structuredContent":{"n":1.0e400}}`)
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		const want = `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[],"structuredContent":{"n":1.0e400}}}`
		for range 3 {
			got := g.call("a", `{"roots":{}}`, `"arguments":{"n":1e400}`, `,"traceparent":"00"`, nil)
			if got.status != 200 || got.body != want || got.header.Get("Content-Type") != "application/json" {
				t.Fatalf("%d %v %s", got.status, got.header, got.body)
			}
		}
		calls := one.Requests("POST", "tools/call")
		ids := map[string]bool{}
		for _, c := range calls {
			var m struct{ ID string }
			if err := json.Unmarshal([]byte(c.Body), &m); err != nil || !strings.HasPrefix(m.ID, "call-") {
				t.Fatalf("%s: %v", c.Body, err)
			}
			ids[m.ID] = true
			rest := strings.Replace(c.Body, `"`+m.ID+`"`, "ID", 1)
			if rest != `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"a","arguments":{"n":1e400},"_meta":{"traceparent":"00"}}}` {
				t.Errorf("sent %s", rest)
			}
			h := c.Header
			if h.Get("Mcp-Session-Id") != "s2" || h.Get("Mcp-Protocol-Version") != "2025-11-25" || h.Get("Mcp-Method") != "" || h.Get("Authorization") != "" {
				t.Errorf("headers %v", h)
			}
		}
		if len(ids) != 3 || one.sessions() != 1 {
			t.Errorf("%d ids, %d sessions", len(ids), one.sessions())
		}
		if !strings.Contains(one.live["s2"], `"capabilities":{"roots":{}}`) || !strings.Contains(one.live["s2"], `"clientInfo":{"name":"gw"`) {
			t.Errorf("opened with %s", one.live["s2"])
		}
		g.call("a", `{}`, "", "", nil)
		g.call("a", `{"roots":{}}`, "", "", map[string]string{"Authorization": "Bearer secret"})
		g.call("a", `{"roots":{} }`, "", "", nil) // the same in another spelling
		if one.sessions() != 3 || g.broker.Status().Servers[0].Pooled != 3 {
			t.Errorf("%d sessions, %+v", one.sessions(), g.broker.Status().Servers)
		}
		for _, r := range one.Seen() {
			if strings.Contains(r.Body+fmt.Sprint(r.Header), "secret") {
				t.Errorf("a credential: %+v", r)
			}
		}
		time.Sleep(pooledIdle + time.Second)
		synctest.Wait()
		if one.sessions() != 0 || g.broker.Status().Servers[0].Pooled != 0 {
			t.Errorf("%d sessions after a while", one.sessions())
		}
		g.call("a", `{}`, "", "", nil)
		g.stop()
		if one.sessions() >= 1 {
			t.Errorf("%d sessions after the end", one.sessions())
		}
	})
}

func TestCallsOfOneCallerAtOnceOpenOneSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		var all sync.WaitGroup
		all.Add(3)
		one.scripts["a"] = func(x *exchange) { all.Done(); all.Wait(); x.end(`{"content":[]}`) }
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		var clients sync.WaitGroup
		for range 3 {
			clients.Go(func() {
				if got := g.call("a", `{}`, "", "", nil); !strings.Contains(got.body, `"resultType":"complete"`) {
					t.Errorf("%s", got.body)
				}
			})
		}
		clients.Wait()
		if n := one.sessions(); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestCallOfAForgottenSessionIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		ran := 0
		one.scripts["a"] = func(x *exchange) { ran++; x.end(`{"content":[]}`) }
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		g.call("a", `{}`, "", "", nil)
		one.mu.Lock()
		delete(one.live, "s2")
		one.mu.Unlock()
		if got := g.call("a", `{}`, "", "", nil); !strings.Contains(got.body, `"resultType":"complete"`) || ran != 2 {
			t.Errorf("%s, ran %d", got.body, ran)
		}
		if calls := one.Requests("POST", "tools/call"); calls[len(calls)-1].Header.Get("Mcp-Session-Id") != "s3" {
			t.Errorf("sent %+v", calls)
		}
	})
}

func TestProgressAndLogsOfACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) {
			x.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + x.id + `,"progress":1.0}}`)
			x.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"another","progress":1}}`)
			x.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"debug","data":"d"}}`)
			x.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"e"}}`)
			x.say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
			// What comes on the session's stream is whose token it is; logs are nobody's.
			x.streams[x.session] <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":" + x.id + ",\"progress\":2}}\n\n"
			x.streams[x.session] <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"error\",\"data\":\"nobody's\"}}\n\n"
			time.Sleep(time.Second)
			x.end(`{"content":[]}`)
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		const token, wantsInfo = `,"progressToken":5`, `,"io.modelcontextprotocol/logLevel":"info"`
		got := g.call("a", `{}`, "", token+wantsInfo, nil)
		const want = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":5,\"progress\":1.0}}\n\n" +
			"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"error\",\"data\":\"e\"}}\n\n" +
			"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":5,\"progress\":2}}\n\n" +
			"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"resultType\":\"complete\",\"content\":[]}}\n\n"
		if got.status != 200 || got.body != want || got.header.Get("X-Accel-Buffering") != "no" || got.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%d %v\n%s", got.status, got.header, got.body)
		}
		// Who asks for neither gets neither.
		if got := g.call("a", `{}`, "", "", nil); got.body != `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}` {
			t.Errorf("%s", got.body)
		}
		g.call("a", `{}`, "", `,"io.modelcontextprotocol/logLevel":"warning"`, nil)
		g.call("a", `{}`, "", `,"io.modelcontextprotocol/logLevel":"debug"`, nil)
		var levels []string
		for _, r := range one.Requests("POST", "logging/setLevel") {
			levels = append(levels, r.Body[strings.Index(r.Body, `"level"`):])
		}
		if fmt.Sprint(levels) != `["level":"info"}} "level":"debug"}}]` {
			t.Errorf("levels %v", levels)
		}
	})
}

// A stateless client that leaves has cancelled its request.
func TestLeavingCancelsTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		called := make(chan string, 1)
		one.scripts["a"] = func(x *exchange) { called <- x.id; <-x.ctx.Done() }
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "POST", "http://gateway/mcp", strings.NewReader(stateless("7", "tools/call", `"name":"one_a"`)))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range mirrors("tools/call", "one_a") {
			r.Header.Set(name, value)
		}
		r.Header.Set("Content-Type", "application/json")
		done := make(chan error, 1)
		go func() { _, err := g.public.Do(r); done <- err }()
		id := <-called
		leave()
		<-done
		if told := one.hear(t.Context()); told != `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+id+`,"reason":"the client has left"}}` {
			t.Errorf("told %s", told)
		}
		synctest.Wait()
	})
}

func TestCallIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) { <-x.ctx.Done() }
		c := config("one")
		c.Servers[0].CallTimeout = gatewayconfig.Duration(time.Minute)
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		began := time.Now()
		got := g.call("a", `{}`, "", "", nil)
		// Meanwhile there were comments.
		if !strings.HasPrefix(got.body, ": keep-alive\n\n: keep-alive\n\n") || !strings.Contains(got.body, `"code":-32603,"message":"server one does not answer in time"`) || time.Since(began) != time.Minute {
			t.Errorf("%s after %v", got.body, time.Since(began))
		}
		if told := one.hear(t.Context()); !strings.Contains(told, "notifications/cancelled") {
			t.Errorf("told %s", told)
		}
	})
}

func TestCallsThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a", "broken", "text", "error", "url", "task")
		one.Results["prompts/list"] = `{"prompts":[{"name":"p"}]}`
		one.Results["prompts/get"] = `{"messages":[]}`
		one.Results["completion/complete"] = `{"completion":{"values":[]}}`
		one.Results["tools/list"] = strings.Replace(one.Results["tools/list"], `{"name":"a"}`, `{"name":"a","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"Region"}}}}`, 1)
		one.scripts["a"] = func(x *exchange) { x.end(`{"content":[]}`) }
		one.scripts["broken"] = func(x *exchange) { x.say(`{"jsonrpc":"2.0","method":"x"}`) }
		one.scripts["text"] = func(x *exchange) { http.Error(x.w, address, 500) }
		one.scripts["error"] = func(x *exchange) {
			x.w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(x.w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32002,"message":"m","data":{"x":1.0}}}`, x.id)
		}
		one.scripts["url"] = func(x *exchange) {
			x.say(`{"jsonrpc":"2.0","id":` + x.id + `,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://a","message":"go"}]}}}`)
		}
		one.scripts["task"] = func(x *exchange) { x.end(`{"task":{"taskId":"t"}}`) }
		g := newGateway(t, setup{config: config("one", "down")}, map[string]http.Handler{"one": one})
		type headers = map[string]string
		for _, tt := range []struct {
			method, params, named string
			more                  headers
			status                int
			want                  string // what the body holds
		}{
			{"tools/call", `"name":"one_x"`, "one_x", nil, 200, `"code":-32602,"message":"Unknown tool: one_x"`},
			{"tools/call", `"name":"down_x"`, "down_x", nil, 200, `"code":-32603,"message":"server down `},
			{"prompts/get", `"name":"down_x"`, "down_x", nil, 200, `"code":-32603,"message":"server down `},
			{"tools/call", `"name":"down_"`, "down_", nil, 200, `"code":-32602`},
			{"tools/call", `"name":"dow_x"`, "dow_x", nil, 200, `"code":-32602`},
			{"prompts/get", `"name":"one_x"`, "one_x", nil, 200, `"code":-32602`},
			{"tools/call", `"name":5`, "5", nil, 200, `"code":-32602`},
			{"resources/read", `"uri":"file:///x"`, "file:///x", nil, 200, `"code":-32602,"message":"Resource not found","data":{"uri":"file:///x"}`},
			{"resources/read", `"uri":"one+file:///x"`, "one+file:///x", nil, 200, `"code":-32601`},
			{"tools/call", `"name":"one_broken"`, "one_broken", nil, 200, `"code":-32603,"message":"server one does not answer"`},
			{"tools/call", `"name":"one_text"`, "one_text", nil, 200, `"code":-32603,"message":"server one does not answer"`},
			{"tools/call", `"name":"one_error"`, "one_error", nil, 200, `"code":-32602,"message":"m","data":{"x":1.0}`},
			{"tools/call", `"name":"one_url"`, "one_url", nil, 400, `"code":-32021`},
			{"tools/call", `"name":"one_task"`, "one_task", nil, 200, `"code":-32603,"message":"server one answers in a form`},
			{"tools/call", `"name":"one_a","arguments":{"r":"eu"}`, "one_a", headers{"Mcp-Param-Region": "us"}, 400, `"code":-32020`},
			{"tools/call", `"name":"one_a","arguments":{"r":"eu"}`, "one_a", headers{"Mcp-Param-Region": "eu", "Mcp-Param-X": "y"}, 200, `"resultType":"complete"`},
			{"tools/call", `"name":"one_a","inputResponses":5`, "one_a", nil, 200, `"code":-32602`},
			{"tools/call", `"name":"one_a","inputResponses":{"x":{}}`, "one_a", nil, 200, `"resultType":"complete"`},
			{"tools/call", `"name":"one_a","requestState":"made up"`, "one_a", nil, 200, `"code":-32602`},
			{"prompts/get", `"name":"one_p"`, "one_p", nil, 200, `"result":{"resultType":"complete","messages":[]}`},
			{"completion/complete", `"ref":{"type":"ref/prompt","name":"one_p"},"argument":{"name":"x","value":""}`, "", nil, 200, `"result":{"resultType":"complete","completion":{"values":[]}}`},
			{"completion/complete", `"ref":{"type":"ref/resource","uri":"one+a:{b}"},"argument":{"name":"x","value":""}`, "", nil, 200, `"resultType":"complete"`},
		} {
			h := mirrors(tt.method, tt.named)
			for name, value := range tt.more {
				h[name] = value
			}
			before := len(one.Requests("POST", tt.method))
			got := g.request("POST", stateless("7", tt.method, tt.params), h)
			if got.status != tt.status || !strings.Contains(got.body, tt.want) || strings.Contains(got.body, address) {
				t.Errorf("%s %s: %d %s\nwant %d %s", tt.method, tt.params, got.status, got.body, tt.status, tt.want)
			}
			if sent := len(one.Requests("POST", tt.method)) > before; sent && (strings.Contains(tt.params, "made up") || got.status == 400 && tt.named != "one_url") {
				t.Errorf("%s %s reached the server", tt.method, tt.params)
			}
		}
	})
}
