package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// entry is a server's entry without a prefix, but with these lines.
func entry(s *mcpserver.Server, name string, lines ...string) harness.Server {
	return harness.Server{Name: name, URL: s.URL(), Extra: lines}
}

// wantUnknown checks that a call is refused and that the server never sees it.
func wantUnknown(t *testing.T, c *harness.Client, name string) {
	t.Helper()
	reply := wantError(t, c.Post(call("7", name)), http.StatusOK, -32602, "7")
	if !strings.Contains(reply.Error.Message, "Unknown tool") {
		t.Errorf("%s: %s", name, reply.Error.Message)
	}
}

func read(id, uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"resources/read","params":{"uri":%q}}`, id, uri)
}

func TestPrefixOnConflict(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, tools("a", "echo", "only_a")), mcpserver.Start(t, tools("b", "echo", "only_b"))
	both := []harness.Server{entry(a, "a", "prefixPolicy: on-conflict"), entry(b, "b", "prefixPolicy: on-conflict", "prefix: bee.")}
	g := harness.Run(t, harness.Config{Servers: both})
	c := harness.Connect(t, g.URL)
	if diff := cmp.Diff([]string{"a_echo", "only_a", "bee.echo", "only_b"}, c.Names("tools/list")); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	wantTool(t, c, "a_echo", "a", "echo")
	wantTool(t, c, "bee.echo", "b", "echo")
	wantTool(t, c, "only_b", "b", "only_b")
	wantUnknown(t, c, "echo")
	wantUnknown(t, c, "a_only_a")

	// Without the other server nothing is contested.
	stream := c.Listen()
	g.Reload(harness.Config{Servers: both[:1]})
	stream.Until("notifications/tools/list_changed")
	if diff := cmp.Diff([]string{"echo", "only_a"}, c.Names("tools/list")); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	wantTool(t, c, "echo", "a", "echo")
	wantUnknown(t, c, "a_echo")
}

func TestAliasesAndRules(t *testing.T) {
	t.Parallel()
	script := tools("s", "get_a", "get_b", "get_admin", "set_a")
	script.Pages[mcpserver.PromptsList] = []string{`{"name":"brief"},{"name":"internal"}`}
	script.Pages[mcpserver.ResourcesList] = []string{`{"name":"a","uri":"file:///public/a"},{"name":"b","uri":"file:///secret"}`}
	s := mcpserver.Start(t, script)
	other := mcpserver.Start(t, tools("other", "first"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		behind(s, "s",
			`tools: {allow: ["get_*"], deny: ["*_admin"], aliases: {find: get_b}}`,
			`prompts: {deny: [internal], aliases: {morning: brief}}`,
			`resources: {allow: ["file:///public/*"]}`),
		behind(other, "other"),
	}})
	c := harness.Connect(t, g.URL)
	if diff := cmp.Diff([]string{"s_get_a", "find", "other_first"}, c.Names("tools/list")); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"morning"}, c.Names("prompts/list")); diff != "" {
		t.Errorf("prompts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`{"name":"a","uri":"s+file:///public/a"}`}, c.List("resources/list")); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	wantTool(t, c, "find", "s", "get_b")
	wantTool(t, c, "s_get_a", "s", "get_a")
	for _, name := range []string{"s_get_b", "s_get_admin", "s_set_a", "get_b"} {
		wantUnknown(t, c, name)
	}
	if r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"morning"}}`); !ok(r) {
		t.Errorf("prompts/get: %s", r)
	}
	wantError(t, c.Post(`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"s_internal"}}`), 200, -32602, "1")
	if r := c.Post(read("1", "s+file:///public/a")); !ok(r) {
		t.Errorf("resources/read: %s", r)
	}
	for _, uri := range []string{
		"s+file:///secret", "s+file:///public/../secret", "s+file:///public/%2e%2e/secret", "s+FILE:///public/a", "s+file:///public//a", "file:///public/a",
		"s+file:/public/a", "s+file://other/public/a", "s+file:///public/a#", "s+file:///public/a?", "s+file:///public/%61",
	} {
		wantError(t, c.Post(read("1", uri)), 200, -32002, "1")
	}
	for _, r := range s.Requests() {
		for _, hidden := range []string{"secret", "get_admin", "set_a", "internal", "FILE:"} {
			if strings.Contains(string(r.Body), hidden) {
				t.Errorf("the server was asked for what it should not be: %s", r.Body)
			}
		}
	}
}

