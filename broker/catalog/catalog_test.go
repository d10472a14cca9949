package catalog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
)

func raws(items ...string) [][]byte {
	var out [][]byte
	for _, it := range items {
		out = append(out, []byte(it))
	}
	return out
}

func server(name, prefix string, lists catalog.Lists) catalog.Server {
	return catalog.Server{
		Route: gatewayconfig.TableServer{Name: name, Authority: name + ":80", Path: "/mcp", Prefix: prefix, Listed: true},
		Items: catalog.Prepare(lists, gatewayconfig.Server{Prefix: prefix}, catalog.Limits{Name: 64}),
	}
}

func TestMergeKeepsConfiguredOrderAndServersOrder(t *testing.T) {
	t.Parallel()
	c := catalog.Merge([]catalog.Server{
		server("zeta", "z_", catalog.Lists{
			Tools:   raws(`{"name":"b"}`, `{"name":"a"}`),
			Prompts: raws(`{"name":"p"}`),
		}),
		{Route: gatewayconfig.TableServer{Name: "down"}},
		server("alpha", "a_", catalog.Lists{
			Tools:     raws(`{"name":"c"}`),
			Resources: raws(`{"uri":"file:///x"}`),
			Templates: raws(`{"uriTemplate":"file:///{x}"}`),
		}),
	}, catalog.Options{})
	for kind, want := range map[catalog.Kind]string{
		catalog.Tools:     `,"result":{"tools":[{"name":"z_b"},{"name":"z_a"},{"name":"a_c"}]}}`,
		catalog.Prompts:   `,"result":{"prompts":[{"name":"z_p"}]}}`,
		catalog.Resources: `,"result":{"resources":[{"uri":"file:///x"}]}}`,
		catalog.Templates: `,"result":{"resourceTemplates":[{"uriTemplate":"file:///{x}"}]}}`,
	} {
		if got := string(c.View("").First(kind)); got != want {
			t.Errorf("%v:\n got %s\nwant %s", kind, got, want)
		}
	}
	table := c.Table()
	want := gatewayconfig.Table{
		Version: table.Version,
		Servers: []gatewayconfig.TableServer{
			{Name: "zeta", Authority: "zeta:80", Path: "/mcp", Prefix: "z_", Listed: true},
			{Name: "down"},
			{Name: "alpha", Authority: "alpha:80", Path: "/mcp", Prefix: "a_", Listed: true},
		},
		Tools:   map[string]gatewayconfig.Target{"z_b": {Server: 0, Name: "b"}, "z_a": {Server: 0, Name: "a"}, "a_c": {Server: 2, Name: "c"}},
		Prompts: map[string]gatewayconfig.Target{"z_p": {Server: 0, Name: "p"}},
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if err := table.Validate(); err != nil {
		t.Error(err)
	}
	var decoded gatewayconfig.Table
	if err := gatewayconfig.Decode(c.EncodedTable(), &decoded); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table, decoded); diff != "" {
		t.Errorf("encoded table (-want +got):\n%s", diff)
	}
}

func TestMergeOfNothingListsNothing(t *testing.T) {
	t.Parallel()
	c := catalog.Merge(nil, catalog.Options{})
	if got, want := string(c.View("").First(catalog.Tools)), `,"result":{"tools":[]}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !json.Valid(c.EncodedTable()) || c.Table().Version == "" {
		t.Errorf("table %s", c.EncodedTable())
	}
}

func TestFirstServerWinsAName(t *testing.T) {
	t.Parallel()
	c := catalog.Merge([]catalog.Server{
		server("one", "", catalog.Lists{
			Tools:     raws(`{"name":"echo","v":1}`, `{"name":"echo","v":2}`),
			Resources: raws(`{"uri":"file:///x","v":1}`),
		}),
		server("two", "", catalog.Lists{
			Tools:     raws(`{"name":"echo","v":3}`, `{"name":"other"}`),
			Prompts:   raws(`{"name":"echo"}`),
			Resources: raws(`{"uri":"file:///x","v":2}`),
		}),
	}, catalog.Options{})
	if got, want := string(c.View("").First(catalog.Tools)), `,"result":{"tools":[{"name":"echo","v":1},{"name":"other"}]}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := []catalog.Conflict{
		{Kind: catalog.Tools, Name: "echo", Server: "one", Owner: "one"},
		{Kind: catalog.Tools, Name: "echo", Server: "two", Owner: "one"},
		{Kind: catalog.Resources, Name: "file:///x", Server: "two", Owner: "one"},
	}
	if diff := cmp.Diff(want, c.Conflicts()); diff != "" {
		t.Errorf("conflicts (-want +got):\n%s", diff)
	}
	if got := c.Table().Tools["echo"]; got.Server != 0 {
		t.Errorf("echo belongs to server %d, want 0", got.Server)
	}
	if got := c.Table().Prompts["echo"]; got.Server != 1 {
		t.Errorf("prompt echo belongs to server %d, want 1", got.Server)
	}
	if got := c.View("").Count(catalog.Tools); got != 2 {
		t.Errorf("Count = %d, want 2", got)
	}
}

