package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

const second = int64(1e9)

func testConfig() gatewayconfig.Filter {
	return gatewayconfig.Filter{
		Path: "/mcp", BodyLimit: 4096, ResponseLimit: 4096, InternalCluster: "internal", AskTimeout: 1,
		Hostnames: []string{"gw.example"}, AllowedOrigins: []string{"https://app.example"},
	}
}

func testTable() gatewayconfig.Table {
	return gatewayconfig.Table{
		Version: "v1",
		Servers: []gatewayconfig.TableServer{
			{Name: "weather", Cluster: "mcp-server-weather", Authority: "10.1.1.1:9001", Path: "/api/mcp?k=v", Prefix: "weather_", Label: "weather", Listed: true},
			{Name: "docs", Cluster: "mcp-server-docs", Authority: "10.1.1.2:9001", Path: "/mcp", Label: "docs", Listed: true, Resources: true},
			{Name: "new", Cluster: "mcp-server-new", Authority: "10.1.1.3:9001", Path: "/mcp", Prefix: "new_", Label: "new"},
		},
		Tools: map[string]gatewayconfig.Target{
			"weather_get_weather":  {Server: 0, Name: "get_weather"},
			"weather_wetter\u00e4": {Server: 0, Name: "wetter\u00e4"},
			"search":               {Server: 1, Name: "search"},
		},
		Prompts: map[string]gatewayconfig.Target{"weather_brief": {Server: 0, Name: "brief"}},
	}
}

// newGateway has the test table and, for session "s1", a backend session at
// each server.
func newGateway(t testing.TB) *Gateway {
	t.Helper()
	g := gatewayOf(t, testConfig(), testTable())
	for _, s := range []string{"weather", "docs", "new"} {
		g.sessions.put([]byte("s1"), backend{place: "mcp-server-" + s, id: []byte("b-" + s), version: "2025-11-25", expires: 30 * second})
	}
	justFetched(g)
	return g
}

// gatewayOf has no sessions.
func gatewayOf(t testing.TB, config gatewayconfig.Filter, table gatewayconfig.Table) *Gateway {
	t.Helper()
	g, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	putTable(t, g, table)
	return g
}

// justFetched has nobody fetch the table at the time of the tests' requests, one
// second; longFetched lets them.
func justFetched(g *Gateway) {
	g.fetched.Store(second)
	g.recheckFrom.Store(second)
	g.rechecks.Store(recheckBurst)
}

func longFetched(g *Gateway) {
	g.fetched.Store(0)
	g.found(second)
	g.recheckFrom.Store(0)
}

func putTable(t testing.TB, g *Gateway, table gatewayconfig.Table) {
	t.Helper()
	text, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.TakeTable(200, text, 0); err != nil {
		t.Fatal(err)
	}
}

// postHeaders are those of a POST in order; extra ones override or add, and a
// value of "-" removes.
func postHeaders(extra ...string) []Header {
	names := []string{":method", ":path", ":authority", "content-type", "accept", "mcp-session-id", "mcp-protocol-version"}
	values := map[string]string{
		":method": "POST", ":path": "/mcp", ":authority": "gw.example:8888", "content-type": "application/json",
		"accept": "application/json, text/event-stream", "mcp-session-id": "s1", "mcp-protocol-version": "2025-11-25",
	}
	for i := 0; i+1 < len(extra); i += 2 {
		if _, ok := values[extra[i]]; !ok {
			names = append(names, extra[i])
		}
		values[extra[i]] = extra[i+1]
	}
	var out []Header
	for _, n := range names {
		if values[n] != "-" {
			out = append(out, Header{Name: n, Value: values[n]})
		}
	}
	return out
}

func post(g *Gateway, body string, extra ...string) (*Stream, *Decision) {
	s := new(Stream)
	s.Reset(g)
	d := s.RequestHeaders(postHeaders(extra...), false, second)
	if d.Action == NeedBody {
		d = s.RequestBody([]byte(body), second)
	}
	return s, d
}

func call(name string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":{"n":1.0,"big":1e400}}}`
}

func edits(d *Decision) map[string]string {
	out := make(map[string]string)
	for _, e := range d.Edits {
		if e.Remove {
			out[e.Name] = "(removed)"
		} else {
			out[e.Name] = string(e.Value)
		}
	}
	return out
}

// chosen is the server that a request goes to.
func chosen(edits map[string]string) string {
	if edits[mcp.HeaderCluster] == gatewayconfig.ClusterBroker {
		return ""
	}
	return strings.TrimPrefix(edits[mcp.HeaderCluster], gatewayconfig.ServerClusters)
}

func spliced(body string, d *Decision) string {
	return body[:d.Splice.Start] + string(d.Splice.With) + body[d.Splice.End:]
}

