package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// modernMeta is the _meta of a request of 2026-07-28.
const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}`

// modernBody is a request of 2026-07-28 with raw params but for _meta.
func modernBody(method, params string) string {
	if params != "" {
		params += ","
	}
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + modernMeta + `}}`
}

// modernClient is c with the headers of a request of 2026-07-28, without
// Mcp-Name if name is empty.
func modernClient(c *harness.Client, method, name string, headers ...string) *harness.Client {
	return c.With(append([]string{harness.HeaderRevision + ": 2026-07-28", "Mcp-Method: " + method, "Mcp-Name: " + name}, headers...)...)
}

// modernCall sends a tools/call without arguments.
func modernCall(c *harness.Client, name string) harness.Response {
	return modernClient(c, "tools/call", name).Post(modernBody("tools/call", fmt.Sprintf(`"name":%q`, name)))
}

func modernServer(t *testing.T, name string, era mcpserver.Era) *mcpserver.Server {
	t.Helper()
	script := one(name)
	script.Era = era
	script.Pages[mcpserver.ToolsList] = []string{`{"name":"tool","inputSchema":{"type":"object"}},{"name":"größe","inputSchema":{"type":"object"}}`}
	return mcpserver.Start(t, script)
}

// sizeTool is the exposed name of the server's tool größe.
func sizeTool(t *testing.T, g *harness.Gateway, server string) string {
	t.Helper()
	for _, name := range harness.Connect(t, g.URL).Names("tools/list") {
		if strings.HasPrefix(name, server+"_gr") {
			return name
		}
	}
	t.Fatalf("no tool of %s begins with gr", server)
	return ""
}

// What a stateless client sends reaches its server with the name changed in the
// body and in Mcp-Name, and with nothing else changed.
func TestModernCallsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	a, b := modernServer(t, "a", mcpserver.Modern), modernServer(t, "b", mcpserver.Dual)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := harness.NewClient(t, g.URL)
	// An exposed name is plain, whatever the server's own is; it may be encoded.
	sized := sizeTool(t, g, "a")
	encoded := "=?base64?" + base64.StdEncoding.EncodeToString([]byte(sized)) + "?="
	for _, tt := range []struct {
		server                   *mcpserver.Server
		method, header, params   string
		wantHeader, wantInParams string
	}{
		{a, "tools/call", "a_tool", `"arguments":{"big":1e400,"n":1.0},"name":"a_tool"`, "tool", `"arguments":{"big":1e400,"n":1.0},"name":"tool"`},
		{a, "tools/call", sized, `"name":"` + sized + `"`, "=?base64?" + base64.StdEncoding.EncodeToString([]byte("größe")) + "?=", `"name":"größe"`},
		{a, "tools/call", encoded, `"name":"` + sized + `"`, "=?base64?" + base64.StdEncoding.EncodeToString([]byte("größe")) + "?=", `"name":"größe"`},
		{a, "prompts/get", "a_prompt", `"name":"a_prompt"`, "prompt", `"name":"prompt"`},
		{a, "resources/read", "a+test://resource", `"uri":"a+test://resource"`, "test://resource", `"uri":"test://resource"`},
		{b, "tools/call", "b_tool", `"name":"b_tool"`, "tool", `"name":"tool"`},
	} {
		r := modernClient(c, tt.method, tt.header, "Mcp-Param-City: =?base64?w6Q=?=", "Mcp-Session-Id: mine", "Authorization: Bearer mine").Post(modernBody(tt.method, tt.params))
		if !ok(r) {
			t.Errorf("%s %s: %s", tt.method, tt.header, r)
			continue
		}
		got := tt.server.Last(tt.method)
		if want := modernBody(tt.method, tt.wantInParams); string(got.Body) != want {
			t.Errorf("body\n got %s\nwant %s", got.Body, want)
		}
		for name, want := range map[string]string{
			"Mcp-Name": tt.wantHeader, "Mcp-Method": tt.method, harness.HeaderRevision: "2026-07-28",
			"Mcp-Param-City": "=?base64?w6Q=?=", "Mcp-Session-Id": "", "Authorization": "",
		} {
			if value := got.Header.Get(name); value != want {
				t.Errorf("%s %s: %s is %q, want %q", tt.method, tt.header, name, value, want)
			}
		}
		if tt.method == "resources/read" && !strings.Contains(r.Body, `"uri":"a+test://resource"`) {
			t.Errorf("no label: %s", r)
		}
		if r.Header.Get(harness.HeaderSession) != "" {
			t.Errorf("a session: %v", r.Header)
		}
	}
	legacy := harness.Connect(t, g.URL)
	wantTool(t, legacy, "b_tool", "b", "tool")
	if got := b.Last("tools/call").Header; got.Get(harness.HeaderRevision) != harness.Revision || got.Get(harness.HeaderSession) == "" {
		t.Errorf("a client with a session reaches a server of both eras as %v", got)
	}
}

// What does not agree with itself, or names nothing, reaches no server.
func TestModernRefusalsReachNoServer(t *testing.T) {
	t.Parallel()
	a, b := modernServer(t, "a", mcpserver.Modern), modernServer(t, "b", mcpserver.Modern)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}, Virtual: []string{`{name: part, servers: [a], tools: {deny: ["*gr*"]}}`}})
	c := harness.NewClient(t, g.URL)
	good := modernBody("tools/call", `"name":"a_tool"`)
	for name, tt := range map[string]struct {
		client       *harness.Client
		body         string
		status, code int
	}{
		"other name":       {modernClient(c, "tools/call", "a_größe"), good, 400, -32020},
		"server's name":    {modernClient(c, "tools/call", "tool"), good, 400, -32020},
		"no name":          {modernClient(c, "tools/call", ""), good, 400, -32020},
		"other method":     {modernClient(c, "prompts/get", "a_tool"), good, 400, -32020},
		"bad base64":       {modernClient(c, "tools/call", "=?base64?YQ?="), good, 400, -32020},
		"legacy header":    {modernClient(c, "tools/call", "a_tool", harness.HeaderRevision+": 2025-11-25"), good, 400, -32020},
		"no meta":          {modernClient(c, "tools/call", "a_tool"), call("1", "a_tool"), 400, -32602},
		"unknown revision": {modernClient(c, "tools/call", "a_tool", harness.HeaderRevision+": 2027-01-01"), strings.ReplaceAll(good, "2026-07-28", "2027-01-01"), 400, -32022},
		"unknown tool":     {modernClient(c, "tools/call", "a_nope"), modernBody("tools/call", `"name":"a_nope"`), 200, -32602},
		"unknown resource": {modernClient(c, "resources/read", "x:y"), modernBody("resources/read", `"uri":"x:y"`), 200, -32602},
	} {
		a.Forget()
		r := tt.client.Post(tt.body)
		wantError(t, r, tt.status, tt.code, "1")
		for _, got := range a.Requests() {
			if got.Method == "tools/call" || got.Method == "prompts/get" || got.Method == "resources/read" {
				t.Errorf("%s: the server got %s", name, got.Body)
			}
		}
	}
	repeated := modernClient(c, "tools/call", "a_tool")
	repeated.Header["Mcp-Name"] = []string{"a_tool", "a_tool"}
	wantError(t, repeated.Post(good), 400, -32020, "1")
	wantError(t, modernClient(c, "tools/call", "a_tool").Post("["+good+"]"), 400, -32600, "null")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if r := modernClient(c, "", "").Do(method, ""); r.Status != 405 || r.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %s, %v", method, r, r.Header)
		}
	}
	part := *c
	part.URL += "/part"
	if r := modernCall(&part, "a_tool"); !ok(r) {
		t.Errorf("at the virtual server: %s", r)
	}
	sized := sizeTool(t, g, "a")
	if r := modernCall(c, sized); !ok(r) {
		t.Errorf("at the gateway's own endpoint: %s", r)
	}
	wantError(t, modernCall(&part, sized), 200, -32602, "1")
	wantError(t, modernCall(&part, "b_tool"), 200, -32602, "1")
}

// A server's own refusal keeps the status by which clients know it.
func TestModernErrorsOfServers(t *testing.T) {
	t.Parallel()
	a := modernServer(t, "a", mcpserver.Modern)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
	c := harness.NewClient(t, g.URL)
	const missing = `{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"x","data":{"requiredCapabilities":{"sampling":{}}}}}`
	for _, tt := range []struct {
		answer       mcpserver.Handler
		status, code int
	}{
		{func(x *mcpserver.Exchange) { x.Respond(400, "application/json", []byte(missing)) }, 400, -32021},
		{func(x *mcpserver.Exchange) { x.Respond(404, "application/json", []byte(missing)) }, 404, -32021},
		{func(x *mcpserver.Exchange) { x.Error(`{"code":-32602,"message":"x"}`) }, 200, -32602},
		{mcpserver.Handler(mcpserver.Status(404)), 200, -32603},
		{mcpserver.Handler(mcpserver.Status(500)), 200, -32603},
		{mcpserver.Handler(mcpserver.Reset), 200, -32603},
	} {
		a.Handle("tools/call", "tool", tt.answer)
		r := modernCall(c, "a_tool")
		reply, err := r.Reply()
		if err != nil || r.Status != tt.status || reply.Error == nil || reply.Error.Code != tt.code {
			t.Errorf("%s, want %d and %d", r, tt.status, tt.code)
		}
	}
	a.Down()
	wantError(t, modernCall(c, "a_tool"), 200, -32603, "1")
}

// Events come as they are sent; requests of a server do not; and who goes away
// takes the server's work along.
func TestModernStreams(t *testing.T) {
	t.Parallel()
	a := modernServer(t, "a", mcpserver.Modern)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
	c := harness.NewClient(t, g.URL)
	seen, ended := make(chan struct{}), make(chan struct{})
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		s := x.Stream()
		s.Send(`{"jsonrpc":"2.0","id":5,"method":"roots/list"}`)
		s.Progress([]byte(`"p"`), 1, 2)
		select {
		case <-seen:
			s.Send(x.ResultMessage(`{"content":[{"type":"resource_link","name":"x","uri":"test://resource"}],"resultType":"complete"}`))
		case <-x.Context().Done():
			close(ended)
		}
	})
	body := modernBody("tools/call", `"name":"a_tool"`)
	s := modernClient(c, "tools/call", "a_tool").Open(http.MethodPost, body)
	if got := s.Next(); !strings.Contains(got, "notifications/progress") || !strings.Contains(got, `"progressToken":"p"`) {
		t.Errorf("first event: %s", got)
	}
	seen <- struct{}{}
	if got := s.Next(); !strings.Contains(got, `"uri":"test://resource"`) {
		t.Errorf("second event: %s", got)
	}
	if rest := s.End(); len(rest) != 0 {
		t.Errorf("more events: %q", rest)
	}
	s = modernClient(c, "tools/call", "a_tool").Open(http.MethodPost, body)
	s.Until("notifications/progress")
	s.Close()
	select {
	case <-ended:
	case <-time.After(harness.Patience):
		t.Error("the call goes on at the server")
	}
}

// A server that ends its events without an answer leaves nobody waiting.
func TestModernStreamWithoutAnswer(t *testing.T) {
	t.Parallel()
	a := modernServer(t, "a", mcpserver.Modern)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) { x.Stream().Progress([]byte(`"p"`), 1, 2) })
	s := modernClient(harness.NewClient(t, g.URL), "tools/call", "a_tool").Open(http.MethodPost, modernBody("tools/call", `"name":"a_tool"`))
	if got := s.Next(); !strings.Contains(got, "notifications/progress") {
		t.Errorf("first event: %s", got)
	}
	if rest := s.End(); len(rest) != 1 || !strings.HasPrefix(rest[0], `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,`) {
		t.Errorf("then: %q", rest)
	}
}

// What of a client's headers is the gateway's to set steers nothing and reaches
// no server.
func TestModernForgedHeaders(t *testing.T) {
	t.Parallel()
	a, b := modernServer(t, "a", mcpserver.Modern), modernServer(t, "b", mcpserver.Legacy)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := harness.NewClient(t, g.URL)
	forged := []string{"X-Mcp-Cluster: " + harness.Cluster("b", b.URL()), "X-Mcp-Long: 1", "X-Mcp-Other: x", "X-Envoy-Upstream-Rq-Timeout-Ms: 1", "Mcp-Session-Id: x"}
	// As the first request it waits for the table.
	large := `"arguments":{"x":"` + strings.Repeat("y", 3<<20) + `"},"name":"a_tool"`
	r := modernClient(c, "tools/call", "a_tool", forged...).Post(modernBody("tools/call", large))
	got := a.Last("tools/call")
	if want := modernBody("tools/call", strings.Replace(large, "a_tool", "tool", 1)); !ok(r) || string(got.Body) != want {
		t.Errorf("%s; the server got %d bytes", r, len(got.Body))
	}
	for _, header := range forged {
		if name, _, _ := strings.Cut(header, ":"); got.Header.Get(name) != "" {
			t.Errorf("the server got %s", header)
		}
	}
	forged[0] = "X-Mcp-Cluster: " + harness.Cluster("a", a.URL())
	if r := modernClient(c, "tools/call", "b_tool", forged...).Post(modernBody("tools/call", `"name":"b_tool"`)); !ok(r) || len(b.Received("tools/call")) != 1 || len(a.Received("tools/call")) != 1 {
		t.Errorf("between the eras: %s", r)
	}
}

// The id of a task finds its server again.
func TestModernTasks(t *testing.T) {
	t.Parallel()
	a, b := modernServer(t, "a", mcpserver.Modern), modernServer(t, "b", mcpserver.Modern)
	for _, s := range []*mcpserver.Server{a, b} {
		s.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
			x.Result(`{"resultType":"task","taskId":"1+x","status":"working","createdAt":"2026-07-28T00:00:00Z","lastUpdatedAt":"2026-07-28T00:00:00Z","ttlMs":null}`)
		})
		for _, method := range []string{"tasks/get", "tasks/update", "tasks/cancel"} {
			s.Handle(method, "", func(x *mcpserver.Exchange) { x.Result(`{"resultType":"complete","taskId":"1+x"}`) })
		}
	}
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := harness.NewClient(t, g.URL)
	if r := modernCall(c, "b_tool"); !strings.Contains(r.Body, `"taskId":"b+1+x"`) {
		t.Fatal(r)
	}
	for _, method := range []string{"tasks/get", "tasks/update", "tasks/cancel"} {
		r := modernClient(c, method, "b+1+x").Post(modernBody(method, `"taskId":"b+1+x"`))
		if !strings.Contains(r.Body, `"taskId":"b+1+x"`) {
			t.Errorf("%s: %s", method, r)
		}
		if got := b.Last(method); got.Header.Get("Mcp-Name") != "1+x" || string(got.Body) != modernBody(method, `"taskId":"1+x"`) {
			t.Errorf("%s: %v %s", method, got.Header, got.Body)
		}
		if a.Received(method) != nil {
			t.Errorf("%s reached both", method)
		}
	}
	wantError(t, modernClient(c, "tasks/get", "1+x").Post(modernBody("tasks/get", `"taskId":"1+x"`)), 200, -32602, "1")
}
