package filter

import (
	"encoding/json"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

// reader and writer differ in a scope.
var (
	reader = claims(`{"iss":"https://idp.example","sub":"ada","client_id":"app","aud":"https://gw.example/mcp","scope":"mcp read"}`)
	writer = claims(`{"iss":"https://idp.example","sub":"ada","client_id":"app","aud":"https://gw.example/mcp","scope":"mcp read write"}`)
)

// accessTable hides what deletes from who lacks the scope write, has "weather_set"
// need the scope admin, and of "both_add" no more than 7.
func accessTable() gatewayconfig.Table {
	table := erasTable()
	table.Version = "access"
	for name, own := range map[string]string{"weather_delete": "delete", "weather_set": "set", "now_delete": "delete", "both_delete": "delete"} {
		server := map[byte]int{'w': 0, 'n': 3, 'b': 4}[name[0]]
		table.Tools[name] = gatewayconfig.Target{Server: server, Name: own}
	}
	table.Prompts["weather_delete_brief"] = gatewayconfig.Target{Server: 0, Name: "delete_brief"}
	table.Tools["alias"] = gatewayconfig.Target{Server: 0, Name: "other", Hints: gatewayconfig.HintReadOnly}
	table.Authorization = &gatewayconfig.Authorization{Default: gatewayconfig.Deny, Rules: []gatewayconfig.AccessRule{
		{Name: "all", Effect: gatewayconfig.Allow, When: `name != "both_add" && server != "early"`},
		{Name: "no-delete", Effect: gatewayconfig.Deny, Tools: []string{"*_delete", "*_delete_*"}, Prompts: []string{"*_delete_*"},
			Resources: []string{"docs+file:///secret/*"}, When: `!("write" in principal.scopes)`},
		{Name: "admins", Effect: gatewayconfig.Allow, Tools: []string{"weather_set"}, Resources: []string{"docs+file:///admin/*"}, Scopes: []string{"admin"}},
		{Name: "few", Effect: gatewayconfig.Allow, Tools: []string{"both_add"}, When: `arguments.n < 7`},
	}}
	return table
}

func accessGateway(t testing.TB, change func(*gatewayconfig.Filter, *gatewayconfig.Table)) *Gateway {
	t.Helper()
	cfg, table := authConfig(), accessTable()
	cfg.Metadata = true
	if change != nil {
		change(&cfg, &table)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	putTable(t, g, table)
	for _, token := range []string{reader, writer} {
		s := new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders("x-mcp-claims", token), false, second)
		for _, server := range []string{"weather", "docs", "new", "both"} {
			g.sessions.put(s.session, backend{place: "mcp-server-" + server, id: []byte("b-" + server), version: "2025-11-25", expires: 30 * second})
		}
	}
	justFetched(g)
	return g
}

func request(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `}}`
}

// What is hidden is unknown, to the byte but for its name, in both eras; and who has
// the scope gets through.
func TestHiddenIsUnknown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		method, hidden, unknown string // params
		header                  string // of the stateless revision, of hidden; empty for none there
	}{
		{"tools/call", `"name":"weather_delete"`, `"name":"weather_unknown"`, ""},
		{"tools/call", `"name":"both_delete"`, `"name":"both_unknown"`, "both_delete"},
		{"tools/call", `"name":"now_delete"`, `"name":"now_unknown"`, "now_delete"},
		{"tools/call", `"name":"new_delete"`, `"name":"neu_delete"`, ""},
		{"prompts/get", `"name":"weather_delete_brief"`, `"name":"weather_unknown"`, ""},
		{"resources/read", `"uri":"docs+file:///secret/a"`, `"uri":"dogs+file:///secret/a"`, ""},
		{"resources/read", `"uri":"docs+file:///secret"`, `"uri":"dogs+file:///secret"`, ""},
		{"resources/read", `"uri":"docs+file:///public/../secret/a"`, `"uri":"dogs+file:///public/../secret/a"`, ""},
		{"resources/read", `"uri":"docs+FILE:///secret/a"`, `"uri":"dogs+FILE:///secret/a"`, ""},
		{"resources/read", `"uri":"docs+file:///%73ecret/a"`, `"uri":"dogs+file:///%73ecret/a"`, ""},
		{"completion/complete", `"ref":{"type":"ref/prompt","name":"weather_delete_brief"},"argument":{"name":"a","value":""}`, `"ref":{"type":"ref/prompt","name":"weather_unknown"},"argument":{"name":"a","value":""}`, ""},
		{"completion/complete", `"ref":{"type":"ref/resource","uri":"docs+file:///secret/{x}"},"argument":{"name":"a","value":""}`, `"ref":{"type":"ref/resource","uri":"dogs+file:///secret/{x}"},"argument":{"name":"a","value":""}`, ""},
	} {
		g := accessGateway(t, nil)
		s, hidden := post(g, request(test.method, test.hidden), "x-mcp-claims", reader)
		text, word := string(hidden.Body), hidden.Reason
		if hidden.Action != Reply || hidden.Status != 200 || word != "hidden" {
			t.Errorf("%s %s: %v %d %s", test.method, test.hidden, hidden.Action, hidden.Status, text)
		}
		if n := notes(hidden); n["decision"] != "deny" || n["rule"] != "no-delete" || n["client"] != "app" || n["name"] != string(s.name) || n["server"] == "" || n["principal"] != s.principal.ID() {
			t.Errorf("%s: noted %v", test.hidden, n)
		}
		name := string(s.name)
		_, unknown := post(g, request(test.method, test.unknown), "x-mcp-claims", reader)
		if unknown.Action != Reply || strings.ReplaceAll(text, name, "NAME") != strings.ReplaceAll(string(unknown.Body), nameOf(test.unknown), "NAME") {
			t.Errorf("%s is not %s", text, unknown.Body)
		}
		if _, d := post(g, request(test.method, test.hidden), "x-mcp-claims", writer); d.Action == Reply && !strings.ContainsAny(test.hidden, "%F") && !strings.Contains(test.hidden, "..") {
			t.Errorf("%s is refused to who has the scope: %s", test.hidden, d.Body)
		}
		if test.header == "" {
			continue
		}
		s, d := post(g, stateless(test.method, test.hidden), append(statelessHeaders(test.method, test.header), "x-mcp-claims", reader)...)
		if want := `"code":-32602,"message":"Unknown tool: ` + string(s.name) + `"`; d.Action != Reply || !strings.Contains(string(d.Body), want) || d.Reason != "hidden" {
			t.Errorf("stateless %s: %v %s", test.hidden, d.Action, d.Body)
		}
		if _, d := post(g, stateless(test.method, test.hidden), append(statelessHeaders(test.method, test.header), "x-mcp-claims", writer)...); d.Action != Pass && d.Action != Ask {
			t.Errorf("stateless %s is refused to who has the scope: %s", test.hidden, d.Body)
		}
	}
}