// Rules hold for a server that has not been up yet, too: nothing is known of it
// but its configuration.
func TestRulesHoldBeforeTheFirstList(t *testing.T) {
	t.Parallel()
	s := mcpserver.NewDown(t, tools("s", "get", "set"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		behind(s, "s", `tools: {allow: [get, search], aliases: {find: search}}`), behind(mcpserver.Start(t, one("o")), "o"),
	}})
	c := harness.Connect(t, g.URL)
	wantUnknown(t, c, "s_set")
	wantUnknown(t, c, "s_search") // its name is find
	for _, name := range []string{"s_get", "find"} {
		reply := wantError(t, c.Post(call("1", name)), http.StatusOK, -32603, "1")
		if !strings.Contains(reply.Error.Message, "server s ") {
			t.Errorf("%s: %s", name, reply.Error.Message)
		}
	}
}

func TestNamesThatModelsRefuse(t *testing.T) {
	t.Parallel()
	s := mcpserver.Start(t, tools("s", "get weather/now", "plain"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{entry(s, "s")}})
	c := harness.Connect(t, g.URL)
	names := c.Names("tools/list")
	if len(names) != 2 || !strings.HasPrefix(names[0], "get_weather_now_") || names[1] != "plain" {
		t.Fatalf("names %q", names)
	}
	wantTool(t, c, names[0], "s", "get weather/now")
	wantUnknown(t, c, "get weather/now")
}

func TestVirtualServers(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("b"))
	config := harness.Config{
		Servers: []harness.Server{behind(a, "a"), behind(b, "b")},
		Virtual: []string{
			`{name: team, description: Some of it, instructions: Be kind., servers: [a], prompts: {deny: ["*"]}, resources: {allow: ["a+test://other*"]}}`,
			`{name: reader, tools: {allow: ["*_tool"], deny: [b_tool]}}`,
		},
	}
	g := harness.Run(t, config)
	own, team := harness.Connect(t, g.URL), harness.Connect(t, g.URL+"/team")
	reader := harness.Connect(t, g.URL+"/reader")

	for _, list := range []struct {
		c      *harness.Client
		method string
		want   []string
	}{
		{own, "tools/list", []string{"a_tool", "b_tool"}},
		{team, "tools/list", []string{"a_tool"}},
		{team, "prompts/list", []string{}},
		{team, "resources/list", []string{}},
		{reader, "tools/list", []string{"a_tool"}},
		{reader, "prompts/list", []string{"a_prompt", "b_prompt"}},
	} {
		if diff := cmp.Diff(list.want, list.c.Names(list.method)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", list.c.URL, list.method, diff)
		}
	}
	wantTool(t, own, "b_tool", "b", "tool")
	wantTool(t, team, "a_tool", "a", "tool")
	wantTool(t, reader, "a_tool", "a", "tool")
	wantUnknown(t, team, "b_tool")
	wantUnknown(t, reader, "b_tool")
	wantError(t, team.Post(`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"a_prompt"}}`), 200, -32602, "1")
	wantError(t, team.Post(read("1", "a+test://resource")), 200, -32002, "1")
	wantError(t, team.Post(read("1", "b+test://other")), 200, -32002, "1")
	if r := team.Post(read("1", "a+test://other")); !ok(r) {
		t.Errorf("a resource that the view admits: %s", r)
	}

	// A session is good where it was opened, also where it is warm.
	for _, wrong := range []struct {
		c    *harness.Client
		path string
	}{{own, "/team"}, {team, ""}, {team, "/reader"}, {reader, "/team"}} {
		there := *wrong.c
		there.URL = g.URL + wrong.path
		for _, body := range []string{call("1", "a_tool"), `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `{"jsonrpc":"2.0","id":1,"method":"ping"}`} {
			if r := there.Post(body); r.Status != http.StatusNotFound {
				t.Errorf("%s with a session of %s: %s", there.URL, wrong.c.URL, r)
			}
		}
		if r := there.Do(http.MethodDelete, ""); r.Status != http.StatusNotFound {
			t.Errorf("DELETE %s with a session of %s: %s", there.URL, wrong.c.URL, r)
		}
	}
	wantTool(t, team, "a_tool", "a", "tool")

	// No endpoint is open that nobody configured.
	for _, path := range []string{"/other", "/team/", "/te%61m", "/team/team", "/"} {
		there := *team
		there.URL = g.URL + path
		for _, body := range []string{call("1", "a_tool"), `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`} {
			if r := there.Post(body); r.Status != http.StatusNotFound {
				t.Errorf("%s: %s", there.URL, r)
			}
		}
	}

	// A new one is there without a listener or route that drains; one that goes
	// takes its sessions along.
	config.Virtual = []string{`{name: fresh, servers: [b]}`}
	g.Reload(config)
	harness.Eventually(t, "the new endpoint", func() bool {
		return harness.NewClient(t, g.URL+"/fresh").Post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`).Status == http.StatusOK
	})
	fresh := harness.Connect(t, g.URL+"/fresh")
	wantTool(t, fresh, "b_tool", "b", "tool")
	wantUnknown(t, fresh, "a_tool")
	harness.Eventually(t, "the end of the old one", func() bool {
		return team.Post(call("1", "a_tool")).Status == http.StatusNotFound
	})
}

