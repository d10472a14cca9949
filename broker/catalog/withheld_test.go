package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/gatewayconfig"
)

func offers(config gatewayconfig.Server, withheld Withheld, tools ...string) Server {
	var raws [][]byte
	for _, name := range tools {
		raws = append(raws, []byte(`{"name":"`+name+`"}`))
	}
	items := Prepare(Lists{Tools: raws, Prompts: [][]byte{[]byte(`{"name":"p"}`)}}, config, Limits{})
	return Server{Route: gatewayconfig.TableServer{Name: config.Name, Listed: true}, Items: items.Withhold(withheld)}
}

func owners(c *Catalog) map[string]string {
	out := map[string]string{}
	for name, target := range c.Table().Tools {
		out[name] = c.Table().Servers[target.Server].Name + ":" + target.Name
	}
	return out
}

// A withheld item is in no list, table or view. Its name stays its server's if
// clients know it as that, and is free if nobody ever saw it there.
func TestWithheld(t *testing.T) {
	t.Parallel()
	one, two := gatewayconfig.Server{Name: "one"}, gatewayconfig.Server{Name: "two"}
	alias := gatewayconfig.Server{Name: "one", Tools: gatewayconfig.Items{Aliases: map[string]string{"x": "a"}}}
	yields := gatewayconfig.Server{Name: "two", Prefix: "two_", OnConflict: true}
	for name, c := range map[string]struct {
		servers []Server
		want    map[string]string
	}{
		"none":         {[]Server{offers(one, nil, "a", "b"), offers(two, nil, "c")}, map[string]string{"a": "one:a", "b": "one:b", "c": "two:c"}},
		"changed":      {[]Server{offers(one, Withheld{Tools: {0: true}}, "a", "b"), offers(two, nil, "a")}, map[string]string{"b": "one:b"}},
		"new":          {[]Server{offers(one, Withheld{Tools: {0: false}}, "a", "b"), offers(two, nil, "a")}, map[string]string{"a": "two:a", "b": "one:b"}},
		"alias":        {[]Server{offers(alias, Withheld{Tools: {0: true}}, "a", "b"), offers(two, nil, "x")}, map[string]string{"b": "one:b"}},
		"makes room":   {[]Server{offers(one, Withheld{Tools: {0: true}}, "a"), offers(yields, nil, "a")}, map[string]string{"two_a": "two:a"}},
		"need not":     {[]Server{offers(one, Withheld{Tools: {0: false}}, "a"), offers(yields, nil, "a")}, map[string]string{"a": "two:a"}},
		"another kind": {[]Server{offers(one, Withheld{Prompts: {0: true}}, "a")}, map[string]string{"a": "one:a"}},
	} {
		c2 := Merge(c.servers, Options{Views: []gatewayconfig.View{{Name: "v", Servers: []string{"one", "two"}}}})
		if diff := cmp.Diff(c.want, owners(c2)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, v := range []*View{c2.View(""), c2.View("v")} {
			if v.Count(Tools) != len(c.want) {
				t.Errorf("%s: %d tools: %s", name, v.Count(Tools), v.First(Tools))
			}
			for _, exposed := range []string{"a", "b", "c", "x", "two_a"} {
				if _, ok := v.Find(Tools, exposed); ok != (c.want[exposed] != "") {
					t.Errorf("%s: %s is found: %v", name, exposed, ok)
				}
			}
		}
	}
}

func TestWithheldIsCountedAndDenied(t *testing.T) {
	t.Parallel()
	s := offers(gatewayconfig.Server{Name: "one"}, Withheld{Tools: {1: true}, Prompts: {0: false}}, "a", "b")
	if s.Items.Count(Tools) != 1 || s.Items.Withheld(Tools) != 1 || s.Items.Count(Prompts) != 0 {
		t.Errorf("%d tools, %d withheld, %d prompts", s.Items.Count(Tools), s.Items.Withheld(Tools), s.Items.Count(Prompts))
	}
	rules := Merge([]Server{s}, Options{}).Table().Servers[0].Rules
	if rules == nil || !cmp.Equal(rules.Tools.Deny, []string{"b"}) || !cmp.Equal(rules.Prompts.Deny, []string{"p"}) || rules.Resources.Deny != nil {
		t.Errorf("%+v", rules)
	}
	if again := s.Items.Withhold(nil); again != s.Items {
		t.Error("nothing withheld makes another set")
	}
	var all []string
	s.Items.Each(Tools, func(i int, own, exposed string) { all = append(all, own) })
	if !cmp.Equal(all, []string{"a", "b"}) {
		t.Errorf("%q", all)
	}
}
