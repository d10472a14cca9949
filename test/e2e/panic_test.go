package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// fragile is a gateway whose filter panics where a request asks for it.
type fragile struct {
	*harness.Gateway
	t     *testing.T
	a     *mcpserver.Server
	admin string
	envoy harness.Member
}

func newFragile(t *testing.T) *fragile {
	t.Helper()
	f := &fragile{t: t, a: mcpserver.Start(t, one("a")), admin: harness.FreeAddr(t)}
	f.Gateway = harness.Run(t, harness.Config{Servers: []harness.Server{behind(f.a, "a"), behind(mcpserver.Start(t, one("b")), "b")}},
		"--module", harness.Fragile(t), "--admin", f.admin)
	f.envoy = f.Child("envoy")
	return f
}

// panics is how often the filter counted a panic in a phase.
func (f *fragile) panics(phase string) int {
	f.t.Helper()
	return harness.Stats(f.t, f.admin)[`mcp_gateway_panics{phase="`+phase+`"}`]
}

// logged is how many lines tell of panics in a phase.
func (f *fragile) logged(phase string) int {
	lines, _ := f.Stderr().All()
	n := 0
	for _, line := range lines {
		if strings.Contains(line, "recovered a panic in phase "+phase+":") {
			n++
		}
		if strings.Contains(line, "goroutine ") || strings.Contains(line, "injected at") {
			f.t.Errorf("the log tells too much: %s", line)
		}
	}
	return n
}

// alive checks that the same Envoy serves the session.
func (f *fragile) alive(c *harness.Client) {
	f.t.Helper()
	wantTool(f.t, c, "a_tool", "a", "tool")
	wantTool(f.t, c, "b_tool", "b", "tool")
	if now := f.Child("envoy"); now != f.envoy {
		f.t.Fatalf("Envoy is %v, was %v", now, f.envoy)
	}
}

// A panic costs the one request in which it happens, wherever that is.
func TestPanicCostsOneRequest(t *testing.T) {
	t.Parallel()
	f := newFragile(t)
	// Its answer has a URI, for which the filter has to read it.
	const read = `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"a+test://resource"}}`
	for _, tt := range []struct {
		name, at, phase string
		body            string
		status          int
		id              string
		cold, lost      bool
	}{
		{name: "number", at: "acquire", phase: "request", status: 503, id: "null"},
		{name: "headers", at: "request", phase: "request", status: 503, id: "null"},
		{name: "body", at: "request_body", phase: "request_body", status: 503, id: "null"},
		{name: "route", at: "route", phase: "request_body", status: 200, id: "7"},
		{name: "session cache locked", at: "sessions", phase: "request_body", status: 200, id: "7"},
		{name: "session cache locked to write", at: "sessions*2", phase: "answer", status: 200, id: "7", cold: true},
		{name: "verdict", at: "encode", phase: "request_body", status: 200, id: "7"},
		{name: "answer of the broker", at: "answer", phase: "answer", status: 200, id: "7", cold: true},
		{name: "headers of the answer", at: "response", phase: "response", status: 200, id: "7", body: read},
		{name: "body of the answer", at: "response_body", phase: "response_body", status: 200, id: "7", body: read},
		{name: "second try", at: "replayed", phase: "replayed", status: 200, id: "7", lost: true},
		{name: "panic itself", at: "response,panicked", phase: "response", status: 503, id: "null", body: read},
		{name: "notification", at: "route", phase: "request_body", status: 503, id: "null",
			body: `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`},
		{name: "initialize", at: "encode", phase: "request_body", status: 503, id: "7",
			body: `{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := harness.Connect(t, f.URL)
			if !tt.cold {
				f.alive(c)
			}
			if tt.body == "" {
				tt.body = call("7", "a_tool")
			} else if strings.Contains(tt.body, "cancelled") {
				c.Post(call("7", "a_tool")) // so that the filter knows whose it is
			}
			if tt.lost {
				f.a.ForgetSessions()
			}
			counted, logged := f.panics(tt.phase), f.logged(tt.phase)
			wantError(t, c.With("panic-at: "+tt.at).Post(tt.body), tt.status, mcp.CodeInternalError, tt.id)
			if got := f.panics(tt.phase) - counted; got != 1 {
				t.Errorf("%d panics counted in phase %s", got, tt.phase)
			}
			want := 1 + strings.Count(tt.at, "panicked")
			harness.Eventually(t, "line in the log", func() bool { return f.logged(tt.phase)-logged >= want })
			if got := f.logged(tt.phase) - logged; got != want {
				t.Errorf("%d lines in the log", got)
			}
			f.alive(c)
		})
	}
	idle(t, f.admin)
}

// idle waits until the filter holds no stream, which it must soon do once none is
// open.
func idle(t *testing.T, admin string) {
	t.Helper()
	harness.Eventually(t, "the end of all streams in the filter", func() bool {
		n, ok := harness.Stats(t, admin)["mcp_gateway_streams{}"]
		return ok && n == 0
	})
}

// An event stream that has begun is cut, as no other answer may follow it: what
// came before is whole, and nothing ends it as if it were complete.
func TestPanicInAnEventStreamCutsIt(t *testing.T) {
	t.Parallel()
	f := newFragile(t)
	f.a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		if len(x.Arguments()) > len("{}") {
			s := x.Stream()
			for i := range 5 {
				s.Progress([]byte("1"), i, 5)
			}
			s.Send(x.ResultMessage(`{"content":[{"type":"text","text":"a:tool"}]}`))
			return
		}
		x.Result(`{"content":[{"type":"text","text":"a:tool"}]}`)
	})
	c := harness.Connect(t, f.URL)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			f.alive(c)
			web := &http.Client{Transport: transport(protocol)}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL, strings.NewReader(
				`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_tool","arguments":{"stream":true}}}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = c.Header.Clone()
			req.Header.Set("panic-at", "event*3")
			resp, err := web.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close() //nolint:errcheck // read to its end
			if resp.Proto != protocol {
				t.Errorf("%s, want %s", resp.Proto, protocol)
			}
			body, err := io.ReadAll(resp.Body)
			if err == nil {
				t.Errorf("the stream ended as if it were complete: %s", body)
			}
			if n := strings.Count(string(body), "data: "); n > 2 || strings.Contains(string(body), "error") || strings.Contains(string(body), "result") ||
				n > 0 && !strings.HasSuffix(string(body), "\n\n") {
				t.Errorf("before the cut came %q", body)
			}
			f.alive(c)
		})
	}
	if got := f.panics("response_body"); got != 2 {
		t.Errorf("%d panics counted", got)
	}
	idle(t, f.admin)
}