func TestForward(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body, want, server string
	}{
		{"PrefixedTool", call("weather_get_weather"), call("get_weather"), "weather"},
		{"EscapedNameIsTheSameName", call(`weather_get\u005fweather`), call("get_weather"), "weather"},
		{"UnicodeName", call("weather_wetterä"), call("wetterä"), "weather"},
		{"UnprefixedTool", call("search"), call("search"), "docs"},
		{"UnlistedServerByPrefix", call("new_thing"), call("thing"), "new"},
		{
			"EscapedMethodIsTheSameMethod",
			`{"method":"tools\/call","jsonrpc":"2.0","params":{"arguments":{"name":"weather_get_weather"},"name":"weather_get_weather"},"id":"x"}`,
			`{"method":"tools\/call","jsonrpc":"2.0","params":{"arguments":{"name":"weather_get_weather"},"name":"get_weather"},"id":"x"}`,
			"weather",
		},
		{
			"Prompt",
			`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"weather_brief"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"brief"}}`, "weather",
		},
		{
			"LabelledResource",
			`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"docs+file:///a+b"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a+b"}}`, "docs",
		},
		{
			"LabelledUI",
			`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"ui://docs+app/x"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"ui://app/x"}}`, "docs",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, d := post(newGateway(t), tt.body, "x-mcp-cluster", "mcp-server-evil", "x-mcp-anything", "1", "x-envoy-retry-on", "5xx", "content-length", "123", "authorization", "Bearer client", "cookie", "a=b", "proxy-authorization", "x")
			if d.Action != Pass || !d.Reroute {
				t.Fatalf("action %v, reroute %v, body %s", d.Action, d.Reroute, d.Body)
			}
			if got := spliced(tt.body, d); got != tt.want {
				t.Errorf("body\n got %s\nwant %s", got, tt.want)
			}
			e := edits(d)
			if chosen(e) != tt.server || e["x-mcp-anything"] != "(removed)" || e["authorization"]+e["cookie"]+e["proxy-authorization"] != "(removed)(removed)(removed)" || e["x-envoy-retry-on"] != "(removed)" || e["mcp-session-id"] != "b-"+tt.server {
				t.Errorf("edits %v", e)
			}
			if want := fmt.Sprint(len(tt.want)); e["content-length"] != want {
				t.Errorf("content-length %s, want %s", e["content-length"], want)
			}
			// The gateway's own value must come after the removal of the client's.
			last := ""
			for _, x := range d.Edits {
				if x.Name == mcp.HeaderCluster {
					last = string(x.Value)
				}
			}
			if last != gatewayconfig.ServerClusters+tt.server {
				t.Errorf("last x-mcp-cluster edit %q", last)
			}
		})
	}
}

func TestForwardSetsAuthorityAndPath(t *testing.T) {
	t.Parallel()
	_, d := post(newGateway(t), call("weather_get_weather"), ":path", "/mcp?token=secret")
	e := edits(d)
	if e[":authority"] != "10.1.1.1:9001" || e[":path"] != "/api/mcp?k=v" {
		t.Errorf("edits %v", e)
	}
	_, d = post(newGateway(t), call("search"), ":path", "/mcp?token=secret")
	if e := edits(d); e[":path"] != "/mcp" {
		t.Errorf("the client's query goes on: %v", e)
	}
}

func TestForwardSendsTheNegotiatedVersion(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.sessions.put([]byte("s1"), backend{place: "mcp-server-docs", id: nil, version: "2025-03-26", expires: 30 * second})
	_, d := post(g, call("search"))
	if e := edits(d); e["mcp-protocol-version"] != "2025-03-26" || e["mcp-session-id"] != "(removed)" {
		t.Errorf("edits %v", e)
	}
}

