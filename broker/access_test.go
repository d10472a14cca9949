package broker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/policy"
)

// scoped is the header of a verified token with scopes.
func scoped(scopes string) map[string]string {
	text := `{"iss":"https://idp.example","sub":"ada","scope":"` + scopes + `"}`
	return map[string]string{"X-Mcp-Claims": base64.RawURLEncoding.EncodeToString([]byte(text))}
}

// accessConfig hides of all servers what deletes, and all of server two, from who
// lacks the scope write.
func accessConfig(names ...string) gatewayconfig.Broker {
	c := authConfig(names...)
	c.Authorization = &gatewayconfig.Authorization{Default: gatewayconfig.Deny, Rules: []gatewayconfig.AccessRule{
		{Name: "readers", Effect: gatewayconfig.Allow, When: `server == "one" || "write" in principal.scopes`},
		{Name: "no-delete", Effect: gatewayconfig.Deny, Tools: []string{"*_delete*"}, Prompts: []string{"*_delete*"}, Resources: []string{"*file:///secret/*"}, When: `!("write" in principal.scopes)`},
		{Name: "changes", Effect: gatewayconfig.Deny, Tools: []string{"*"}, When: `!annotations.readOnlyHint && has(arguments.force) && arguments.force == true`},
		{Name: "admins", Effect: gatewayconfig.Allow, Servers: []string{names[0]}, Tools: []string{"one_admin"}, Resources: []string{"*file:///admin/*"}, Scopes: []string{"admin"}},
	}}
	return c
}

