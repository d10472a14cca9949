package gateway

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/gatewayconfig"
)

func TestPrefixPolicies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		policy       PrefixPolicy
		prefix, want string
		onConflict   bool
	}{
		{"", "", "", false},
		{"", "x.", "x.", false},
		{PrefixAlways, "", "a_", false},
		{PrefixAlways, "x.", "x.", false},
		{PrefixOnConflict, "", "a_", true},
		{PrefixOnConflict, "x.", "x.", true},
		{PrefixNever, "", "", false},
	} {
		g := gatewayOf(server("a", "http://a/mcp", func(s *Server) { s.Prefix, s.PrefixPolicy = test.prefix, test.policy }))
		if problems := g.Validate(); problems != nil {
			t.Errorf("%q: %v", test.policy, problems)
		}
		got := g.Broker("").Servers[0]
		if got.Prefix != test.want || got.OnConflict != test.onConflict {
			t.Errorf("%q with %q: %q, on conflict %v", test.policy, test.prefix, got.Prefix, got.OnConflict)
		}
	}
}

func TestViews(t *testing.T) {
	t.Parallel()
	g := gatewayOf(server("a", "http://a/mcp"), server("off", "http://b/mcp", func(s *Server) { s.Enabled = false }), server("c", "http://c/mcp"))
	g.VirtualServers = []VirtualServer{
		{Name: "all", Tools: Rules{Deny: []string{"x"}}},
		{Name: "some", Description: "d", Instructions: "i", Servers: []string{"c", "off"}, Prompts: Rules{Allow: []string{"p"}}, Resources: Rules{Allow: []string{"c+*"}}},
		{Name: "off", Servers: []string{"off"}},
	}
	if problems := g.Validate(); problems != nil {
		t.Error(problems)
	}
	want := []gatewayconfig.View{
		{Name: "all", Servers: []string{"a", "c"}, Tools: gatewayconfig.Rules{Deny: []string{"x"}}},
		{Name: "some", Description: "d", Instructions: "i", Servers: []string{"c"},
			Prompts: gatewayconfig.Rules{Allow: []string{"p"}}, Resources: gatewayconfig.Rules{Allow: []string{"c+*"}}},
		{Name: "off", Servers: []string{}},
	}
	if diff := cmp.Diff(want, g.Broker("").Views); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestItemsAndPartialReachTheBroker(t *testing.T) {
	t.Parallel()
	g := gatewayOf(server("a", "http://a/mcp", func(s *Server) {
		s.Tools = Items{Rules: Rules{Allow: []string{"a*"}, Deny: []string{"ab"}}, Aliases: map[string]string{"x": "a1"}}
		s.Prompts.Deny, s.Resources.Allow = []string{"p"}, []string{"file:///*"}
	}), server("b", "http://b/mcp", func(s *Server) { s.Partial, s.Era = gatewayconfig.PartialFail, gatewayconfig.EraModern }))
	g.Partial = gatewayconfig.PartialSkip
	got := g.Broker("").Servers
	want := gatewayconfig.Items{Rules: gatewayconfig.Rules{Allow: []string{"a*"}, Deny: []string{"ab"}}, Aliases: map[string]string{"x": "a1"}}
	if diff := cmp.Diff(want, got[0].Tools); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(got[0].Prompts.Deny) != 1 || len(got[0].Resources.Allow) != 1 || got[0].Partial != "skip" || got[1].Partial != "fail" || got[0].Era != "" || got[1].Era != "modern" {
		t.Errorf("%+v", got)
	}
}

func TestNamesAreChecked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit func(*Gateway)
		want string // path of the only problem; "" for none
	}{
		"page of one":           {func(g *Gateway) { g.PageSize = 1 }, ""},
		"negative page":         {func(g *Gateway) { g.PageSize = -1 }, "gateway.pageSize"},
		"no name limit":         {func(g *Gateway) { g.NameLength = 0 }, ""},
		"short names":           {func(g *Gateway) { g.NameLength = 31 }, "gateway.nameLength"},
		"prefix fills the name": {func(g *Gateway) { g.NameLength, g.Servers[0].Prefix = 32, "seventeen_letters" }, "servers[0].prefix"},
		"no partial":            {func(g *Gateway) { g.Partial = "" }, "gateway.partial"},
		"long alias":            {func(g *Gateway) { g.Servers[0].Tools.Aliases = map[string]string{strings.Repeat("a", 65): "a"} }, "servers[0].tools.aliases." + strings.Repeat("a", 65)},
		"long alias, no limit": {func(g *Gateway) {
			g.NameLength = 0
			g.Servers[0].Tools.Aliases = map[string]string{strings.Repeat("a", 65): "a"}
		}, ""},
		"tool and prompt alias": {func(g *Gateway) {
			g.Servers[0].Tools.Aliases, g.Servers[0].Prompts.Aliases = map[string]string{"x": "a"}, map[string]string{"x": "a"}
		}, ""},
		"view named messages":       {func(g *Gateway) { g.VirtualServers = []VirtualServer{{Name: "messages"}} }, "virtualServers[0].name"},
		"view at ssePath":           {func(g *Gateway) { g.SSEPath = "/mcp/v"; g.VirtualServers = []VirtualServer{{Name: "v"}} }, "virtualServers[0].name"},
		"pattern for a file":        {func(g *Gateway) { g.Servers[0].Resources.Deny = []string{"file:///a%20b/*", "*.key"} }, ""},
		"pattern spelled otherwise": {func(g *Gateway) { g.Servers[0].Resources.Deny = []string{"file:/a/*"} }, "servers[0].resources.deny[0]"},
		"labelled pattern": {func(g *Gateway) {
			g.VirtualServers = []VirtualServer{{Name: "v", Resources: Rules{Allow: []string{"a+file:///a", "ui://a+*", "*"}}}}
		}, ""},
		"labelled, spelled otherwise": {func(g *Gateway) {
			g.VirtualServers = []VirtualServer{{Name: "v", Resources: Rules{Allow: []string{"*", "a+file://localhost/a"}}}}
		}, "virtualServers[0].resources.allow[1]"},
		"view of the other case": {func(g *Gateway) { g.VirtualServers = []VirtualServer{{Name: "v"}, {Name: "V"}} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gatewayOf(server("a", "http://a/mcp"))
			test.edit(g)
			problems := g.Validate()
			if test.want == "" && problems != nil || test.want != "" && (len(problems) != 1 || problems[0].Path != test.want) {
				t.Errorf("%v, want %q", problems, test.want)
			}
		})
	}
}
