package security

import (
	"net/http"
	"strings"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// spellings are names that look like a_delete to somebody, or would be it after one
// more step.
var spellings = []string{
	"a_delete", `a_delet\u0065`, `\u0061_delete`, "A_DELETE", "a_delete ", " a_delete", `a_delete\u0000`, "delete", "a_\uff44elete", "a_dele\u200bte", "a_delete/", "a__delete", "a+delete", "a~delete",
}

// ruled hides by who asks.
func ruled(s *stage) {
	script := script("a")
	script.Era = mcpserver.Dual
	script.Pages[mcpserver.ToolsList] = []string{`{"name":"tool","inputSchema":{"type":"object"}},{"name":"delete","inputSchema":{"type":"object"}}`}
	a := mcpserver.Start(s.T, script)
	g := harness.Run(s.T, harness.Config{
		Gateway: []string{"hostnames: [localhost, 127.0.0.1, gw.example.com]"}, Auth: s.issuer().Auth(resource),
		More:    "authorization:\n  default: allow\n  rules:\n    - {name: writers, effect: deny, tools: [a_delete], when: '!(\"write\" in principal.scopes)'}\n",
		Servers: []harness.Server{{Name: "a", URL: a.URL(), Prefix: "a_"}},
	})
	reader := harness.NewClient(s.T, g.URL).With(s.token("ada", harness.Claims{"scope": "read"}))
	writer := harness.NewClient(s.T, g.URL).With(s.token("ada", harness.Claims{"scope": "read write"}))
	list := func(c *harness.Client) string {
		return modern(c, "tools/list", "").Post(modernBody("tools/list", "")).Body
	}
	if read, written := list(reader), list(writer); strings.Contains(read, "delete") || !strings.Contains(written, "a_delete") || !strings.Contains(read, `"cacheScope":"private"`) {
		s.Errorf("lists: %s, %s", read, written)
	}
	session := reader.With()
	session.Initialize()
	session.Tool("a_tool", "")
	a.Forget()
	for _, name := range spellings {
		s.wantCode(name, session.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`"}}`), http.StatusOK, -32602)
	}
	s.wantCode("stateless", modernCall(reader, "a_delete"), http.StatusOK, -32602)
	for _, r := range calls(a) {
		s.Errorf("the server received %s", r.Body)
	}
	// The same session, another token: what it may is not kept.
	if r := session.With(s.token("ada", harness.Claims{"scope": "write"})).Post(call("1", "a_delete")); !strings.Contains(r.Body, `"a:delete"`) {
		s.Error(r)
	}
	if r := modernCall(writer, "a_delete"); !strings.Contains(r.Body, `"a:delete"`) {
		s.Error(r)
	}
	s.wantCode("after the writer", session.Post(call("1", "a_delete")), http.StatusOK, -32602)
}

// hidden is proved for what a server's own rules hide from everybody, and for what
// depends on the principal.
func hidden(s *stage) {
	ruled(s)
	w := world{a: mcpserver.Start(s.T, script("a")), b: mcpserver.Start(s.T, script("b"))}
	w.a.SetPages(mcpserver.ToolsList, `{"name":"tool","inputSchema":{"type":"object"}},{"name":"delete","inputSchema":{"type":"object"}}`)
	w.Gateway = harness.Run(s.T, harness.Config{
		Servers: []harness.Server{{Name: "a", URL: w.a.URL(), Prefix: "a_", Extra: []string{`tools: {deny: ["del*"]}`}}, {Name: "b", URL: w.b.URL(), Prefix: "b_"}},
	})
	c := harness.Connect(s.T, w.URL)
	if list := c.Request("tools/list", ""); strings.Contains(list, "delete") {
		s.Error(list)
	}
	c.Tool("a_tool", "")
	w.forget()
	for _, name := range spellings {
		s.wantCode(name, c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`"}}`), http.StatusOK, -32602)
	}
	w.untouched(s.T)
}

// tasks are made by one principal and asked for by another.
func tasks(s *stage) {
	w := s.guarded()
	w.a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Result(`{"resultType":"task","taskId":"7","status":"working","createdAt":"2026-07-28T00:00:00Z","lastUpdatedAt":"2026-07-28T00:00:00Z","ttlMs":null}`)
	})
	defer w.a.Handle("tools/call", "tool", nil)
	for _, method := range []string{"tasks/get", "tasks/update", "tasks/cancel"} {
		w.a.Handle(method, "", func(x *mcpserver.Exchange) { x.Result(`{"resultType":"complete","taskId":"7"}`) })
	}
	const able = `"extensions":{"io.modelcontextprotocol/tasks":{}}`
	ada := harness.NewClient(s.T, w.URL).With(s.token("ada", nil))
	bob := harness.NewClient(s.T, w.URL).With(s.token("bob", nil))
	r := modernCall(ada, "a_tool", able)
	_, id, found := strings.Cut(r.Body, `"taskId":"`)
	id, _, _ = strings.Cut(id, `"`)
	if !found {
		s.Fatal(r)
	}
	w.forget()
	ask := func(c *harness.Client, method, id string) harness.Response {
		return modern(c, method, id).Post(modernBody(method, `"taskId":"`+id+`"`, able))
	}
	for _, method := range []string{"tasks/get", "tasks/update", "tasks/cancel"} {
		s.wantCode(method+" by another", ask(bob, method, id), http.StatusOK, -32602)
		for _, made := range []string{"7", "a+7", id + "x", "a+" + id, "b+7"} {
			s.wantCode(method+" of "+made, ask(ada, method, made), http.StatusOK, -32602)
		}
		if got := w.a.Received(method); len(got) > 0 {
			s.Errorf("the server received %s", got[0].Body)
		}
		if r := ask(ada, method, id); !strings.Contains(r.Body, `"taskId":"`+id+`"`) {
			s.Errorf("%s by its own: %s", method, r)
		}
		if got := w.a.Last(method); !strings.Contains(string(got.Body), `"taskId":"7"`) {
			s.Errorf("%s: the server received %s", method, got.Body)
		}
		w.forget()
	}
}
