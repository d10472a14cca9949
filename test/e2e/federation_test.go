package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Items as no library would write them again: unknown members, numbers that no
// float holds, escapes that need none, members in odd order.
const (
	oddTool = `{"name":"echo","title":"Echo","description":"über \u00fcber \ud83d\ude00 a\/b <&>","inputSchema":` +
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":["object"],"$defs":{"node":{"$anchor":"n",` +
		`"properties":{"next":{"$ref":"#/$defs/node"}}}},"properties":{"n":{"type":"integer","maximum":9007199254740993,` +
		`"multipleOf":1.0,"const":1e400,"minimum":-0}},"anyOf":[{"required":["n"]}],"if":{},"then":false,"x":1E+2},` +
		`"outputSchema":true,"execution":{"taskSupport":"optional","later":[1.50]},"icons":[{"src":` +
		`"https://icons.example/i.svg","sizes":["any"],"theme":"dark","mimeType":"image/svg+xml","new":null}],` +
		`"annotations":{"readOnlyHint":true,"later":null},"_meta":{"com.example/big":123456789012345678901234567890,` +
		`"name":"echo","uri":"file:///kept"},"later":{"name":"echo","uri":"file:///kept","list":[{},[],""]}}`
	spacedTool = "{ \"inputSchema\" : {\"type\":\"object\"} ,\n\t\"name\" : \"list\" }"
	oddPrompt  = `{"description":"p","arguments":[{"name":"echo","required":true,"later":1.0}],"name":"echo","title":"t",` +
		`"icons":[],"_meta":{"n":9007199254740993}}`
	oddResource = `{"uri":"file:///a%20b?x=1#y","name":"a","title":"A","mimeType":"text/plain","size":9007199254740993,` +
		`"annotations":{"priority":1.0,"audience":["user"]},"_meta":{"uri":"file:///kept"},"later":{}}`
	uiResource  = `{"name":"view","uri":"ui://view/main","mimeType":"text/html;profile=mcp-app"}`
	oddTemplate = `{"uriTemplate":"file:///{+path}{?q*}","name":"t","later":{"uriTemplate":"kept"}}`
)

// odd is a server with all of these.
func odd(name string, framing mcpserver.Framing) mcpserver.Script {
	return mcpserver.Script{Name: name, Framing: framing, Pages: map[string][]string{
		mcpserver.ToolsList:     {oddTool, spacedTool + " , " + `{"name":"` + name + `only"}`},
		mcpserver.PromptsList:   {oddPrompt, `{"name":"second"}`},
		mcpserver.ResourcesList: {oddResource, "", uiResource},
		mcpserver.TemplatesList: {oddTemplate},
	}}
}

// renamed is an item as a client should see it.
func renamed(item, member, from, to string) string {
	for _, colon := range []string{":", " : "} {
		was := fmt.Sprintf("%q%s%q", member, colon, from)
		if strings.Contains(item, was) {
			return strings.Replace(item, was, fmt.Sprintf("%q%s%q", member, colon, to), 1)
		}
	}
	panic("no member " + member + " with " + from)
}

func TestListsAreTheServersBytes(t *testing.T) {
	t.Parallel()
	var servers []harness.Server
	want := map[string][]string{}
	for _, s := range []struct {
		name, prefix string
		framing      mcpserver.Framing
	}{{"alpha", "alpha_", mcpserver.JSON}, {"Beta", "b.", mcpserver.SSE}, {"g_2", "", mcpserver.SSEPrimed}} {
		backend := mcpserver.Start(t, odd(s.name, s.framing))
		servers = append(servers, harness.Server{Name: s.name, URL: backend.URL(), Prefix: s.prefix})
		label := map[string]string{"alpha": "alpha", "Beta": "beta", "g_2": "g-2"}[s.name]
		want[mcpserver.ToolsList] = append(want[mcpserver.ToolsList],
			renamed(oddTool, "name", "echo", s.prefix+"echo"),
			renamed(spacedTool, "name", "list", s.prefix+"list"),
			`{"name":"`+s.prefix+s.name+`only"}`)
		prompt := strings.Replace(oddPrompt, `],"name":"echo"`, `],"name":"`+s.prefix+`echo"`, 1)
		want[mcpserver.PromptsList] = append(want[mcpserver.PromptsList], prompt, `{"name":"`+s.prefix+`second"}`)
		want[mcpserver.ResourcesList] = append(want[mcpserver.ResourcesList],
			renamed(oddResource, "uri", "file:///a%20b?x=1#y", label+"+file:///a%20b?x=1#y"),
			renamed(uiResource, "uri", "ui://view/main", "ui://"+label+"+view/main"))
		want[mcpserver.TemplatesList] = append(want[mcpserver.TemplatesList],
			renamed(oddTemplate, "uriTemplate", "file:///{+path}{?q*}", label+"+file:///{+path}{?q*}"))
	}
	g := harness.Run(t, harness.Config{Servers: servers})
	c := harness.Connect(t, g.URL)
	for method, items := range want {
		if diff := cmp.Diff(items, c.List(method)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", method, diff)
		}
	}
}

