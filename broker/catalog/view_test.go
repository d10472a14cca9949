package catalog_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
)

func twoServers() []catalog.Server {
	weather := gatewayconfig.Server{Name: "weather", Prefix: "w_", Label: "weather"}
	docs := gatewayconfig.Server{Name: "docs", Label: "docs", Resources: gatewayconfig.Rules{Deny: []string{"*.key"}}}
	return []catalog.Server{
		{Route: gatewayconfig.TableServer{Name: "weather", Label: "weather", Listed: true}, Items: catalog.Prepare(catalog.Lists{
			Tools: raws(`{"name":"get"}`, `{"name":"set"}`), Resources: raws(`{"uri":"file:///a"}`),
		}, weather, catalog.Limits{Name: 64})},
		{Route: gatewayconfig.TableServer{Name: "docs", Label: "docs", Listed: true}, Items: catalog.Prepare(catalog.Lists{
			Tools: raws(`{"name":"search"}`), Prompts: raws(`{"name":"brief"}`),
			Resources: raws(`{"uri":"file:///a"}`, `{"uri":"file:///b"}`), Templates: raws(`{"uriTemplate":"file:///{x}"}`),
		}, docs, catalog.Limits{Name: 64})},
	}
}

func TestViewShowsItsPart(t *testing.T) {
	t.Parallel()
	c := catalog.Merge(twoServers(), catalog.Options{Views: []gatewayconfig.View{
		{Name: "read", Servers: []string{"weather", "docs"}, Tools: gatewayconfig.Rules{Deny: []string{"w_set"}}, Resources: gatewayconfig.Rules{Allow: []string{"docs+file:///*"}}},
		{Name: "docs", Servers: []string{"docs", "not enabled"}, Prompts: gatewayconfig.Rules{Deny: []string{"*"}}},
		{Name: "none", Servers: nil},
	}})
	for view, want := range map[string]string{
		"":     "w_get w_set search / brief / weather+file:///a docs+file:///a docs+file:///b / docs+file:///{x}",
		"read": "w_get search / brief / docs+file:///a docs+file:///b / docs+file:///{x}",
		"docs": "search /  / docs+file:///a docs+file:///b / docs+file:///{x}",
		"none": " /  /  / ",
	} {
		v := c.View(view)
		var parts []string
		for k := catalog.Tools; k <= catalog.Templates; k++ {
			var names []string
			for _, m := range regexp.MustCompile(`"(?:name|uri|uriTemplate)":"([^"]*)"`).FindAllStringSubmatch(string(v.First(k)), -1) {
				names = append(names, m[1])
			}
			if len(names) != v.Count(k) {
				t.Errorf("%q %v: count %d", view, k, v.Count(k))
			}
			parts = append(parts, strings.Join(names, " "))
		}
		if got := strings.Join(parts, " / "); got != want {
			t.Errorf("%q:\n got %s\nwant %s", view, got, want)
		}
	}
	if c.View("other") != nil {
		t.Error("a view that nobody configured")
	}
	want := []gatewayconfig.TableView{
		{Name: "read", Servers: []int{0, 1}, Tools: gatewayconfig.Rules{Deny: []string{"w_set"}}, Resources: gatewayconfig.Rules{Allow: []string{"docs+file:///*"}}},
		{Name: "docs", Servers: []int{1}, Prompts: gatewayconfig.Rules{Deny: []string{"*"}}},
		{Name: "none", Servers: []int{}},
	}
	if diff := cmp.Diff(want, c.Table().Views); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if c.View("docs").ShowsServer("weather") || !c.View("docs").ShowsServer("docs") || c.View("").ShowsServer("nobody") {
		t.Error("ShowsServer")
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	servers := twoServers()
	servers[1].Hidden = true
	c := catalog.Merge(servers, catalog.Options{Views: []gatewayconfig.View{{Name: "docs", Servers: []string{"docs"}}}})
	for _, tt := range []struct {
		view string
		kind catalog.Kind
		name string
		want string
	}{
		{"", catalog.Tools, "w_get", `weather get {"name":"w_get"}`},
		{"", catalog.Tools, "search", `docs search {"name":"search"}`},
		{"", catalog.Tools, "get", ""},
		{"", catalog.Prompts, "w_get", ""},
		{"docs", catalog.Tools, "w_get", ""},
		{"docs", catalog.Prompts, "brief", `docs brief {"name":"brief"}`},
	} {
		got := ""
		if it, ok := c.View(tt.view).Find(tt.kind, tt.name); ok {
			got = fmt.Sprintf("%s %s %s", it.Server, it.Own, it.Raw)
		}
		if got != tt.want {
			t.Errorf("%q %v %s: %q, want %q", tt.view, tt.kind, tt.name, got, tt.want)
		}
	}
}

func TestResource(t *testing.T) {
	t.Parallel()
	views := catalog.Options{Views: []gatewayconfig.View{
		{Name: "v", Servers: []string{"docs"}, Resources: gatewayconfig.Rules{Allow: []string{"docs+file:///team/*"}}},
	}}
	two := catalog.Merge(twoServers(), views)
	one := twoServers()[1:]
	one[0].Route.Label = ""
	sole := catalog.Merge(one, catalog.Options{})
	for _, test := range []struct {
		c                      *catalog.Catalog
		view, uri, server, own string
	}{
		{two, "", "docs+file:///x", "docs", "file:///x"},
		{two, "", "docs+file:///x.key", "", ""},
		{two, "", "docs+file:///x%2ekey", "", ""},
		{two, "", "weather+file:///x.key", "weather", "file:///x.key"},
		{two, "", "ui://docs+a", "docs", "ui://a"},
		{two, "", "file:///x", "", ""},
		{two, "", "other+file:///x", "", ""},
		{two, "v", "docs+file:///team/x", "docs", "file:///team/x"},
		{two, "v", "docs+file:///x", "", ""},
		{two, "v", "docs+file:///team/../x", "", ""},
		{two, "v", "weather+file:///team/x", "", ""},
		{sole, "", "file:///x", "docs", "file:///x"},
		{sole, "", "file:///x.key", "", ""},
		{catalog.Merge(nil, catalog.Options{}), "", "file:///x", "", ""},
	} {
		server, own, ok := test.c.View(test.view).Resource(test.uri)
		if server != test.server || own != test.own || ok != (test.server != "") {
			t.Errorf("%q %s: %q %q %v", test.view, test.uri, server, own, ok)
		}
	}
}

var nextCursor = regexp.MustCompile(`\],"nextCursor":"([^"]+)"\}\}$`)

// pages follows the cursors and returns the items of each page.
func pages(t *testing.T, v *catalog.View, k catalog.Kind) []string {
	t.Helper()
	var out []string
	for page := v.First(k); ; {
		items := strings.TrimPrefix(string(page), `,"result":{"`+k.String()+`":[`)
		m := nextCursor.FindStringSubmatch(items)
		if m == nil {
			return append(out, strings.TrimSuffix(items, "]}}"))
		}
		out = append(out, strings.TrimSuffix(items, m[0]))
		var ok bool
		if page, ok = v.Page(k, m[1]); !ok || len(out) > 100 {
			t.Fatalf("page %d: cursor %q is unknown", len(out), m[1])
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	var tools []string
	for i := range 5 {
		tools = append(tools, fmt.Sprint("t", i))
	}
	item := func(i ...int) string {
		var out []string
		for _, i := range i {
			out = append(out, fmt.Sprintf(`{"name":"t%d"}`, i))
		}
		return strings.Join(out, ",")
	}
	for size, want := range map[int][]string{
		0: {item(0, 1, 2, 3, 4)}, 5: {item(0, 1, 2, 3, 4)}, 6: {item(0, 1, 2, 3, 4)},
		2: {item(0, 1), item(2, 3), item(4)}, 4: {item(0, 1, 2, 3), item(4)}, 1: {item(0), item(1), item(2), item(3), item(4)},
	} {
		c := catalog.Merge([]catalog.Server{named(gatewayconfig.Server{Name: "s"}, tools...)}, catalog.Options{PageSize: size})
		if diff := cmp.Diff(want, pages(t, c.View(""), catalog.Tools)); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", size, diff)
		}
		if diff := cmp.Diff([]string{""}, pages(t, c.View(""), catalog.Prompts)); diff != "" {
			t.Errorf("an empty list (-want +got):\n%s", diff)
		}
	}
}

// A cursor is good for the list that it was made for, in every replica, and for
// no other.
func TestCursorsBelongToTheirList(t *testing.T) {
	t.Parallel()
	options := catalog.Options{PageSize: 1, Views: []gatewayconfig.View{{Name: "v", Servers: []string{"s"}}}}
	list := func(names ...string) *catalog.Catalog {
		return catalog.Merge([]catalog.Server{named(gatewayconfig.Server{Name: "s"}, names...)}, options)
	}
	first := list("a", "b", "c")
	m := nextCursor.FindSubmatch(first.View("").First(catalog.Tools))
	if m == nil {
		t.Fatal("no cursor")
	}
	cursor := string(m[1])
	if _, ok := list("a", "b", "c").View("").Page(catalog.Tools, cursor); !ok {
		t.Error("unknown to another replica")
	}
	for name, known := range map[string]func() bool{
		"changed list": func() bool { _, ok := list("a", "b", "d").View("").Page(catalog.Tools, cursor); return ok },
		"other view":   func() bool { _, ok := first.View("v").Page(catalog.Tools, cursor); return ok },
		"other kind":   func() bool { _, ok := first.View("").Page(catalog.Prompts, cursor); return ok },
		"empty":        func() bool { _, ok := first.View("").Page(catalog.Tools, ""); return ok },
		"forged":       func() bool { _, ok := first.View("").Page(catalog.Tools, "1"); return ok },
	} {
		if known() {
			t.Errorf("%s: the cursor is known", name)
		}
	}
}

func TestFailingServersInLists(t *testing.T) {
	t.Parallel()
	servers := twoServers()
	servers[0].Hidden = true
	servers[1].Failing = catalog.Set(catalog.Resources, catalog.Templates)
	c := catalog.Merge(servers, catalog.Options{Views: []gatewayconfig.View{{Name: "weather", Servers: []string{"weather"}}}})
	if got, want := string(c.View("").First(catalog.Tools)), `,"result":{"tools":[{"name":"search"}]}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Left out of lists, not of calls.
	if _, ok := c.Table().Tools["w_get"]; !ok {
		t.Error("w_get is not in the table")
	}
	for k, want := range map[catalog.Kind]string{catalog.Tools: "", catalog.Prompts: "", catalog.Resources: "docs", catalog.Templates: "docs"} {
		if got := c.View("").Failing(k); got != want {
			t.Errorf("%v: failing %q, want %q", k, got, want)
		}
		if got := c.View("weather").Failing(k); got != "" {
			t.Errorf("%v: failing %q where the server is not shown", k, got)
		}
	}
	fine := catalog.Merge(twoServers(), catalog.Options{})
	if !fine.View("").Differs(catalog.Resources, c.View("")) || !fine.View("").Differs(catalog.Tools, c.View("")) {
		t.Error("no change to tell of")
	}
}
