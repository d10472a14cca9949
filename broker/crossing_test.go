package broker

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

const allStateless = `{"tools":{},"prompts":{},"resources":{"subscribe":true},"logging":{},"completions":{}}`

// modernOne returns a server that speaks 2026-07-28 only, with some tools, a
// prompt, and no opinion on what it is called with but for its headers.
func modernOne(tools ...string) *rawserver.Server {
	s := raw(tools...)
	s.Hello, s.Session, s.Stateless = "", "", true
	s.Discover = rawserver.Discovery(allStateless)
	s.Set("prompts/list", `{"prompts":[{"name":"p"}]}`)
	return s
}

// last returns the last message that the server got under a method.
func last(s *rawserver.Server, method string) rawserver.Request {
	all := s.Requests("POST", method)
	if len(all) == 0 {
		return rawserver.Request{}
	}
	return all[len(all)-1]
}

// initialized opens a session of a client of a revision with capabilities.
func (g *gateway) initialized(version, capabilities string) string {
	g.t.Helper()
	got := g.request("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+version+`","capabilities":`+capabilities+`,"clientInfo":{"name":"c","version":"1"}}}`, nil)
	if got.status != 200 {
		g.t.Fatalf("initialize: %d %s", got.status, got.body)
	}
	return got.header.Get("Mcp-Session-Id")
}

// begin sends a message and returns the lines of the answer as they come, the
// content type first.
func (g *gateway) begin(id, body string) *events {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "POST", "http://gateway/mcp", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Mcp-Session-Id", id)
	e := &events{lines: make(chan string, 1000), close: cancel}
	go func() {
		defer close(e.lines)
		resp, err := g.public.Do(r)
		if err != nil {
			return
		}
		defer func() { _ = resp.Body.Close() }()
		e.lines <- fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Content-Type"))
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			if s.Text() != "" {
				e.lines <- s.Text()
			}
		}
	}()
	g.t.Cleanup(cancel)
	return e
}

// toolCall is a call with the id 7.
func toolCall(name, more string) string {
	return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"` + name + `"` + more + `}}`
}