// nameOf is the name or URI that params wants.
func nameOf(params string) string {
	var p struct {
		Name, URI string
		Ref       struct{ Name, URI string }
	}
	if err := json.Unmarshal([]byte("{"+params+"}"), &p); err != nil {
		panic(err)
	}
	return p.Name + p.URI + p.Ref.Name + p.Ref.URI
}

// Of a server whose lists are not known yet an item may come to have either of two
// names: a rule that hides one of them hides it.
func TestHiddenBeforeTheListsAreKnown(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, func(_ *gatewayconfig.Filter, table *gatewayconfig.Table) {
		table.Servers = append(table.Servers, gatewayconfig.TableServer{
			Name: "late", Cluster: "mcp-server-late", Authority: "10.1.1.7:9001", Path: "/mcp", Prefix: "late_", Label: "late", OnConflict: true,
		})
		table.Authorization.Rules[1].Tools = []string{"late_drop", "erase"}
	})
	for name, hidden := range map[string]bool{"late_drop": true, "drop": true, "late_erase": true, "erase": true, "late_other": false, "other": false} {
		if _, d := post(g, call(name), "x-mcp-claims", reader); (d.Action == Reply) != hidden {
			t.Errorf("%s: %v %s", name, d.Action, d.Body)
		}
	}
}