func TestPassedToBroker(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"no/such"}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":7,"result":{}}`,
	} {
		_, d := post(newGateway(t), body, "x-mcp-cluster", "mcp-server-weather")
		if d.Action != Pass || d.Splice.With != nil || chosen(edits(d)) != "(removed)" {
			t.Errorf("%s: %+v", body, d)
		}
		if !d.Reroute {
			t.Errorf("%s: the route that the client's own x-mcp-cluster chose stays", body)
		}
		if _, d = post(newGateway(t), body); d.Reroute {
			t.Errorf("%s: the route is chosen twice for nothing", body)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	const list = `{"jsonrpc":"2.0","id":"a\u0041","method":"tools/list"}`
	tests := []struct {
		name, body string
		headers    []string
		status     int
		id         string
		code       int
	}{
		{"UnknownTool", call("weather_nope"), nil, 200, "1", -32602},
		{"PrefixIsNoName", call("weather_"), nil, 200, "1", -32602},
		{"NamesAreCaseSensitive", call("Weather_get_weather"), nil, 200, "1", -32602},
		{"UnknownPrompt", `{"jsonrpc":"2.0","id":1.50,"method":"prompts/get","params":{"name":"x"}}`, nil, 200, "1.50", -32602},
		{"NameMissing", `{"jsonrpc":"2.0","id":-0,"method":"tools/call","params":{}}`, nil, 200, "-0", -32602},
		{"NoParams", `{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call"}`, nil, 200, "9007199254740993", -32602},
		{"NameNoString", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}`, nil, 200, "1", -32602},
		{"UnknownResource", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///x"}}`, nil, 200, "1", -32002},
		{"UnknownLabel", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"git+ssh://x"}}`, nil, 200, "1", -32002},
		{"BadJSON", `{"jsonrpc":"2.0","id":1,`, nil, 400, "null", -32700},
		{"Empty", ``, nil, 400, "null", -32700},
		{"InvalidUTF8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"x\":\"\xff\"}", nil, 400, "null", -32700},
		{"DuplicateName", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","name":"weather_get_weather"}}`, nil, 400, "1", -32600},
		{"CaseVariant", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","Name":"weather_get_weather"}}`, nil, 400, "1", -32600},
		{"EscapedKey", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"n\u0061me":"search"}}`, nil, 400, "1", -32600},
		{"Batch", `[` + list + `]`, nil, 400, "null", -32600},
		{"NoSession", call("search"), []string{"mcp-session-id", "-"}, 400, "1", -32600},
		{"OverLimit", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"x":"` + strings.Repeat("x", 4096) + `"}}`, nil, 413, "null", -32600},
		{"AnnouncedOverLimit", list, []string{"content-length", "4097"}, 413, "null", -32600},
		{"ContentType", list, []string{"content-type", "text/plain"}, 415, "null", -32600},
		{"Compressed", list, []string{"content-encoding", "gzip"}, 415, "null", -32600},
		{"NoContentType", list, []string{"content-type", "-"}, 415, "null", -32600},
		{"Accept", list, []string{"accept", "application/json"}, 406, "null", -32600},
		{"Method", list, []string{":method", "PUT"}, 405, "null", -32600},
		{"Path", list, []string{":path", "/mcp/no/such"}, 404, "null", -32600},
		{"Host", list, []string{":authority", "evil.example"}, 403, "null", -32600},
		{"Origin", list, []string{"origin", "http://evil.example"}, 403, "null", -32600},
		{"NullOrigin", list, []string{"origin", "null"}, 403, "null", -32600},
		{"OriginOfUserinfo", list, []string{"origin", "http://gw.example@evil.example"}, 403, "null", -32600},
		{"UnknownVersion", list, []string{"mcp-protocol-version", "2020-01-01"}, 400, `"a\u0041"`, -32600},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			justFetched(g) // no second look at the table
			_, d := post(g, tt.body, tt.headers...)
			if d.Action != Reply || d.Status != tt.status {
				t.Fatalf("action %v, status %d, want a reply with %d", d.Action, d.Status, tt.status)
			}
			prefix := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,`, tt.id, tt.code)
			if !strings.HasPrefix(string(d.Body), prefix) || !json.Valid(d.Body) {
				t.Errorf("body %s, want it to begin with %s", d.Body, prefix)
			}
			if edits(d)["content-type"] != "application/json" || d.Reason == "" || !d.Done {
				t.Errorf("decision %+v", d)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, headers := range [][]string{
		{"accept", "*/*"}, {"accept", "-"}, {"accept", "application/*, text/*;q=0.5"},
		{"content-type", "Application/JSON; charset=utf-8"},
		{":authority", "GW.example"}, {"origin", "https://app.example"}, {"origin", "http://gw.example:3000"},
		{"mcp-protocol-version", "-"}, {":path", "/mcp?x=1"}, {"mcp-method", "tools/list", "mcp-name", "x"},
	} {
		if _, d := post(newGateway(t), list, headers...); d.Action != Pass {
			t.Errorf("%v: %d %s", headers, d.Status, d.Body)
		}
	}
}

func TestGetAndDelete(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	get := func(headers ...string) *Decision {
		s := new(Stream)
		s.Reset(g)
		return s.RequestHeaders(postHeaders(append([]string{"content-type", "-"}, headers...)...), true, second)
	}
	if d := get(":method", "GET"); d.Action != Pass {
		t.Errorf("GET: %s", d.Body)
	}
	if d := get(":method", "GET", "accept", "application/json"); d.Status != 406 {
		t.Errorf("GET without event stream: %d", d.Status)
	}
	if d := get(":method", "GET", "mcp-session-id", "-"); d.Status != 400 {
		t.Errorf("GET without session: %d", d.Status)
	}
	if _, ok := g.sessions.get([]byte("s1"), "mcp-server-docs", second); !ok {
		t.Fatal("the session is not cached to begin with")
	}
	if d := get(":method", "DELETE"); d.Action != Pass || d.Plain {
		t.Errorf("DELETE: %+v", d)
	}
	if _, ok := g.sessions.get([]byte("s1"), "mcp-server-docs", second); ok {
		t.Error("DELETE leaves the session in the cache")
	}
}
