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