func TestOneServerWithoutPrefixKeepsItsNames(t *testing.T) {
	t.Parallel()
	backend := mcpserver.Start(t, odd("solo", mcpserver.JSON))
	backend.Handle("tools/call", "echo", func(x *mcpserver.Exchange) {
		x.Result(`{"content":[{"type":"resource_link","uri":"file:///a","name":"a"}]}`)
	})
	g := harness.Run(t, harness.Config{Servers: []harness.Server{{Name: "solo", URL: backend.URL()}}})
	c := harness.Connect(t, g.URL)
	for method, want := range map[string][]string{
		mcpserver.ToolsList:     {oddTool, spacedTool, `{"name":"soloonly"}`},
		mcpserver.PromptsList:   {oddPrompt, `{"name":"second"}`},
		mcpserver.ResourcesList: {oddResource, uiResource},
		mcpserver.TemplatesList: {oddTemplate},
	} {
		if diff := cmp.Diff(want, c.List(method)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", method, diff)
		}
	}
	if got, want := c.Tool("echo", ""), `{"content":[{"type":"resource_link","uri":"file:///a","name":"a"}]}`; got != want {
		t.Errorf("tools/call: %s, want %s", got, want)
	}
	const body = `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a%20b?x=1#y"}}`
	if r := c.Post(body); !strings.Contains(r.Body, `"uri":"file:///a%20b?x=1#y"`) {
		t.Errorf("resources/read: %s", r)
	}
	if got := string(backend.Last("resources/read").Body); got != body {
		t.Errorf("the server received %s, want %s", got, body)
	}
}

// Without a rule for a conflict the first server keeps the name: never both, and
// the same one in lists and calls.
func TestClashWithoutPrefixGoesToTheFirst(t *testing.T) {
	t.Parallel()
	var servers []harness.Server
	for _, name := range []string{"first", "second", "third"} {
		backend := mcpserver.Start(t, tools(name, "echo", name+"_own"))
		servers = append(servers, harness.Server{Name: name, URL: backend.URL()})
	}
	g := harness.Run(t, harness.Config{Servers: servers})
	c := harness.Connect(t, g.URL)
	want := []string{"echo", "first_own", "second_own", "third_own"}
	if diff := cmp.Diff(want, c.Names("tools/list")); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	wantTool(t, c, "echo", "first", "echo")
	wantTool(t, c, "third_own", "third", "third_own")
}

func TestNamesAreShortenedTo64(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 60)
	backend := mcpserver.Start(t, tools("long", long))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{{Name: "long", URL: backend.URL(), Prefix: "prefix_"}}})
	c := harness.Connect(t, g.URL)
	names := c.Names("tools/list")
	if len(names) != 1 || len(names[0]) != 64 || !strings.HasPrefix(names[0], "prefix_nnn") {
		t.Fatalf("names %q, want one of 64 characters", names)
	}
	wantTool(t, c, names[0], "long", long)
}

func TestInitializeJoinsTheServers(t *testing.T) {
	t.Parallel()
	a := tools("a", "x")
	a.Instructions = "Use \"x\"\nwell."
	b := one("b")
	b.Instructions = "For b: ü."
	g := harness.Run(t, harness.Config{
		Gateway: []string{"name: test-gateway", "instructions: Mine first."},
		Servers: []harness.Server{behind(mcpserver.Start(t, a), "a"), behind(mcpserver.Start(t, b), "b")},
	})
	r := harness.NewClient(t, g.URL).Initialize()
	reply, err := r.Reply()
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		ProtocolVersion, Instructions string
		ServerInfo                    struct{ Name, Version string }
		Capabilities                  map[string]struct{ ListChanged, Subscribe bool }
	}
	if err := json.Unmarshal(reply.Result, &result); err != nil {
		t.Fatalf("%v: %s", err, reply.Result)
	}
	if result.ProtocolVersion != harness.Revision || result.ServerInfo.Name != "test-gateway" || result.ServerInfo.Version == "" {
		t.Errorf("initialize: %s", reply.Result)
	}
	for _, kind := range []string{"tools", "prompts", "resources"} {
		if !result.Capabilities[kind].ListChanged {
			t.Errorf("capability %s without listChanged: %s", kind, reply.Result)
		}
	}
	at := -1
	for _, part := range []string{"Mine first.", "## a\nUse \"x\"\nwell.", "## b\nFor b: ü."} {
		i := strings.Index(result.Instructions, part)
		if i <= at {
			t.Errorf("instructions without %q, or in another order:\n%s", part, result.Instructions)
		}
		at = i
	}
	if id := r.Header.Get(harness.HeaderSession); len(id) != 43 {
		t.Errorf("session id %q, want 43 characters", id)
	}
}
