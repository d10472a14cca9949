package filter

import (
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

// viewTable has a server with rules, two that were never listed, and views.
func viewTable() gatewayconfig.Table {
	t := testTable()
	t.Version, t.NameLimit = "v2", 64
	t.Servers[1].Rules = &gatewayconfig.ServerRules{
		Resources: gatewayconfig.Rules{Allow: []string{"file:///public/*"}, Deny: []string{"*.key"}},
	}
	t.Servers[2].Rules = &gatewayconfig.ServerRules{
		Tools: gatewayconfig.Rules{Deny: []string{"drop_*", "renamed"}}, Prompts: gatewayconfig.Rules{Allow: []string{"brief"}},
	}
	t.Servers = append(t.Servers, gatewayconfig.TableServer{
		Name: "late", Cluster: "mcp-server-late", Authority: "10.1.1.4:9001", Path: "/mcp", Prefix: "late_", Label: "late", OnConflict: true,
	})
	t.Tools["alias"] = gatewayconfig.Target{Server: 2, Name: "renamed"}
	t.Views = []gatewayconfig.TableView{
		{Name: "team", Servers: []int{0, 1, 3}, Tools: gatewayconfig.Rules{Allow: []string{"weather_*", "late_x", "x", "late_y", "sea*"}, Deny: []string{"*_admin"}},
			Resources: gatewayconfig.Rules{Allow: []string{"docs+file:///public/team/*", "ui://docs+*"}}},
		{Name: "none", Servers: []int{}},
	}
	return t
}

func viewGateway(t *testing.T) *Gateway {
	t.Helper()
	g := newGateway(t)
	putTable(t, g, viewTable())
	for _, s := range []string{"weather", "docs", "new", "late"} {
		b := backend{place: "mcp-server-" + s, id: []byte("b-" + s), version: "2025-11-25", expires: 30 * second}
		for _, key := range []string{"s1", "s1\x00team", "s1\x00none", "s1\x00gone"} {
			g.sessions.put([]byte(key), b)
		}
	}
	return g
}

func TestViews(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		path, what, name string
		server, own      string // server empty: unknown
	}{
		{"/mcp", "tool", "weather_get_weather", "weather", "get_weather"},
		{"/mcp", "tool", "alias", "new", "renamed"},
		{"/mcp", "tool", "new_renamed", "", ""},
		{"/mcp", "tool", "new_drop_all", "", ""},
		{"/mcp", "tool", "new_get", "new", "get"},
		{"/mcp", "tool", "new_" + strings.Repeat("x", 61), "", ""}, // no list would show it so
		{"/mcp", "tool", "new_a b", "", ""},
		{"/mcp", "prompt", "new_brief", "new", "brief"},
		{"/mcp", "prompt", "new_other", "", ""},
		{"/mcp", "tool", "late_x", "late", "x"},
		{"/mcp", "tool", "x", "late", "x"},
		{"/mcp/team", "tool", "weather_get_weather", "weather", "get_weather"},
		{"/mcp/team", "tool", "weather_admin", "", ""},
		{"/mcp/team", "tool", "search", "docs", "search"},
		{"/mcp/team", "tool", "alias", "", ""},
		{"/mcp/team", "tool", "new_get", "", ""},
		{"/mcp/team", "tool", "late_x", "late", "x"},
		{"/mcp/team", "tool", "x", "late", "x"},
		{"/mcp/team", "tool", "late_y", "", ""}, // y is not admitted
		{"/mcp/team", "tool", "y", "", ""},
		{"/mcp/team", "prompt", "weather_brief", "weather", "brief"},
		{"/mcp/none", "tool", "search", "", ""},
		{"/mcp/none", "prompt", "weather_brief", "", ""},

		{"/mcp", "uri", "docs+file:///public/a", "docs", "file:///public/a"},
		{"/mcp", "uri", "docs+file:///secret", "", ""},
		{"/mcp", "uri", "docs+file:///public/../secret", "", ""},
		{"/mcp", "uri", "docs+file:///public/%2e%2e/secret", "", ""},
		{"/mcp", "uri", "docs+file:///public/a.key", "", ""},
		{"/mcp", "uri", "weather+any://thing/../x", "weather", "any://thing/../x"},
		{"/mcp/team", "uri", "docs+file:///public/team/a", "docs", "file:///public/team/a"},
		{"/mcp/team", "uri", "docs+file:///public/a", "", ""},
		{"/mcp/team", "uri", "weather+file:///public/team/a", "", ""},
		{"/mcp/team", "uri", "new+file:///a", "", ""},
		{"/mcp/none", "uri", "docs+file:///public/a", "", ""},
	} {
		t.Run(test.path+" "+test.name, func(t *testing.T) {
			t.Parallel()
			g := viewGateway(t)
			body, code := call(test.name), "-32602"
			switch test.what {
			case "prompt":
				body = strings.ReplaceAll(body, "tools/call", "prompts/get")
			case "uri":
				code = "-32002"
				body = `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"` + test.name + `"}}`
			}
			_, d := post(g, body, ":path", test.path)
			if test.server == "" {
				if d.Action != Reply || d.Status != 200 || !strings.Contains(string(d.Body), `"code":`+code) {
					t.Fatalf("action %d, status %d, %s: want unknown", d.Action, d.Status, d.Body)
				}
				return
			}
			if d.Action != Pass || chosen(edits(d)) != test.server {
				t.Fatalf("action %d to %q, body %s", d.Action, chosen(edits(d)), d.Body)
			}
			if got := spliced(body, d); !strings.Contains(got, `"`+test.own+`"`) {
				t.Errorf("server gets %s", got)
			}
			if got := edits(d)[":path"]; !strings.HasPrefix(got, "/api/mcp") && got != "/mcp" && test.path != "/mcp" {
				t.Errorf("the view's path goes on to the server: %q", got)
			}
		})
	}
}

func TestEndpointPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{
		"/mcp/gone": 404, "/mcp/": 404, "/mcp/team/": 404, "/mcp/te%61m": 404, "/mcpteam": 404, "/mcp/TEAM": 404, "/mcp/team": 200,
	} {
		g := viewGateway(t)
		justFetched(g) // no newer table within this request
		_, d := post(g, call("search"), ":path", path)
		if got := d.Status; d.Action == Reply && got != want || d.Action == Pass && want != 200 || d.Action == Ask {
			t.Errorf("%s: action %d, status %d, want %d", path, d.Action, d.Status, want)
		}
	}
}

// A view that came into being a moment ago is found with a newer table.
func TestNewView(t *testing.T) {
	t.Parallel()
	g := viewGateway(t)
	longFetched(g)
	s, d := post(g, call("search"), ":path", "/mcp/gone")
	if d.Action != Ask || d.Question.Path != gatewayconfig.PathTable {
		t.Fatalf("action %d %+v", d.Action, d.Question)
	}
	if d = s.Answer(304, nil, second); d.Action != Reply || d.Status != 404 {
		t.Errorf("without one: action %d, status %d", d.Action, d.Status)
	}
}

func TestSessionBelongsToItsEndpoint(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	putTable(t, g, viewTable())
	// s1 is warm at the gateway's own endpoint; at a view the broker decides.
	_, d := post(g, call("weather_get_weather"))
	if d.Action != Pass {
		t.Fatalf("own endpoint: action %d", d.Action)
	}
	s, d := post(g, call("weather_get_weather"), ":path", "/mcp/team")
	want := `{"session":"s1","server":"weather","cluster":"mcp-server-weather","endpoint":"team"}`
	if d.Action != Ask || string(d.Question.Body) != want {
		t.Fatalf("action %d asks %s, want %s", d.Action, d.Question.Body, want)
	}
	if d = s.Answer(404, nil, second); d.Action != Reply || d.Status != 404 {
		t.Errorf("action %d, status %d, want 404", d.Action, d.Status)
	}
	// What another endpoint was told has not ended the session at its own.
	if _, d = post(g, call("weather_get_weather")); d.Action != Pass {
		t.Errorf("own endpoint after that: action %d", d.Action)
	}
	if _, d = post(g, call("weather_get_weather"), "mcp-session-id", "s1\x00team"); d.Action != Reply || d.Status != 400 {
		t.Errorf("a session id with a NUL: action %d, status %d", d.Action, d.Status)
	}
}

func TestViewsAllocateNothingMore(t *testing.T) {
	g := viewGateway(t)
	body, headers := []byte(call("weather_get_weather")), postHeaders(":path", "/mcp/team", "content-length", "99")
	justFetched(g)
	s := new(Stream)
	run := func() {
		s.Reset(g)
		s.RequestHeaders(headers, false, second)
		if d := s.RequestBody(body, second); d.Action != Pass {
			t.Fatalf("action %d", d.Action)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Completions go by the same rules; what is marked for a server that the view
// does not show is the broker's to drop.
func TestViewsHoldForTheRestOfTheProtocol(t *testing.T) {
	t.Parallel()
	complete := func(ref string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":` + ref + `,"argument":{"name":"a","value":""}}}`
	}
	for _, test := range []struct {
		path, body, server string // server empty: -32602; "broker": passed to it
	}{
		{"/mcp", complete(`{"type":"ref/prompt","name":"weather_brief"}`), "weather"},
		{"/mcp/none", complete(`{"type":"ref/prompt","name":"weather_brief"}`), ""},
		{"/mcp", complete(`{"type":"ref/prompt","name":"new_other"}`), ""},
		{"/mcp", complete(`{"type":"ref/resource","uri":"docs+file:///public/{x}"}`), "docs"},
		{"/mcp", complete(`{"type":"ref/resource","uri":"docs+file:///secret/{x}"}`), ""},
		{"/mcp/team", complete(`{"type":"ref/resource","uri":"docs+file:///public/{x}"}`), ""},
		{"/mcp/team", `{"jsonrpc":"2.0","id":"docs~1","result":{}}`, "docs"},
		{"/mcp/team", `{"jsonrpc":"2.0","id":"new~1","result":{}}`, "broker"},
		{"/mcp/none", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"docs~1","progress":1}}`, "broker"},
	} {
		_, d := post(viewGateway(t), sealed("s1", test.body), ":path", test.path)
		switch got := chosen(edits(d)); {
		case test.server == "":
			if d.Action != Reply || !strings.Contains(string(d.Body), `"code":-32602`) {
				t.Errorf("%s %s: action %d, %s", test.path, test.body, d.Action, d.Body)
			}
		case d.Action != Pass || test.server == "broker" && got != "" || test.server != "broker" && got != test.server:
			t.Errorf("%s %s: action %d to %q", test.path, test.body, d.Action, got)
		}
	}
	for path, want := range map[string]string{"/mcp": "new", "/mcp/team": ""} {
		s := new(Stream)
		s.Reset(viewGateway(t))
		d := s.RequestHeaders(postHeaders(":method", "GET", ":path", path, "accept", "text/event-stream", "last-event-id", sealed("s1", "new~7")), true, second)
		if got := chosen(edits(d)); d.Action != Pass || got != want {
			t.Errorf("resuming at %s: action %d to %q, want %q", path, d.Action, got, want)
		}
	}
}
