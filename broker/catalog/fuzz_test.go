package catalog_test

import (
	"bytes"
	"fmt"
	"testing"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
)

// FuzzCursor: a cursor that was not given out for this list, view and kind finds
// no page of it.
func FuzzCursor(f *testing.F) {
	var items []string
	for i := range 9 {
		items = append(items, fmt.Sprintf(`{"name":"t%d"}`, i))
	}
	route := gatewayconfig.TableServer{Name: "a", Label: "a", Listed: true}
	c := catalog.Merge([]catalog.Server{{Route: route, Items: catalog.Prepare(
		catalog.Lists{Tools: raws(items...), Prompts: raws(items...)}, gatewayconfig.Server{Name: "a", Label: "a"}, catalog.Limits{Name: 64},
	)}}, catalog.Options{PageSize: 3, Views: []gatewayconfig.View{{Name: "v", Servers: []string{"a"}}}})
	given := map[string]map[string]bool{}
	for _, name := range []string{"", "v"} {
		for k := catalog.Tools; k <= catalog.Prompts; k++ {
			at := fmt.Sprint(name, k)
			given[at] = map[string]bool{}
			for page := c.View(name).First(k); ; {
				m := nextCursor.FindSubmatch(page)
				if m == nil {
					break
				}
				cursor := string(m[1])
				given[at][cursor] = true
				f.Add(cursor)
				f.Add(cursor + "0")
				var known bool
				if page, known = c.View(name).Page(k, cursor); !known {
					f.Fatalf("%s: %q is unknown", at, cursor)
				}
			}
			if len(given[at]) != 2 {
				f.Fatalf("%s has %d cursors", at, len(given[at]))
			}
		}
	}
	f.Add("")
	f.Add("2")
	f.Fuzz(func(t *testing.T, cursor string) {
		for _, name := range []string{"", "v"} {
			for k := catalog.Tools; k <= catalog.Templates; k++ {
				page, known := c.View(name).Page(k, cursor)
				if known != given[fmt.Sprint(name, k)][cursor] || known == (page == nil) {
					t.Fatalf("%q of %q %v: %v %s", cursor, name, k, known, page)
				}
				stateless, alsoKnown := c.View(name).PageStateless(k, cursor)
				if alsoKnown && !known && bytes.Contains(stateless, []byte(`"name"`)) {
					t.Fatalf("%q of %q %v: %s", cursor, name, k, stateless)
				}
			}
		}
	})
}
