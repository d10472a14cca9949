package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/toolname"
)

// named returns a server with tools, prepared as its configuration says.
func named(config gatewayconfig.Server, tools ...string) catalog.Server {
	var lists catalog.Lists
	for _, tool := range tools {
		lists.Tools = append(lists.Tools, fmt.Appendf(nil, `{"name":%q}`, tool))
	}
	return catalog.Server{
		Route: gatewayconfig.TableServer{Name: config.Name, Prefix: config.Prefix, Listed: tools != nil},
		Items: catalog.Prepare(lists, config, catalog.Limits{Name: 64}),
	}
}

func onConflict(name string) gatewayconfig.Server {
	return gatewayconfig.Server{Name: name, Prefix: name + "_", OnConflict: true}
}

// shown returns the exposed names of tools in the order of the list, and checks
// that the table has them and no others.
func shown(t *testing.T, c *catalog.Catalog) string {
	t.Helper()
	var names []string
	for part := range strings.SplitSeq(string(c.View("").First(catalog.Tools)), `{"name":"`) {
		if name, _, ok := strings.Cut(part, `"}`); ok && !strings.HasPrefix(part, ",") {
			names = append(names, name)
		}
	}
	table := c.Table()
	for _, name := range names {
		if _, ok := table.Tools[name]; !ok {
			t.Errorf("%s is listed and not in the table", name)
		}
	}
	if len(table.Tools) != len(names) {
		t.Errorf("%d names listed, %d in the table", len(names), len(table.Tools))
	}
	return strings.Join(names, " ")
}

