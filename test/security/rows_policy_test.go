package security

import (
	"net/http"
	"strings"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// hidden is proved for rules of the configuration; those for principals are
// rows of their own in the tests of authorization.
func hidden(s *stage) {
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
	for _, name := range []string{
		"a_delete", `a_delet\u0065`, `\u0061_delete`, "A_DELETE", "a_delete ", " a_delete", `a_delete\u0000`, "delete", "a_\uff44elete", "a_dele\u200bte", "a_delete/", "a__delete", "a+delete", "a~delete",
	} {
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