func TestVersionAndDiffersFollowContent(t *testing.T) {
	t.Parallel()
	base := []catalog.Server{server("s", "s_", catalog.Lists{Tools: raws(`{"name":"a","description":"x"}`)})}
	same := []catalog.Server{server("s", "s_", catalog.Lists{Tools: raws(`{"name":"a","description":"x"}`)})}
	reworded := []catalog.Server{server("s", "s_", catalog.Lists{Tools: raws(`{"name":"a","description":"y"}`)})}
	grown := []catalog.Server{server("s", "s_", catalog.Lists{
		Tools:     raws(`{"name":"a","description":"x"}`, `{"name":"b"}`),
		Templates: raws(`{"uriTemplate":"x{y}"}`),
	})}
	tests := []struct {
		name    string
		other   []catalog.Server
		version bool
		kinds   []catalog.Kind
	}{
		{name: "same", other: same},
		{name: "definition", other: reworded, kinds: []catalog.Kind{catalog.Tools}},
		{name: "added", other: grown, version: true, kinds: []catalog.Kind{catalog.Tools, catalog.Templates}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := catalog.Merge(base, catalog.Options{}), catalog.Merge(test.other, catalog.Options{})
			if got := a.Table().Version != b.Table().Version; got != test.version {
				t.Errorf("version changed: %v, want %v", got, test.version)
			}
			var kinds []catalog.Kind
			for k := range catalog.Templates + 1 {
				if a.View("").Differs(k, b.View("")) {
					kinds = append(kinds, k)
				}
			}
			if diff := cmp.Diff(test.kinds, kinds); diff != "" {
				t.Errorf("kinds (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLongNamesAreShortenedInListAndTable(t *testing.T) {
	t.Parallel()
	own := strings.Repeat("n", 70)
	c := catalog.Merge([]catalog.Server{server("s", "s_", catalog.Lists{Tools: raws(fmt.Sprintf(`{"name":%q}`, own))})}, catalog.Options{NameLimit: 64})
	if len(c.Table().Tools) != 1 {
		t.Fatalf("tools: %v", c.Table().Tools)
	}
	for name, target := range c.Table().Tools {
		if len(name) != 64 || target.Name != own {
			t.Errorf("name %q (%d bytes) for %q", name, len(name), target.Name)
		}
		if !strings.Contains(string(c.View("").First(catalog.Tools)), `{"name":"`+name+`"}`) {
			t.Errorf("list %s does not show %q", c.View("").First(catalog.Tools), name)
		}
	}
}

// The table is encoded once; it must be what encoding the sealed one gives.
func TestEncodedTableIsTheTable(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string][]catalog.Server{
		"none": nil,
		"one":  {server(`a"version":""`, "p_", catalog.Lists{Tools: raws(`{"name":"x"}`)})},
	} {
		c := catalog.Merge(servers, catalog.Options{})
		want, err := json.Marshal(c.Table())
		if err != nil {
			t.Fatal(err)
		}
		if got := string(c.EncodedTable()); got != string(want) || len(c.Table().Version) != 24 {
			t.Errorf("%s: encoded %s, want %s", name, got, want)
		}
	}
}