func TestPagesAreFollowed(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 57 {
		names = append(names, fmt.Sprintf("tool_%02d", i))
	}
	s := mcpserver.Start(t, tools("s", names...))
	g := harness.Run(t, harness.Config{Gateway: []string{"pageSize: 10"}, Servers: []harness.Server{entry(s, "s")}})
	for name, output := range map[string]string{
		"TypeScript": command(t, harness.Tool(t, ".tools/node/bin/node"), "test/clients/ts/client.mjs", g.URL, `[{"do":"tools/list/pages"}]`),
		"Python":     command(t, harness.Tool(t, ".tools/venv/bin/python"), "test/clients/py/client.py", g.URL, `[{"do":"tools/list/pages"}]`, "legacy"),
	} {
		var got struct {
			Steps []struct {
				Pages  int
				Result struct{ Tools []struct{ Name string } }
			}
		}
		if err := json.Unmarshal([]byte(output), &got); err != nil || len(got.Steps) != 1 {
			t.Fatalf("%s: %v: %s", name, err, output)
		}
		var listed []string
		for _, tool := range got.Steps[0].Result.Tools {
			listed = append(listed, tool.Name)
		}
		if !slices.Equal(listed, names) || got.Steps[0].Pages != 6 {
			t.Errorf("%s: %d pages with %q", name, got.Steps[0].Pages, listed)
		}
	}
	c := harness.Connect(t, g.URL)
	for _, cursor := range []string{`""`, `"10"`, `1`} {
		wantError(t, c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":`+cursor+`}}`), 200, -32602, "1")
	}
}

func TestPartialLists(t *testing.T) {
	t.Parallel()
	up := mcpserver.Start(t, tools("up", "tool"))
	down := func(policy string) harness.Server {
		return behind(mcpserver.NewDown(t, tools("d", "tool")), "down", "partial: "+policy)
	}
	for policy, fails := range map[string]bool{"stale": false, "skip": false, "fail": true} {
		g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(up, "up"), down(policy)}, Virtual: []string{"{name: up, servers: [up]}"}})
		c := harness.Connect(t, g.URL)
		if !fails {
			if diff := cmp.Diff([]string{"up_tool"}, c.Names("tools/list")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", policy, diff)
			}
			continue
		}
		reply := wantError(t, c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`), 200, -32603, "1")
		if !strings.Contains(reply.Error.Message, "server down ") {
			t.Errorf("%s: %s", policy, reply.Error.Message)
		}
		if diff := cmp.Diff([]string{"up_tool"}, harness.Connect(t, g.URL+"/up").Names("tools/list")); diff != "" {
			t.Errorf("%s, an endpoint without the server (-want +got):\n%s", policy, diff)
		}
		wantTool(t, c, "up_tool", "up", "tool")
	}
}