// pagesOf reads a whole list and returns the names on each page.
func (g *gateway) pagesOf(method string, header map[string]string, modern bool) (pages [][]string, scopes []string) {
	g.t.Helper()
	cursor := ""
	for range 20 {
		params, body := "", ""
		if cursor != "" {
			params = `"cursor":"` + cursor + `"`
		}
		h := maps.Clone(header)
		if body = `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `}}`; modern {
			body = stateless("1", method, params)
			maps.Copy(h, mirrors(method, ""))
		}
		var got struct {
			Result struct {
				Tools, Prompts, Resources, ResourceTemplates []struct{ Name, URI, URITemplate string }
				NextCursor, CacheScope                       string
			}
		}
		answer := g.request("POST", body, h)
		if err := json.Unmarshal([]byte(answer.body), &got); err != nil || answer.status != 200 {
			g.t.Fatalf("%s: %d %s", method, answer.status, answer.body)
		}
		names := []string{}
		for _, item := range slices.Concat(got.Result.Tools, got.Result.Prompts, got.Result.Resources, got.Result.ResourceTemplates) {
			if names = append(names, item.Name); item.URI+item.URITemplate != "" {
				names[len(names)-1] = item.URI + item.URITemplate
			}
		}
		pages, scopes = append(pages, names), append(scopes, got.Result.CacheScope)
		if cursor = got.Result.NextCursor; cursor == "" {
			break
		}
	}
	return pages, scopes
}

func (g *gateway) openAs(who map[string]string) map[string]string {
	g.t.Helper()
	got := g.request("POST", initializeRequest, who)
	if got.status != 200 {
		g.t.Fatalf("initialize: %d %s", got.status, got.body)
	}
	return in(got.header.Get("Mcp-Session-Id"), who)
}

func TestListsShowWhatMayBeUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := raw("a", "delete", "b", "delete_all", "c", "admin"), raw("x")
		one.Set("prompts/list", `{"prompts":[{"name":"p"},{"name":"delete_p"}]}`)
		one.Set("resources/list", `{"resources":[{"uri":"file:///a","name":"a"},{"uri":"file:///secret/a","name":"b"},{"uri":"FILE:///a","name":"c"}]}`)
		one.Set("resources/templates/list", `{"resourceTemplates":[{"uriTemplate":"file:///{x}","name":"a"},{"uriTemplate":"file:///secret/{x}","name":"b"}]}`)
		c := accessConfig("one", "two")
		c.PageSize = 2
		c.Views = []gatewayconfig.View{{Name: "team", Servers: []string{"one"}, Tools: gatewayconfig.Rules{Deny: []string{"one_a"}}}}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": two})
		for _, path := range []string{"/mcp", "/mcp/team"} {
			g.path = path
			for scope, want := range map[string]map[string]string{
				"read": {
					"tools/list":     map[string]string{"/mcp": "[[one_a one_b] [one_c one_admin]]", "/mcp/team": "[[one_b one_c] [one_admin]]"}[path],
					"prompts/list":   "[[one_p]]",
					"resources/list": "[[one+file:///a]]", "resources/templates/list": "[[one+file:///{x}]]",
				},
				"write": {
					"tools/list":     map[string]string{"/mcp": "[[one_a one_delete] [one_b one_delete_all] [one_c one_admin] [two_x]]", "/mcp/team": "[[one_delete one_b] [one_delete_all one_c] [one_admin]]"}[path],
					"prompts/list":   "[[one_p one_delete_p]]",
					"resources/list": "[[one+file:///a one+file:///secret/a]]", "resources/templates/list": "[[one+file:///{x} one+file:///secret/{x}]]",
				},
			} {
				header := g.openAs(scoped(scope))
				for method, pages := range want {
					for _, modern := range []bool{false, true} {
						for range 2 { // also what is kept
							got, cached := g.pagesOf(method, header, modern)
							if fmt.Sprint(got) != pages {
								t.Errorf("%s %s at %s: %v, want %s", scope, method, path, got, pages)
							}
							if modern && slices.ContainsFunc(cached, func(s string) bool { return s != "private" }) {
								t.Errorf("%s: cacheScope %v", method, cached)
							}
						}
					}
				}
			}
		}
	})
}

// A cursor is of one list as somebody is shown it, and of no other.
func TestCursorsAreOfWhatIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := accessConfig("one")
		c.PageSize = 2
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a", "delete", "b", "c", "d")})
		reader, writer, again := g.openAs(scoped("read")), g.openAs(scoped("write")), g.openAs(scoped("read other"))
		cursor := regexp.MustCompile(`"nextCursor":"([^"]+)"`)
		of := func(header map[string]string) string {
			return cursor.FindStringSubmatch(g.request("POST", toolsList, header).body)[1]
		}
		at := func(header map[string]string, cursor string) string {
			return g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"`+cursor+`"}}`, header).body
		}
		if of(reader) != of(again) || of(reader) == of(writer) {
			t.Error("cursors do not go by what is shown")
		}
		if got := at(reader, of(writer)); !strings.Contains(got, "unknown cursor") {
			t.Errorf("another's cursor: %s", got)
		}
		if got := at(writer, of(reader)); !strings.Contains(got, "unknown cursor") {
			t.Errorf("another's cursor: %s", got)
		}
		if got := at(reader, of(again)); !strings.Contains(got, "one_c") {
			t.Errorf("one's own cursor: %s", got)
		}
	})
}

// The broker decides again what comes its way: calls between the eras, without a
// session, and what it relays.
func TestCallsThroughTheBrokerAreDecided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, old := modernOne("a", "delete", "admin"), newSessional("a", "delete")
		one.Set("tools/call", `{"content":[],"resultType":"complete"}`)
		one.Set("prompts/list", `{"prompts":[{"name":"delete_p"}]}`)
		old.Set("prompts/list", `{"prompts":[{"name":"delete_p"}]}`)
		c := accessConfig("one", "old")
		c.Authorization.Rules[0].When, c.Authorization.Rules[3].Servers = "true", nil
		c.Sessionless = true
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "old": old})
		reader := g.openAs(scoped("read"))
		before := len(one.Seen()) + len(old.Seen())
		call := func(name string) string {
			return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":{}}}`
		}
		of := func(method, params string) string {
			return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `}}`
		}
		modern := func(method, name string) map[string]string {
			h := scoped("read")
			maps.Copy(h, mirrors(method, name))
			return h
		}
		for _, test := range []struct {
			body   string
			header map[string]string
			status int
			want   string
		}{
			{call("one_delete"), reader, 200, `"code":-32602,"message":"Unknown tool: one_delete"`},
			{call("one_unknown"), reader, 200, `"code":-32602,"message":"Unknown tool: one_unknown"`},
			{of("tools/call", `"name":"one_a","arguments":{"force":true}`), reader, 200, `"code":-32602,"message":"Unknown tool: one_a"`},
			{of("prompts/get", `"name":"one_delete_p"`), reader, 200, `"code":-32602,"message":"Unknown prompt: one_delete_p"`},
			{of("completion/complete", `"ref":{"type":"ref/prompt","name":"one_delete_p"},"argument":{"name":"a","value":""}`), reader, 200, `"code":-32602,"message":"Unknown prompt: one_delete_p"`},
			{of("resources/read", `"uri":"one+file:///secret/a"`), reader, 200, `"code":-32002,"message":"Resource not found","data":{"uri":"one+file:///secret/a"}`},
			{of("resources/subscribe", `"uri":"old+file:///secret/a"`), reader, 200, `"code":-32002,"message":"Resource not found","data":{"uri":"old+file:///secret/a"}`},
			{of("resources/unsubscribe", `"uri":"old+file:///secret/a"`), reader, 200, `"code":-32002,"message":"Resource not found"`},
			{call("one_admin"), reader, 403, `"insufficient scope"`},
			{of("resources/subscribe", `"uri":"old+file:///admin/a"`), reader, 403, `"insufficient scope"`},
			{call("old_delete"), scoped("read"), 200, `"code":-32602,"message":"Unknown tool: old_delete"`},
			{stateless("1", "tools/call", `"name":"old_delete"`), modern("tools/call", "old_delete"), 200, `"code":-32602,"message":"Unknown tool: old_delete"`},
			{stateless("1", "resources/read", `"uri":"old+file:///secret/a"`), modern("resources/read", "old+file:///secret/a"), 200, `"code":-32602,"message":"Resource not found"`},
		} {
			if got := g.request("POST", test.body, test.header); got.status != test.status || !strings.Contains(got.body, test.want) {
				t.Errorf("%s: %d %s", test.body, got.status, got.body)
			}
		}
		if after := len(one.Seen()) + len(old.Seen()); after != before {
			t.Errorf("servers got %d requests for what is hidden", after-before)
		}
		if got := g.request("POST", of("tools/call", `"name":"one_a","arguments":{"force":false}`), reader); !strings.Contains(got.body, `"result"`) {
			t.Errorf("what is not hidden: %s", got.body)
		}
	})
}

