package catalog_test

import (
	"testing"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
)

// tasksOf lists the tools of one server with a prefix.
func tasksOf(modern bool, pageSize int, tools ...string) *catalog.View {
	config := gatewayconfig.Server{Name: "s", Prefix: "s_"}
	return catalog.Merge([]catalog.Server{{
		Route: gatewayconfig.TableServer{Name: "s", Listed: true, Modern: modern},
		Items: catalog.Prepare(catalog.Lists{Tools: raws(tools...)}, config, catalog.Limits{Name: 64}),
	}}, catalog.Options{PageSize: pageSize}).View("")
}

func TestStatelessClientsSeeNoTasksOfOldServers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ tool, want string }{
		{`{"name":"a"}`, `{"name":"s_a"}`},
		{`{"name":"a","description":"execution"}`, `{"name":"s_a","description":"execution"}`},
		{`{"name":"a", "execution" : {"taskSupport":"optional"}, "x":1.0}`, `{"name":"s_a","x":1.0}`},
		{`{"execution":{"taskSupport":"forbidden"},"name":"a"}`, `{"name":"s_a"}`},
		{`{"execution":{},"execution":{},"name":"a"}`, `{"name":"s_a"}`},
		{`{"name":"a","execution":null}`, `{"name":"s_a"}`},
		{`{"name":"a","execution":{"taskSupport":"required"}}`, ``},
		{`{"execution":{},"name":"a","execution":{"taskSupport":"\u0072equired"}}`, ``},
		{`{"name":"a","inputSchema":{"execution":{"taskSupport":"required"}}}`, `{"name":"s_a","inputSchema":{"execution":{"taskSupport":"required"}}}`},
	} {
		old := tasksOf(false, 0, tt.tool)
		if got, want := string(old.FirstStateless(catalog.Tools)), `"tools":[`+tt.want+`]}}`; got != want {
			t.Errorf("%s\n got %s\nwant %s", tt.tool, got, want)
		}
		if it, ok := old.Find(catalog.Tools, "s_a"); !ok || it.Stateful != (tt.want == "") {
			t.Errorf("%s: found %v, stateful %v", tt.tool, ok, it.Stateful)
		}
		both := tasksOf(true, 0, tt.tool)
		if got, want := string(both.FirstStateless(catalog.Tools)), string(both.First(catalog.Tools)[len(`,"result":{`):]); got != want {
			t.Errorf("of a stateless server\n got %s\nwant %s", got, want)
		}
		if string(old.First(catalog.Tools)) != string(both.First(catalog.Tools)) {
			t.Errorf("clients with sessions see %s", old.First(catalog.Tools))
		}
		if old.Differs(catalog.Tools, both) != (string(old.FirstStateless(catalog.Tools)) != string(both.FirstStateless(catalog.Tools))) {
			t.Errorf("%s: differs %v", tt.tool, old.Differs(catalog.Tools, both))
		}
	}
}

func TestClientsWithSessionsSeeSchemasOfObjectsOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ tool, want string }{
		{`{"name":"a","outputSchema":{"type":"object","x":1.0}}`, `{"name":"s_a","outputSchema":{"type":"object","x":1.0}}`},
		{`{"name":"a","outputSchema":{"\u0074ype":"\u006fbject"}, "x":1}`, `{"name":"s_a","outputSchema":{"\u0074ype":"\u006fbject"}, "x":1}`},
		{`{"name":"a","outputSchema":{"type":"array"}, "x":1.0}`, `{"name":"s_a","x":1.0}`},
		{`{"name":"a","outputSchema":{"anyOf":[{"type":"object"}]}}`, `{"name":"s_a"}`},
		{`{"outputSchema":true,"name":"a"}`, `{"name":"s_a"}`},
		{`{"name":"a","inputSchema":{"outputSchema":1}}`, `{"name":"s_a","inputSchema":{"outputSchema":1}}`},
	} {
		modern, old := tasksOf(true, 0, tt.tool), tasksOf(false, 0, tt.tool)
		if got, want := string(modern.First(catalog.Tools)), `,"result":{"tools":[`+tt.want+`]}}`; got != want {
			t.Errorf("%s\n got %s\nwant %s", tt.tool, got, want)
		}
		// Others see what the server says, and so do all of a server with sessions.
		said := string(old.First(catalog.Tools))
		if got := `,"result":{` + string(modern.FirstStateless(catalog.Tools)); got != said {
			t.Errorf("clients of stateless revisions see %s, want %s", got, said)
		}
	}
}

func TestStatelessPages(t *testing.T) {
	t.Parallel()
	// Where the items are the same, so are pages and cursors.
	same := tasksOf(false, 1, `{"name":"a"}`, `{"name":"b"}`)
	cursor := cursorOf(t, same.First(catalog.Tools))
	page, ok := same.PageStateless(catalog.Tools, cursor)
	if !ok || string(page) != `"tools":[{"name":"s_b"}]}}` {
		t.Errorf("%v %s", ok, page)
	}
	// Else each has its own.
	other := tasksOf(false, 1, `{"name":"a"}`, `{"name":"t","execution":{"taskSupport":"required"}}`, `{"name":"b"}`)
	old, next := cursorOf(t, other.First(catalog.Tools)), cursorOf(t, other.FirstStateless(catalog.Tools))
	if page, ok := other.PageStateless(catalog.Tools, next); !ok || string(page) != `"tools":[{"name":"s_b"}]}}` {
		t.Errorf("%v %s", ok, page)
	}
	if _, ok := other.PageStateless(catalog.Tools, old); ok {
		t.Error("a cursor of another list")
	}
	if _, ok := other.Page(catalog.Tools, next); ok {
		t.Error("a cursor of another list")
	}
}

func cursorOf(t *testing.T, page []byte) string {
	t.Helper()
	m := nextCursor.FindSubmatch(page)
	if m == nil {
		t.Fatalf("no cursor: %s", page)
	}
	return string(m[1])
}