// metaOf is what the server gets in _meta of a client of g.open.
const openMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"roots":{}}`

func TestCallCrosses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": one, "two": raw("b")})
		id := g.open()
		one.Set("tools/call", `{"resultType":"complete","content":[{"type":"resource_link","uri":"x:y"}],"n":1e400}`)
		one.Set("prompts/get", `{"resultType":"complete","messages":[]}`)
		one.Set("resources/read", `{"resultType":"complete","contents":[{"uri":"a:b"}],"ttlMs":5,"cacheScope":"public"}`)
		one.Set("completion/complete", `{"resultType":"complete","completion":{"values":[]}}`)
		for _, tt := range []struct{ method, params, sent, name, want string }{
			{"tools/call", `"name":"one_a","arguments":{"x":1.50}`, `"name":"a","arguments":{"x":1.50}`, "a", `{"content":[{"type":"resource_link","uri":"one+x:y"}],"n":1e400}`},
			{"prompts/get", `"name":"one_p"`, `"name":"p"`, "p", `{"messages":[]}`},
			{"resources/read", `"uri":"one+a:b"`, `"uri":"a:b"`, "a:b", `{"contents":[{"uri":"one+a:b"}]}`},
			{"completion/complete", `"ref":{"type":"ref/prompt","name":"one_p"}`, `"ref":{"type":"ref/prompt","name":"p"}`, "", `{"completion":{"values":[]}}`},
			{"completion/complete", `"ref":{"type":"ref/resource","uri":"one+a:{b}"}`, `"ref":{"type":"ref/resource","uri":"a:{b}"}`, "", `{"completion":{"values":[]}}`},
		} {
			got := g.post(id, `{"jsonrpc":"2.0","id":"x","method":"`+tt.method+`","params":{`+tt.params+`}}`)
			if want := `{"jsonrpc":"2.0","id":"x","result":` + tt.want + `}`; got.status != 200 || got.body != want || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %s\nwant %s", tt.method, got.status, got.body, want)
			}
			sent := last(one, tt.method)
			if !strings.HasSuffix(sent.Body, `,"method":"`+tt.method+`","params":{`+tt.sent+`,"_meta":{`+openMeta+`}}}`) {
				t.Errorf("sent %s", sent.Body)
			}
			if h := sent.Header; h.Get("Mcp-Session-Id") != "" || h.Get("Mcp-Name") != tt.name || h.Get("Mcp-Method") != tt.method || h.Get("Mcp-Protocol-Version") != "2026-07-28" {
				t.Errorf("headers %v", sent.Header)
			}
		}
		if n := len(one.Requests("POST", "initialize")); n > 1 {
			t.Errorf("initialize was tried %d times", n)
		}
		// What is set in the session, and only that.
		if got := g.post(id, setLevel(`"warning"`)); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
		g.post(id, toolCall("one_a", ""))
		if got := last(one, "tools/call").Body; !strings.Contains(got, openMeta+`,"io.modelcontextprotocol/logLevel":"warning"}`) {
			t.Errorf("sent %s", got)
		}
	})
}

func TestCallThatCannotCross(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		c := config("one", "two", "gone")
		c.Servers[0].CallTimeout = gatewayconfig.Duration(time.Minute)
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": raw("b")})
		id := g.open()
		type said struct {
			code       int
			data, text string
		}
		var now atomic.Pointer[said]
		now.Store(&said{})
		one.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
			code, data, text := now.Load().code, now.Load().data, now.Load().text
			switch {
			case method != "tools/call" && method != "resources/read":
				return false
			case text == "hang":
				<-r.Context().Done()
			case text != "":
				rawserver.Respond(w, id, text)
			default:
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(cmp.Or(map[int]int{-32601: 404, -5: 200}[code], 400))
				_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"m"%s}}`, id, code, data)
			}
			return true
		}
		call, read := toolCall("one_a", ""), `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"one+a:b"}}`
		for _, tt := range []struct {
			name, body string
			code       int
			data, text string
			want       string
		}{
			{name: "unknown method", body: call, code: -32601, want: `7 -32601`},
			{name: "headers", body: call, code: -32020, want: `7 -32603`},
			{name: "capability", body: call, code: -32021, data: `,"data":{"requiredCapabilities":{"sampling":{}}}`, want: `7 -32603`},
			{name: "version", body: call, code: -32022, want: `7 -32603`},
			{name: "params", body: call, code: -32602, want: `7 -32602`},
			{name: "own code", body: call, code: -5, data: `,"data":1.0`, want: `7 -5 1.0`},
			{name: "no such resource", body: read, code: -32602, data: `,"data":{"uri":"a:b"}`, want: `7 -32002 {"uri":"one+a:b"}`},
			{name: "task", body: call, text: `{"resultType":"task"}`, want: `7 -32603`},
			{name: "undeclared", body: call, text: `{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}`, want: `7 -32603`},
			{name: "endless", body: call, text: `{"resultType":"input_required","requestState":"s"}`, want: `7 -32603`},
			{name: "hang", body: call, text: "hang", want: `7 -32603`},
			{name: "unknown tool", body: toolCall("one_b", ""), want: `7 -32602`},
			{name: "unknown resource", body: strings.Replace(read, "one+a", "no+a", 1), want: `7 -32002 {"uri":"no+a:b"}`},
			{name: "no name", body: `{"jsonrpc":"2.0","id":7,"method":"prompts/get","params":{}}`, want: `7 -32602`},
			{name: "no uri", body: `{"jsonrpc":"2.0","id":7,"method":"resources/read"}`, want: `7 -32602`},
			{name: "no ref", body: `{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{}}`, want: `7 -32602`},
			{name: "legacy server", body: toolCall("two_b", ""), want: `7 -32603`},
			{name: "no such server yet", body: strings.Replace(read, "one+a", "gone+a", 1), want: `7 -32603`},
		} {
			now.Store(&said{tt.code, tt.data, tt.text})
			got := g.post(id, tt.body)
			if _, data, ok := strings.Cut(got.body, "data: "); ok { // after keep-alives
				got.body = data
			}
			if brief, _ := describe(got.body); got.status != 200 || brief != tt.want || strings.Contains(got.body, address) {
				t.Errorf("%s: %d %s\nwant %s", tt.name, got.status, got.body, tt.want)
			}
		}
		if n := len(one.Requests("POST", "tools/call")); n != 4+2+mostRounds+3 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestNotificationsPrecedeTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, out := modernOne("a"), make(chan string)
		one.Intercept = streamed(out, "tools/call")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.post(id, setLevel(`"info"`))
		call := g.begin(id, toolCall("one_a", `,"_meta":{"progressToken":"t"}`))
		const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1.0}}`
		const message = `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}`
		out <- progress
		call.wantNext(t, append([]string{"200 text/event-stream"}, event("", progress)...))
		// What belongs to nothing of the client's.
		out <- strings.Replace(progress, `"t"`, `"u"`, 1)
		out <- `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
		out <- `{"jsonrpc":"2.0","id":1,"method":"roots/list"}`
		call.wantNext(t, nil)
		out <- message
		call.wantNext(t, event("", message))
		time.Sleep(keepAliveEvery)
		synctest.Wait()
		if got := call.drain(); !slices.Equal(got, []string{": keep-alive"}) {
			t.Errorf("after a while: %q", got)
		}
		out <- `RESULT{"content":[]}`
		call.wantNext(t, append(event("", `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`), "closed"))
	})
}

// streamed answers a method with the events from out; what begins with RESULT is
// the result of the request.
func streamed(out <-chan string, methods ...string) func(http.ResponseWriter, *http.Request, string, string) bool {
	return func(w http.ResponseWriter, r *http.Request, method, id string) bool {
		if !slices.Contains(methods, method) {
			return false
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case text := <-out:
				result, over := strings.CutPrefix(text, "RESULT")
				if over {
					text = `{"jsonrpc":"2.0","id":` + id + `,"result":` + result + `}`
				}
				_, _ = fmt.Fprintf(w, "data: %s\n\n", text)
				_ = http.NewResponseController(w).Flush()
				if over {
					return true
				}
			case <-r.Context().Done():
				return true
			}
		}
	}
}

func TestArgumentsAreMirroredAsTheListsWantIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne()
		tool := func(header string) string {
			return `{"tools":[{"name":"a","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"` + header + `"}}}}]}`
		}
		one.Set("tools/list", tool("Region"))
		one.Set("tools/call", `{"content":[]}`)
		one.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
			if method != "tools/call" || r.Header.Get("Mcp-Param-Zone") == "=?base64?w6k=?=" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32020,"message":"m"}}`, id)
			return true
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		one.Set("tools/list", tool("Zone"))
		got := g.post(id, toolCall("one_a", `,"arguments":{"r":"é"}`))
		if got.body != `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}` {
			t.Errorf("%s", got.body)
		}
		calls := one.Requests("POST", "tools/call")
		if len(calls) != 2 || calls[0].Header.Get("Mcp-Param-Region") == "" || calls[1].Header.Get("Mcp-Param-Region") != "" {
			t.Errorf("%d calls", len(calls))
		}
	})
}