func transport(protocol string) *http.Transport {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableKeepAlives: true}
	if protocol == "HTTP/2.0" {
		tr.Protocols.SetUnencryptedHTTP2(true)
	} else {
		tr.Protocols.SetHTTP1(true)
	}
	return tr
}

// What happens beside streams costs none, and is counted with the next one.
func TestPanicBesideStreamsCostsNothing(t *testing.T) {
	t.Parallel()
	f := newFragile(t)
	c := harness.Connect(t, f.URL)
	f.alive(c)
	// A question that was not asked leaves the table old, which a call may soon wait
	// for: that comes last.
	for _, at := range []string{"release", "table", "table_question"} {
		phase, _, _ := strings.Cut(at, "_")
		counted := f.panics(phase)
		if at == "table" { // which not every host looks at while it is the old one
			f.a.SetPages(mcpserver.ToolsList, `{"name":"tool"},{"name":"other"}`)
			f.a.Notify("notifications/tools/list_changed")
		}
		if r := c.With("panic-at: " + at).Post(call("1", "a_tool")); !ok(r) {
			t.Errorf("%s: %s", at, r)
		}
		harness.Eventually(t, "count of a panic at "+at, func() bool {
			f.alive(c)
			return f.panics(phase) == counted+1
		})
		if f.logged(phase) == 0 {
			t.Errorf("%s: not logged", at)
		}
	}
	// The routing table is still kept fresh.
	f.a.SetPages(mcpserver.ToolsList, `{"name":"tool"},{"name":"later"}`)
	f.a.Notify("notifications/tools/list_changed")
	harness.Eventually(t, "the new tool", func() bool { return ok(c.Post(call("1", "a_later"))) })
	idle(t, f.admin)
}

// A configuration that panics is refused, the one before stays, and the next one is
// taken.
func TestPanicInAConfiguration(t *testing.T) {
	t.Setenv("MCP_GATEWAY_PANIC_AT", "config*2,config_close")
	a := mcpserver.Start(t, one("a"))
	config := harness.Config{Servers: []harness.Server{behind(a, "a")}}
	g := harness.Run(t, config, "--module", harness.Fragile(t))
	envoy := g.Child("envoy")
	c := harness.Connect(t, g.URL)
	config.Limits = []string{"body: 100000"}
	g.Reload(config)
	g.WaitLine(g.Stderr(), "recovered a panic in phase config:")
	wantTool(t, c, "a_tool", "a", "tool")
	config.Limits = []string{"body: 2000"}
	g.Reload(config) // the one before ends with a panic
	harness.Eventually(t, "the new limit", func() bool { return c.Post(strings.Repeat(" ", 3000)).Status == http.StatusRequestEntityTooLarge })
	wantTool(t, c, "a_tool", "a", "tool")
	if now := g.Child("envoy"); now != envoy {
		t.Errorf("Envoy is %v, was %v", now, envoy)
	}
}

// What makes the filter panic is not in the library that is released.
func TestReleasedLibraryPanicsNowhere(t *testing.T) {
	t.Parallel()
	released := harness.Library(t)
	for path, want := range map[string]bool{released: false, harness.Fragile(t): true} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"MCP_GATEWAY_PANIC_AT", "injected at"} {
			if got := bytes.Contains(content, []byte(text)); got != want {
				t.Errorf("%s contains %q: %v, want %v", filepath.Base(path), text, got, want)
			}
		}
	}
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a")}})
	c := harness.Connect(t, g.URL).With("panic-at: route,encode,response")
	wantTool(t, c, "a_tool", "a", "tool")
}
