package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// modernResult sends a request of 2026-07-28 without a name and returns its result.
func modernResult(t *testing.T, c *harness.Client, method, params string) string {
	t.Helper()
	r := modernClient(c, method, "").Post(modernBody(method, params))
	var m struct {
		ID     json.RawMessage
		Result json.RawMessage
	}
	if err := json.Unmarshal([]byte(r.Body), &m); err != nil || r.Status != 200 || string(m.ID) != "1" || m.Result == nil {
		t.Fatalf("%s: %s", method, r)
	}
	return string(m.Result)
}

// modernNames is the names in a list, of a stateless client.
func modernNames(t *testing.T, c *harness.Client, method string) (names []string) {
	t.Helper()
	var result map[string]json.RawMessage
	var items []struct{ Name, URI string }
	if err := json.Unmarshal([]byte(modernResult(t, c, method, "")), &result); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(result[strings.TrimSuffix(method, "/list")], &items); err != nil {
		t.Fatalf("%s: %v in %v", method, err, result)
	}
	for _, item := range items {
		if names = append(names, item.Name); item.Name == "" {
			names[len(names)-1] = item.URI
		}
	}
	return names
}

// A stateless client finds out what there is at servers of all eras, and hears
// when that changes, without a session.
func TestModernListsAndTheirChanges(t *testing.T) {
	t.Parallel()
	a, b := modernServer(t, "a", mcpserver.Modern), modernServer(t, "b", mcpserver.Legacy)
	b.SetPages(mcpserver.ToolsList, `{"name":"tool","inputSchema":{"type":"object"},"execution":{"taskSupport":"optional"}},{"name":"slow","inputSchema":{"type":"object"},"execution":{"taskSupport":"required"}}`)
	config := harness.Config{
		Servers: []harness.Server{behind(a, "a"), behind(b, "b")},
		Virtual: []string{`{name: part, servers: [a]}`},
	}
	g := harness.Run(t, config)
	c, part := harness.NewClient(t, g.URL), harness.NewClient(t, g.URL+"/part")

	discovered := modernResult(t, c, "server/discover", "")
	for _, want := range []string{
		`"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"]`, `"ttlMs":0,"cacheScope":"private"`, `"resultType":"complete"`, `"tools":{"listChanged":true}`,
	} {
		contains(t, "server/discover", discovered, want)
	}
	tools := modernResult(t, c, "tools/list", "")
	contains(t, "tools/list", tools, `{"name":"b_tool","inputSchema":{"type":"object"}}]`)
	if strings.Contains(tools, "b_slow") {
		t.Errorf("a tool for tasks of old: %s", tools)
	}
	// The part of it that one server lists alone keeps what that server says.
	contains(t, "tools/list of the part", modernResult(t, part, "tools/list", ""), `"ttlMs":60000,"cacheScope":"public"`)

	listen := func(c *harness.Client, filter string) *harness.Stream {
		s := modernClient(c, "subscriptions/listen", "").Open(http.MethodPost, modernBody("subscriptions/listen", `"notifications":`+filter))
		if s.Status != 200 || s.Header.Get("Content-Type") != "text/event-stream" || s.Header.Get(harness.HeaderSession) != "" {
			t.Fatalf("%d %v", s.Status, s.Header)
		}
		return s
	}
	const subscription = `"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}`
	all, few := listen(c, `{"toolsListChanged":true,"promptsListChanged":true}`), listen(part, `{"promptsListChanged":true}`)
	wantEvent(t, all, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged",`+subscription+`,"notifications":{"toolsListChanged":true,"promptsListChanged":true}}}`)
	wantEvent(t, few, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged",`+subscription+`,"notifications":{"promptsListChanged":true}}}`)

	a.SetPages(mcpserver.ToolsList, `{"name":"other","inputSchema":{"type":"object"}}`)
	a.Notify("notifications/tools/list_changed")
	wantEvent(t, all, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed",`+subscription+`}}`)
	if got := modernNames(t, c, "tools/list"); !slices.Equal(got, []string{"a_other", "b_tool"}) {
		t.Errorf("tools are %v", got)
	}

	config.Virtual = nil
	g.Reload(config)
	if rest := few.End(); len(rest) != 1 || !strings.HasPrefix(rest[0], `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete",`) {
		t.Errorf("the subscription at the endpoint that is gone ends with %q", rest)
	}
	a.SetPages(mcpserver.ToolsList)
	a.Notify("notifications/tools/list_changed")
	wantEvent(t, all, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed",`+subscription+`}}`)
}

func wantEvent(t *testing.T, s *harness.Stream, want string) {
	t.Helper()
	if got := s.Next(); got != want {
		t.Errorf("event\n got %s\nwant %s", got, want)
	}
}