// No spelling of the name gets a hidden tool called.
func TestHiddenUnderEverySpelling(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, nil)
	for _, body := range []string{
		call(`weather_\u0064elete`), call(`weather\u005fdelete`), call(`\u0077eather_delete`), call(" weather_delete"), call("weather_delete "),
		call("Weather_delete"), call("WEATHER_DELETE"), call(`weather_delete\u0000`), call("weather_weather_delete"), call("delete"),
		call(`weather_delete\ufeff`), call("both_delete"), call(`both_d\u0065lete`), call("new_delete"),
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_delete","name":"search"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","name":"weather_delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","Name":"weather_delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","n\u0061me":"weather_delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"},"params":{"name":"weather_delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"},"Params":{"name":"weather_delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"weather_delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"weather_delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["weather_delete"]}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["weather_delete"]}`,
	} {
		if _, d := post(g, body, "x-mcp-claims", reader); d.Action != Reply && !(d.Action == Ask && d.Question.Path == gatewayconfig.PathTable) {
			t.Errorf("%s: action %v to %s", body, d.Action, chosen(edits(d)))
		}
	}
	for _, headers := range [][]string{
		statelessHeaders("tools/call", "both_delete"), statelessHeaders("tools/call", "search"), statelessHeaders("tools/call", ""),
		statelessHeaders("tools/call", "=?base64?Ym90aF9kZWxldGU=?="), statelessHeaders("ping", "both_delete"), statelessHeaders("tools/list", ""),
		{"mcp-protocol-version", "2025-06-18", "mcp-name", "search"}, {"mcp-protocol-version", "2024-11-05"}, {"mcp-protocol-version", "2030-01-01"},
	} {
		for _, body := range []string{stateless("tools/call", `"name":"both_delete"`), stateless("tools/call", `"name":"both\u005fdelete"`), call("both_delete")} {
			if _, d := post(g, body, append(headers, "x-mcp-claims", reader)...); d.Action != Reply {
				t.Errorf("%v %s: action %v", headers, body, d.Action)
			}
		}
	}
}

func TestMissingScopeIsAStepUp(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, func(cfg *gatewayconfig.Filter, _ *gatewayconfig.Table) { cfg.Sessionless = true })
	for _, body := range []string{
		call("weather_set"), request("resources/read", `"uri":"docs+file:///admin/a"`), request("resources/subscribe", `"uri":"docs+file:///admin/a"`),
	} {
		for _, session := range []string{"s1", "-"} {
			_, d := post(g, body, "x-mcp-claims", reader, "mcp-session-id", session)
			want := `Bearer error="insufficient_scope", scope="mcp admin", resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp"`
			if d.Action != Reply || d.Status != 403 || edits(d)["www-authenticate"] != want || !strings.Contains(string(d.Body), `"id":1`) {
				t.Errorf("%s: %d %s %v", body, d.Status, d.Body, edits(d))
			}
			if n := notes(d); n["decision"] != "scopes" || n["rule"] != "admins" || n["server"] == "" || n["name"] == "" {
				t.Errorf("%s: noted %v", body, n)
			}
		}
	}
	if _, d := post(g, request("resources/unsubscribe", `"uri":"docs+file:///admin/a"`), "x-mcp-claims", reader); d.Action != Pass {
		t.Errorf("unsubscribe: %s", d.Body)
	}
}

func TestArgumentsDecide(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, nil)
	for arguments, allowed := range map[string]bool{
		`,"arguments":{"n":6}`: true, `,"arguments":{"n":7}`: false, ``: false, `,"arguments":{}`: false, `,"arguments":null`: false,
		`,"arguments":{"n":6,"n":8}`: false, `,"arguments":{"n":6,"N":8}`: false, `,"arguments":{"N":6}`: false, `,"arguments":[6]`: false,
		`,"arguments":{"n":"6"}`: false, `,"arguments":{"\u006e":6}`: true, `,"arguments":{"n":-99999999999999999999}`: false,
		`,"arguments":{"other":{"x":1,"x":2},"n":6}`: true,
	} {
		params := `"name":"both_add"` + arguments
		_, d := post(g, request("tools/call", params), "x-mcp-claims", reader)
		if (d.Action == Pass) != allowed {
			t.Errorf("%s: %v %s", params, d.Action, d.Body)
		}
		_, d = post(g, stateless("tools/call", params), append(statelessHeaders("tools/call", "both_add"), "x-mcp-claims", reader)...)
		if (d.Action == Pass) != allowed {
			t.Errorf("stateless %s: %v %s", params, d.Action, d.Body)
		}
	}
}

// Where a table is awaited the host's memory is gone when it comes.
func TestArgumentsOutliveTheBody(t *testing.T) {
	t.Parallel()
	for n, allowed := range map[string]bool{"6": true, "8": false} {
		cfg := authConfig()
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s := new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders("x-mcp-claims", reader), false, second)
		g.sessions.put(s.session, backend{place: "mcp-server-both", id: []byte("b"), version: "2025-11-25", expires: 30 * second})
		body := []byte(request("tools/call", `"name":"both_add","arguments":{"n":`+n+`}`))
		if d := s.RequestBody(body, second); d.Action != Ask || d.Question.Path != gatewayconfig.PathTable {
			t.Fatalf("%v %s", d.Action, d.Body)
		}
		clear(body)
		table, err := json.Marshal(accessTable())
		if err != nil {
			t.Fatal(err)
		}
		d := s.Answer(200, table, second)
		for d.Action == Ask {
			d = s.Answer(304, nil, second)
		}
		if (d.Action == Pass) != allowed {
			t.Errorf("%s: %v %s", n, d.Action, d.Body)
		}
	}
}

