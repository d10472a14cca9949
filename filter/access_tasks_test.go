package filter

import (
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/principal"
	"mcp-gateway/internal/tag"
)

// What holds for a tool holds for its tasks: where that is hidden, or not offered, they
// are unknown, and they take its scopes.
func TestTasksAreOfTheirTools(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, func(_ *gatewayconfig.Filter, table *gatewayconfig.Table) {
		table.TaskKey = []byte("key")
		table.Tools["now_get"] = gatewayconfig.Target{Server: 3, Name: "get"}
		table.Views[0].Tools.Deny = []string{"now_get"}
		table.Authorization.Rules = append(table.Authorization.Rules, gatewayconfig.AccessRule{Name: "own", Effect: gatewayconfig.Allow, Tools: []string{"now_add"}, Scopes: []string{"write"}})
	})
	who, err := principal.FromClaims(reader)
	if err != nil {
		t.Fatal(err)
	}
	const unknown, lacking, passes = "Unknown task", "lacks a scope: mcp write", ""
	for _, test := range []struct {
		tool, server, path string
		reader, writer     string
	}{
		{"now_get", "now", "/mcp", passes, passes},
		{"now_add", "now", "/mcp", lacking, passes},
		{"now_delete", "now", "/mcp", unknown, passes},
		{"now_gone", "now", "/mcp", unknown, unknown},
		{"both_delete", "now", "/mcp", unknown, unknown},
		{"", "now", "/mcp", unknown, unknown},
		{"now_get", "now", "/mcp/team", unknown, unknown},
	} {
		own := tag.Owner{Key: []byte("key"), Principal: who.ID(), Server: test.server, Tool: test.tool}
		id := test.server + "+" + own.Seal("7")
		for _, method := range []string{"tasks/get", "tasks/update", "tasks/cancel"} {
			body := stateless(method, `"taskId":"`+id+`","inputResponses":{}`)
			for scopes, want := range map[string]string{"mcp read": test.reader, "mcp read write": test.writer} {
				token := claims(`{"iss":"https://idp.example","sub":"ada","aud":"https://gw.example` + test.path + `","scope":"` + scopes + `"}`)
				headers := append(statelessHeaders(method, id), "x-mcp-claims", token, ":path", test.path)
				_, d := post(g, body, headers...)
				if want == passes {
					if d.Action != Pass || !strings.Contains(spliced(body, d), `"taskId":"7"`) {
						t.Errorf("%s of %s at %s: %v %s", method, test.tool, test.path, d.Action, d.Body)
					}
				} else if d.Action != Reply || !strings.Contains(string(d.Body), want) {
					t.Errorf("%s of %s at %s: %v %s, want %s", method, test.tool, test.path, d.Action, d.Body, want)
				}
			}
		}
	}
}

// The id that a client gets tells the tool, of a call and of what follows.
func TestIDsOfTasksTellTheirTools(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, func(_ *gatewayconfig.Filter, table *gatewayconfig.Table) { table.TaskKey = []byte("key") })
	who, err := principal.FromClaims(writer)
	if err != nil {
		t.Fatal(err)
	}
	id := "now+" + tag.Owner{Key: []byte("key"), Principal: who.ID(), Server: "now", Tool: "now_add"}.Seal("7")
	for _, test := range []struct{ method, name, params string }{
		{"tools/call", "now_add", `"name":"now_add"`}, {"tasks/get", id, `"taskId":"` + id + `"`},
	} {
		headers := append(statelessHeaders(test.method, test.name), "x-mcp-claims", writer)
		body := strings.Replace(stateless(test.method, test.params), `"io.modelcontextprotocol/clientCapabilities":{}`, tasksCapability, 1)
		s, d := post(g, body, headers...)
		if d.Action != Pass {
			t.Fatalf("%s: %v %s", test.method, d.Action, d.Body)
		}
		s.ResponseHeaders(headersOf("200", "application/json"), false)
		d = s.ResponseBody([]byte(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"7","status":"working"}}`), true)
		if !strings.Contains(string(d.Body), `"taskId":"`+id+`"`) {
			t.Errorf("%s: %s, want %s", test.method, d.Body, id)
		}
	}
}