// What a server says of itself is for whom it has anything.
func TestInstructionsOfHiddenServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: accessConfig("one", "two")}, map[string]http.Handler{"one": raw("a"), "two": modernOne("x")})
		for scope, want := range map[string]bool{"read": false, "write": true} {
			hello := g.request("POST", initializeRequest, scoped(scope)).body
			h := scoped(scope)
			maps.Copy(h, mirrors("server/discover", ""))
			found := g.request("POST", stateless("1", "server/discover", ""), h).body
			if !strings.Contains(hello, "## one") || !strings.Contains(found, "## one") || strings.Contains(hello, "## two") != want || strings.Contains(found, "## two") != want {
				t.Errorf("%s: %s\n%s", scope, hello, found)
			}
			if !strings.Contains(found, `"cacheScope":"private"`) {
				t.Errorf("%s", found)
			}
		}
	})
}

// Nor does anybody learn that a server fails of which nothing is for him.
func TestFailingServerIsNamedToWhoMayUseIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := accessConfig("one", "two")
		c.Servers[1].Partial = gatewayconfig.PartialFail
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a")})
		if got := g.request("POST", toolsList, g.openAs(scoped("read"))).body; !strings.Contains(got, `"one_a"`) {
			t.Errorf("%s", got)
		}
		if got := g.request("POST", toolsList, g.openAs(scoped("write"))).body; !strings.Contains(got, "server two is not available") {
			t.Errorf("%s", got)
		}
	})
}

// Other rules take effect at once, are announced, and are taken as a whole or not
// at all; streams that follow what is hidden now hear of it no more.
func TestRulesChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a", "delete")
		c := accessConfig("one")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		reader := g.openAs(scoped("read"))
		if got := g.request("POST", toolsList, reader).body; strings.Contains(got, "delete") {
			t.Fatalf("%s", got)
		}
		bad := accessConfig("one")
		bad.Authorization.Rules[0].When = "nobody"
		if err := g.broker.Apply(bad); err == nil || !strings.Contains(err.Error(), "rules[0].when") {
			t.Errorf("faulty rules: %v", err)
		}
		if got := g.request("POST", toolsList, reader).body; strings.Contains(got, "delete") || !strings.Contains(got, "one_a") {
			t.Errorf("after faulty rules: %s", got)
		}
		g.broker.mu.Lock()
		old := g.broker.view.Load()
		g.broker.mu.Unlock()
		next := accessConfig("one")
		next.Authorization.Rules = next.Authorization.Rules[:1]
		if err := g.broker.Apply(next); err != nil {
			t.Fatal(err)
		}
		if got := g.request("POST", toolsList, reader).body; !strings.Contains(got, "one_delete") {
			t.Errorf("after the change: %s", got)
		}
		if got := changesBetween(old, g.broker.view.Load())[""]; got != toolsChanged|promptsChanged|resourcesChanged {
			t.Errorf("announced: %v", got)
		}
	})
}

func TestTableHasTheRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		one.Set("tools/list", `{"tools":[{"name":"a","annotations":{"readOnlyHint":true,"openWorldHint":false,"destructiveHint":true,"title":"x"}},{"name":"b","annotations":{"readOnlyHint":true,"readOnlyHint":false}},{"name":"c","annotations":[1]}]}`)
		c := accessConfig("one")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		read := func() gatewayconfig.Table {
			var table gatewayconfig.Table
			if err := gatewayconfig.Decode([]byte(g.inside("GET", gatewayconfig.PathTable, "", nil).body), &table); err != nil {
				t.Fatal(err)
			}
			return table
		}
		synctest.Wait()
		table := read()
		if table.Authorization == nil || len(table.Authorization.Rules) != 4 || table.Authorization.Rules[1].When != c.Authorization.Rules[1].When {
			t.Errorf("%+v", table.Authorization)
		}
		for name, want := range map[string]gatewayconfig.Hints{"one_a": gatewayconfig.HintReadOnly | gatewayconfig.HintClosedWorld, "one_b": 0, "one_c": 0} {
			if got := table.Tools[name].Hints; got != want {
				t.Errorf("%s: %b, want %b", name, got, want)
			}
		}
		c.Authorization = &gatewayconfig.Authorization{Default: gatewayconfig.Allow}
		if err := g.broker.Apply(c); err != nil {
			t.Fatal(err)
		}
		if next := read(); next.Version == table.Version || next.Tools["one_a"].Hints != 0 {
			t.Errorf("hints that no rule needs: %+v", next.Tools)
		}
	})
}

// Nobody is told of a resource that is hidden from him, not even on a stream that is
// open when it gets hidden; nor is a server asked.
func TestSubscriptionToWhatIsHidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTeller(), newTeller()
		c := tellers("one", "two")
		hides := func(patterns ...string) *gatewayconfig.Authorization {
			return &gatewayconfig.Authorization{Default: gatewayconfig.Allow, Rules: []gatewayconfig.AccessRule{
				{Name: "hides", Effect: gatewayconfig.Deny, Resources: patterns}, {Name: "no-tasks", Effect: gatewayconfig.Deny, Servers: []string{"two"}, When: `kind == "tool"`},
			}}
		}
		c.Authorization = hides("two+file:///b")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": two})
		s := g.subscribe(`"s"`, `{"resourceSubscriptions":["one+file:///a","two+file:///b","two+file:///c"],"taskIds":["one+t","two+t"]}`)
		s.expect(t, 400*time.Millisecond, acknowledged(`"s"`, `{"resourceSubscriptions":["one+file:///a","two+file:///c"],"taskIds":["one+t"]}`))
		if asked := two.asked.Load(); asked != `{"resourceSubscriptions":["file:///c"]}` {
			t.Errorf("two was asked for %s", asked)
		}
		c.Authorization = hides("two+file:///*")
		if err := g.broker.Apply(c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if one.open.Load() != 1 || two.open.Load() != 0 {
			t.Errorf("%d and %d streams are open", one.open.Load(), two.open.Load())
		}
		s.close()
	})
}

// BenchmarkAccess is what the rules cost with 10,000 tools: the first list of a group
// of clients, and any page after that.
func BenchmarkAccess(b *testing.B) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("tool_%d_%s", i, strings.Repeat("x", i%10))
	}
	config := accessConfig("one")
	config.Authorization.Rules[0].When = `"write" in principal.scopes || name.endsWith("x")`
	config.PageSize = 1000
	server := config.Servers[0]
	lists := catalog.Lists{}
	for _, name := range names {
		lists.Tools = append(lists.Tools, []byte(`{"name":"`+name+`","description":"`+strings.Repeat("d", 400)+`","inputSchema":{"type":"object"}}`))
	}
	merged := catalog.Merge([]catalog.Server{{Route: gatewayconfig.TableServer{Name: "one", Listed: true}, Items: catalog.Prepare(lists, server, catalog.Limits{})}}, catalog.Options{PageSize: 1000})
	rules, err := policy.Compile(*config.Authorization, nil)
	if err != nil {
		b.Fatal(err)
	}
	c := &call{shown: merged.View(""), view: &view{policy: rules, parts: &parts{}}}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.view.parts = &parts{}
			c.part(rules.Group(nil), catalog.Tools)
		}
	})
	b.Run("page", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if page := c.part(rules.Group(nil), catalog.Tools).First(); len(page) < 400_000 {
				b.Fatal(len(page))
			}
		}
	})
}