// A table whose rules cannot be compiled is not taken, and the one before holds.
func TestFaultyRulesAreNotTaken(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, nil)
	bad := accessTable()
	bad.Version = "bad"
	bad.Authorization.Rules[1].When = `!("write" in principal.scope)`
	text, err := json.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.TakeTable(200, text, 0); err == nil || !strings.Contains(err.Error(), "rules[1].when") {
		t.Errorf("taken: %v", err)
	}
	if _, d := post(g, call("weather_delete"), "x-mcp-claims", reader); d.Action != Reply {
		t.Errorf("%v", d.Action)
	}
	if _, d := post(g, call("search"), "x-mcp-claims", reader); d.Action != Pass {
		t.Errorf("%v %s", d.Action, d.Body)
	}
	fresh, err := New(authConfig())
	if err != nil {
		t.Fatal(err)
	}
	s, d := post(fresh, call("search"), "x-mcp-claims", reader)
	if d.Action != Ask {
		t.Fatalf("%v", d.Action)
	}
	if d = s.Answer(200, text, second); d.Action != Reply || !strings.Contains(string(d.Body), "no routing table yet") {
		t.Errorf("%v %s", d.Action, d.Body)
	}
}

// A rule that has just changed is asked for like a name that has just come.
func TestDeniedLooksAtTheTableAgain(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, nil)
	longFetched(g)
	s, d := post(g, call("weather_delete"), "x-mcp-claims", reader)
	if d.Action != Ask || d.Question.Path != gatewayconfig.PathTable {
		t.Fatalf("%v %s", d.Action, d.Body)
	}
	next := accessTable()
	next.Version, next.Authorization = "next", nil
	text, err := json.Marshal(next)
	if err != nil {
		t.Fatal(err)
	}
	if d = s.Answer(200, text, second); d.Action != Pass || chosen(edits(d)) != "weather" {
		t.Errorf("%v %s", d.Action, d.Body)
	}
}

func TestAccessAllocatesNothing(t *testing.T) {
	for _, test := range []struct {
		name, body string
		rules      bool
		headers    []string
	}{
		{"without rules", call("search"), false, nil},
		{"with rules", call("search"), true, nil},
		{"stateless, with rules", stateless("tools/call", `"name":"now_add"`), true, statelessHeaders("tools/call", "now_add")},
	} {
		g := accessGateway(t, func(cfg *gatewayconfig.Filter, table *gatewayconfig.Table) {
			if cfg.Metadata = false; !test.rules {
				table.Authorization = nil
			}
		})
		s, headers, body := new(Stream), postHeaders(append(test.headers, "x-mcp-claims", reader)...), []byte(test.body)
		run := func() {
			s.Reset(g)
			s.RequestHeaders(headers, false, second)
			if d := s.RequestBody(body, second); d.Action != Pass {
				t.Fatalf("%s: %v %s", test.name, d.Action, d.Body)
			}
		}
		run()
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

// A client can make up marks of its own session: they lead to no server of which
// nothing is for it, neither an answer, nor progress, nor the taking up of a stream.
func TestMarksOfHiddenServers(t *testing.T) {
	t.Parallel()
	g := accessGateway(t, func(_ *gatewayconfig.Filter, table *gatewayconfig.Table) {
		table.Authorization.Rules = append(table.Authorization.Rules, gatewayconfig.AccessRule{Name: "not-docs", Effect: gatewayconfig.Deny, Servers: []string{"docs"}, When: `!("write" in principal.scopes)`})
	})
	for token, want := range map[string]string{reader: "", writer: "docs"} {
		for _, body := range []string{
			sealed("s1", `{"jsonrpc":"2.0","id":"docs~1","result":{}}`),
			sealed("s1", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"docs~1","progress":1}}`),
		} {
			if _, d := post(g, body, "x-mcp-claims", token); d.Action != Pass || chosen(edits(d)) != want {
				t.Errorf("%s: %v to %q, want %q", body, d.Action, chosen(edits(d)), want)
			}
		}
		if _, d := get(g, "last-event-id", sealed("s1", "docs~7"), "x-mcp-claims", token); d.Action != Pass || chosen(edits(d)) != want {
			t.Errorf("resumed: %v to %q, want %q", d.Action, chosen(edits(d)), want)
		}
	}
}