func TestPrefixOnConflict(t *testing.T) {
	t.Parallel()
	a, b, c := onConflict("a"), onConflict("b"), onConflict("c")
	fixed := gatewayconfig.Server{Name: "f"}
	prefixed := gatewayconfig.Server{Name: "p", Prefix: "a_"}
	for _, test := range []struct {
		name      string
		servers   []catalog.Server
		want      string
		conflicts []catalog.Conflict
	}{
		{"alone", []catalog.Server{named(a, "x", "y")}, "x y", nil},
		{"two", []catalog.Server{named(a, "x", "y"), named(b, "x", "z")}, "a_x y b_x z", nil},
		{"three, of which one differs", []catalog.Server{named(a, "x"), named(b, "y"), named(c, "x")}, "a_x y c_x", nil},
		{"the other has no prefix", []catalog.Server{named(fixed, "x"), named(a, "x")}, "x a_x", nil},
		{"and comes later", []catalog.Server{named(a, "x"), named(fixed, "x")}, "a_x x", nil},
		{"a prefix makes the next conflict", []catalog.Server{named(a, "x"), named(b, "x", "a_x")}, "a_x b_x b_a_x", nil},
		{"one that is not known yet", []catalog.Server{named(a, "x"), named(b)}, "x", nil},
		{"a server twice", []catalog.Server{named(a, "x", "x")}, "x",
			[]catalog.Conflict{{Kind: catalog.Tools, Name: "x", Server: "a", Owner: "a"}}},
		{"the prefix runs into a fixed name", []catalog.Server{named(a, "x"), named(b, "x"), named(prefixed, "x")}, "a_x b_x",
			[]catalog.Conflict{{Kind: catalog.Tools, Name: "a_x", Server: "p", Owner: "a"}}},
		{"without a rule the first wins", []catalog.Server{named(fixed, "x"), named(gatewayconfig.Server{Name: "g"}, "x", "y")}, "x y",
			[]catalog.Conflict{{Kind: catalog.Tools, Name: "x", Server: "g", Owner: "f"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			merged := catalog.Merge(test.servers, catalog.Options{NameLimit: 64})
			if got := shown(t, merged); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if diff := cmp.Diff(test.conflicts, merged.Conflicts()); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
		})
	}
}

// Which names get a prefix does not depend on the order of servers or items.
func TestPrefixOnConflictIsIndependentOfOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	pool := []string{"x", "y", "z", "a_x", "b_x", "a_b_x", "b_a_x", "c_y", "a_a_x", "c_c_y"}
	for range 200 {
		servers := make([]catalog.Server, 3)
		for i, name := range []string{"a", "b", "c"} {
			tools := []string{"only_" + name}
			for _, tool := range pool {
				if rng.IntN(2) == 0 {
					tools = append(tools, tool)
				}
			}
			servers[i] = named(onConflict(name), tools...)
		}
		exposed := func() map[string]string {
			out := map[string]string{}
			table := catalog.Merge(servers, catalog.Options{}).Table()
			for name, target := range table.Tools {
				out[table.Servers[target.Server].Name+" "+target.Name] = name
			}
			return out
		}
		want := exposed()
		rng.Shuffle(3, func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
		// Which of two equal names is left out is for the order to say.
		for item, name := range exposed() {
			if want[item] != name && want[item] != "" {
				t.Fatalf("%s is %s in one order and %s in another", item, want[item], name)
			}
		}
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	cal := gatewayconfig.Server{Name: "cal", Prefix: "cal_", Tools: gatewayconfig.Items{Aliases: map[string]string{"find": "search", "x": "gone"}}}
	docs := gatewayconfig.Server{Name: "docs", Prefix: "docs_", OnConflict: true}
	c := catalog.Merge([]catalog.Server{named(docs, "find", "x", "search"), named(cal, "search", "list")}, catalog.Options{NameLimit: 64})
	// An alias takes its name even from an earlier server, and even if nothing is
	// listed for it.
	if got, want := shown(t, c), "docs_find docs_x search find cal_list"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := c.Table().Tools["find"]; got.Server != 1 || got.Name != "search" {
		t.Errorf("find is %+v", got)
	}
	if c.Conflicts() != nil || c.Renamed() != nil {
		t.Errorf("conflicts %v, renamed %v", c.Conflicts(), c.Renamed())
	}
}

func TestAliasWithoutListsIsInTheTable(t *testing.T) {
	t.Parallel()
	cal := gatewayconfig.Server{Name: "cal", Prefix: "cal_",
		Tools:   gatewayconfig.Items{Aliases: map[string]string{"find": "search"}},
		Prompts: gatewayconfig.Items{Rules: gatewayconfig.Rules{Allow: []string{"brief"}}}}
	c := catalog.Merge([]catalog.Server{named(cal), named(gatewayconfig.Server{Name: "other"}, "find")}, catalog.Options{})
	want := map[string]gatewayconfig.Target{"find": {Server: 0, Name: "search"}}
	if diff := cmp.Diff(want, c.Table().Tools); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	rules := &gatewayconfig.ServerRules{
		Tools: gatewayconfig.Rules{Deny: []string{"search"}}, Prompts: gatewayconfig.Rules{Allow: []string{"brief"}},
	}
	if diff := cmp.Diff(rules, c.Table().Servers[0].Rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if c.Table().Servers[1].Rules != nil {
		t.Errorf("rules of a server without any: %+v", c.Table().Servers[1].Rules)
	}
}

func TestRulesHideItems(t *testing.T) {
	t.Parallel()
	config := gatewayconfig.Server{
		Name: "s", Prefix: "s_", Label: "s",
		Tools:     gatewayconfig.Items{Rules: gatewayconfig.Rules{Allow: []string{"get_*"}, Deny: []string{"*_admin"}}},
		Prompts:   gatewayconfig.Items{Rules: gatewayconfig.Rules{Deny: []string{"*"}}},
		Resources: gatewayconfig.Rules{Allow: []string{"file:///public/*", "db://{table}"}},
	}
	items := catalog.Prepare(catalog.Lists{
		Tools:     raws(`{"name":"get_a"}`, `{"name":"get_admin"}`, `{"name":"set"}`),
		Prompts:   raws(`{"name":"p"}`),
		Resources: raws(`{"uri":"file:///public/a"}`, `{"uri":"file:///public/../b"}`, `{"uri":"file:///c"}`),
		Templates: raws(`{"uriTemplate":"db://{table}"}`, `{"uriTemplate":"file:///{path}"}`),
	}, config, catalog.Limits{Name: 64})
	for kind, want := range map[catalog.Kind]string{
		catalog.Tools: `{"name":"s_get_a"}`, catalog.Prompts: "",
		catalog.Resources: `{"uri":"s+file:///public/a"}`, catalog.Templates: `{"uriTemplate":"s+db://{table}"}`,
	} {
		if got := listed(t, kind, items); got != want {
			t.Errorf("%v: %s, want %s", kind, got, want)
		}
	}
	if got := []int{items.Hidden(catalog.Tools), items.Hidden(catalog.Prompts), items.Hidden(catalog.Resources), items.Hidden(catalog.Templates)}; !slices.Equal(got, []int{2, 1, 2, 1}) {
		t.Errorf("hidden %v", got)
	}
	if items.Faults() != nil {
		t.Errorf("faults %v", items.Faults())
	}
}

func TestRenamedItemsAreReported(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 64)
	c := catalog.Merge([]catalog.Server{
		named(onConflict("a"), "get weather", long, "fine"), named(onConflict("b"), long, "a_fine"),
	}, catalog.Options{NameLimit: 64})
	want := []catalog.Renamed{
		{Kind: catalog.Tools, Server: "a", Own: "get weather", Exposed: toolname.Fit("get weather", 64)},
		{Kind: catalog.Tools, Server: "a", Own: long, Exposed: toolname.Fit("a_"+long, 64)},
		{Kind: catalog.Tools, Server: "b", Own: long, Exposed: toolname.Fit("b_"+long, 64)},
	}
	if diff := cmp.Diff(want, c.Renamed()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Servers that make one conflict lead to the next cannot keep the merge busy.
func TestChainsOfConflictsEnd(t *testing.T) {
	t.Parallel()
	const n = 2000
	var a, b []string
	name := "x"
	for i := range n {
		if i%2 == 0 {
			a = append(a, name)
			b = append(b, name)
		}
		name = fmt.Sprintf("a_%s", name)
		if len(name) > 60 {
			name = fmt.Sprintf("x%d", i)
		}
		b = append(b, name)
	}
	c := catalog.Merge([]catalog.Server{named(onConflict("a"), a...), named(onConflict("b"), b...)}, catalog.Options{NameLimit: 64})
	if got := c.View("").Count(catalog.Tools) + len(c.Conflicts()); got != len(a)+len(b) {
		t.Errorf("%d items of %d", got, len(a)+len(b))
	}
}
