package catalog_test

import (
	"strings"
	"testing"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
)

// Of a server that was never listed the prefix says what is its own, as far as its
// rules and the view's admit it.
func TestOwnerBeforeTheListsAreKnown(t *testing.T) {
	t.Parallel()
	unlisted := func(s gatewayconfig.Server) catalog.Server {
		return catalog.Server{
			Route: gatewayconfig.TableServer{Name: s.Name, Prefix: s.Prefix, OnConflict: s.OnConflict},
			Items: catalog.Prepare(catalog.Lists{}, s, catalog.Limits{Name: 64}),
		}
	}
	c := catalog.Merge(append(twoServers(),
		unlisted(gatewayconfig.Server{Name: "new", Prefix: "new_", Tools: gatewayconfig.Items{
			Rules: gatewayconfig.Rules{Deny: []string{"drop_*"}}, Aliases: map[string]string{"alias": "renamed"},
		}, Prompts: gatewayconfig.Items{Rules: gatewayconfig.Rules{Allow: []string{"brief"}}}}),
		unlisted(gatewayconfig.Server{Name: "newer", Prefix: "new_er_"}),
		unlisted(gatewayconfig.Server{Name: "late", Prefix: "late_", OnConflict: true}),
	), catalog.Options{NameLimit: 64, Views: []gatewayconfig.View{
		{Name: "team", Servers: []string{"late", "docs"}, Tools: gatewayconfig.Rules{Allow: []string{"late_x", "x", "late_y", "alias"}}},
		{Name: "quiet", Servers: []string{"new", "newer"}, Tools: gatewayconfig.Rules{Deny: []string{"new_x"}}},
	}})
	for _, tt := range []struct {
		view, name         string
		server, own, other string // server empty: unknown
	}{
		{"", "w_get", "weather", "get", ""},
		{"", "w_other", "late", "w_other", "late_w_other"},
		{"", "new_get", "new", "get", ""},
		{"", "new_drop_all", "", "", ""},
		{"", "new_renamed", "", "", ""}, // it has an alias
		{"", "alias", "new", "renamed", ""},
		{"", "new_er_x", "newer", "x", ""},
		{"", "new_" + strings.Repeat("x", 61), "", "", ""},
		{"", "new_a b", "", "", ""},
		{"", "late_x", "late", "x", "x"},
		{"", "x", "late", "x", "late_x"},
		{"team", "late_x", "late", "x", "x"},
		{"team", "x", "late", "x", "late_x"},
		{"team", "late_y", "", "", ""}, // y is not admitted
		{"team", "new_get", "", "", ""},
		{"team", "w_get", "", "", ""},
		{"team", "alias", "", "", ""}, // of a server that the view has not
		{"quiet", "new_get", "new", "get", ""},
		{"quiet", "new_x", "", "", ""},
		{"quiet", "alias", "new", "renamed", ""},
		{"quiet", "new_er_", "new", "er_", ""},
		{"quiet", "new_", "", "", ""},
	} {
		item, other, ok := c.View(tt.view).Owner(catalog.Tools, tt.name)
		if ok != (tt.server != "") || ok && (item.Server != tt.server || item.Own != tt.own || other != tt.other) {
			t.Errorf("%q %s: %+v %q %v", tt.view, tt.name, item, other, ok)
		}
	}
	for name, want := range map[string]bool{"new_brief": true, "new_other": false} {
		if _, _, ok := c.View("").Owner(catalog.Prompts, name); ok != want {
			t.Errorf("prompt %s: %v", name, ok)
		}
	}
}
