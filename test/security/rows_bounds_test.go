package security

import (
	"fmt"
	"net/http"
	"strings"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// bounds meets each limit of the plain gateway once. What they do in detail is
// tested where they are.
func bounds(s *stage) {
	w := s.plain()
	c := harness.Connect(s.T, w.URL)
	w.forget()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tool := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b_tool","arguments":{"x":` + arguments + `}}}`
	}
	s.wantCode("body", c.Post(tool(`"`+strings.Repeat("x", 70_000)+`"`)), http.StatusRequestEntityTooLarge, -32600)
	s.wantCode("depth", c.Post(tool(nested(20))), http.StatusBadRequest, -32600)
	s.wantCode("header size", c.With("X-Large: "+strings.Repeat("x", 9<<10)).Post(tool("1")), http.StatusRequestHeaderFieldsTooLarge, -32600)
	many := c.With()
	for i := range 110 {
		many.Header.Set(fmt.Sprintf("X-%d", i), "x")
	}
	s.wantCode("headers", many.Post(tool("1")), http.StatusRequestHeaderFieldsTooLarge, -32600)
	w.untouched(s.T)

	w.b.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Stream().Send(x.ResultMessage(`{"content":[{"type":"text","text":"` + strings.Repeat("x", 70_000) + `"}]}`))
	})
	if r, err := c.Try(s.Context(), http.MethodPost, tool("1")); err == nil && strings.Contains(r.Body, "xxxx") {
		s.Errorf("event: %.100s", r)
	}
	w.b.Handle("tools/call", "tool", nil)

	var items []string
	for i := range 30 {
		items = append(items, fmt.Sprintf(`{"name":"t%d","inputSchema":{"type":"object"}}`, i))
	}
	w.a.SetPages(mcpserver.ToolsList, strings.Join(items, ","))
	w.a.Notify("notifications/tools/list_changed")
	harness.Eventually(s.T, "the long list", func() bool {
		names := c.Names("tools/list")
		return len(names) == 21 && names[19] == "a_t19" && names[20] == "b_tool"
	})
	w.a.SetPages(mcpserver.ToolsList, `{"name":"tool","inputSchema":{"type":"object"}}`)
	w.a.Notify("notifications/tools/list_changed")

	var open []*harness.Stream
	refused := false
	for range 5 {
		stream := harness.Connect(s.T, w.URL).With("Accept: text/event-stream").Open(http.MethodGet, "")
		open = append(open, stream)
		refused = refused || stream.Status == http.StatusTooManyRequests
	}
	if !refused {
		s.Error("streams of one address have no bound")
	}
	for _, stream := range open {
		stream.Close()
	}
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
	for i := 0; ; i++ {
		r := harness.NewClient(s.T, w.URL).Post(initialize)
		if r.Status == http.StatusTooManyRequests {
			s.wantCode("sessions", r, http.StatusTooManyRequests, -32603)
			break
		}
		if i > 60 {
			s.Error("sessions of one address have no bound")
			break
		}
	}
	if r := c.Post(tool("1")); !served(r) {
		s.Errorf("after all that: %s", r)
	}
}

// discretion has servers fail with words that nobody should hear.
func discretion(s *stage) {
	const secret = "Bearer server-secret"
	w := world{a: mcpserver.Start(s.T, script("a")), b: mcpserver.Start(s.T, script("b"))}
	w.Gateway = harness.Run(s.T, harness.Config{
		Gateway: []string{"accessLog: stdout"},
		Servers: []harness.Server{
			{Name: "a", URL: w.a.URL() + "?key=secret-in-url", Prefix: "a_", Extra: []string{`headers: {Authorization: "` + secret + `"}`}},
			{Name: "b", URL: w.b.URL(), Prefix: "b_"},
		},
	})
	c := harness.Connect(s.T, w.URL).With("Authorization: Bearer client-secret")
	c.Header.Del(harness.HeaderSession)
	c.Initialize()
	c.Tool("a_tool", "")
	own := w.a.Last("tools/call").Header.Get(harness.HeaderSession)
	words := []string{
		w.a.Addr(), "127.0.0.1:", "secret", own, "goroutine", "/tmp/", ".sock", "upstream", "envoy", "panic", "dial tcp", "connection refused",
	}
	var seen []harness.Response
	details := fmt.Sprintf("connect to %s failed: token %s, session %s\ngoroutine 1 [running]", w.a.Addr(), secret, own)
	for _, fault := range []mcpserver.Fault{
		mcpserver.Status(500), mcpserver.Status(401), mcpserver.Status(403), mcpserver.Status(404), mcpserver.Reset, mcpserver.Cut,
		mcpserver.Body("text/html", details), mcpserver.Body("application/xml", details), mcpserver.Body("text/event-stream", "data: "+details+"\n\n"),
		func(x *mcpserver.Exchange) {
			x.Header().Set("X-Debug", details[:20]+secret)
			x.Header().Set("Server", "secret/"+w.a.Addr())
			x.Header().Set("Www-Authenticate", secret)
			x.Header().Set("Set-Cookie", "secret=1")
			x.Respond(503, "application/json", []byte(details))
		},
	} {
		w.a.Fail(fault)
		r, err := c.Try(s.Context(), http.MethodPost, call("1", "a_tool"))
		if err != nil {
			s.Error(err)
		}
		seen = append(seen, r)
	}
	w.a.Heal()
	w.a.Down()
	seen = append(seen, c.Post(call("1", "a_tool")), c.Post("no JSON"), c.Post(call("1", "none")), c.With(harness.HeaderSession+": x").Post(call("1", "a_tool")))
	for _, r := range seen {
		text := strings.ToLower(r.Body + fmt.Sprint(r.Header))
		for _, secret := range words {
			if strings.Contains(text, strings.ToLower(secret)) {
				s.Errorf("an answer tells of %q: %v %s", secret, r.Header, r.Body)
			}
		}
	}
	w.Stop(5e9)
	out, _ := w.Stdout().All()
	errs, _ := w.Stderr().All()
	logs := strings.Join(append(out, errs...), "\n")
	if !strings.Contains(logs, `"tools/call"`) {
		s.Errorf("the access log is not there")
	}
	for _, secret := range []string{"server-secret", "client-secret", "secret-in-url", own, c.Session(), "goroutine"} {
		if strings.Contains(logs, secret) {
			s.Errorf("a log tells of %q", secret)
		}
	}
}
