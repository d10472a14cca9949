package filter

import (
	"strings"
	"testing"

	"mcp-gateway/internal/mcp"
)

// policed is newGateway with filters of the operator's behind this one.
func policed(t *testing.T, eras bool) *Gateway {
	t.Helper()
	config := testConfig()
	config.Policies, config.Metadata, config.Sessionless = true, true, true
	g, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	if eras {
		putTable(t, g, erasTable())
	} else {
		putTable(t, g, testTable())
	}
	g.sessions.put([]byte("s1"), backend{place: "mcp-server-weather", id: []byte("b"), version: "2025-11-25", expires: 30 * second})
	justFetched(g)
	return g
}

func notes(d *Decision) map[string]string {
	out := map[string]string{}
	for _, n := range d.Notes {
		out[n.Key] = string(n.Value)
	}
	return out
}

func TestDenied(t *testing.T) {
	t.Parallel()
	const prompts = `{"jsonrpc":"2.0","id":"p","method":"prompts/list"}`
	tests := []struct {
		name, request, status string
		headers               []Header
		body                  string // of the denial; "-" for none
		want                  string
		retry                 string // Retry-After, where the gateway sets it
	}{
		{
			"AccessControl", call("weather_get_weather"), "403", nil, "RBAC: access denied",
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"the gateway's policy refuses this request","data":{"reason":"RBAC: access denied"}}}`, "",
		},
		{
			"RateLimit", call("weather_get_weather"), "429", nil, "local_rate_limited",
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"too many requests","data":{"reason":"local_rate_limited"}}}`, "5",
		},
		{
			"RateLimitThatTellsWhen", call("weather_get_weather"), "429", []Header{{"retry-after", "60"}}, "-",
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"too many requests"}}`, "60",
		},
		{
			"Object", prompts, "401", []Header{{"www-authenticate", "Bearer"}}, `{"policy":"p1"}`,
			`{"jsonrpc":"2.0","id":"p","error":{"code":-32600,"message":"authentication is required","data":{"policy":"p1"}}}`, "",
		},
		{
			"AnObjectNearly", prompts, "403", nil, `{"policy"`,
			`{"jsonrpc":"2.0","id":"p","error":{"code":-32600,"message":"the gateway's policy refuses this request","data":{"reason":"{\"policy\""}}}`, "",
		},
		{
			"LongText", prompts, "503", nil, strings.Repeat("x", reasonLimit+1),
			`{"jsonrpc":"2.0","id":"p","error":{"code":-32603,"message":"the gateway cannot decide on this request now"}}`, "5",
		},
		{
			"NoText", prompts, "403", nil, "\xff",
			`{"jsonrpc":"2.0","id":"p","error":{"code":-32600,"message":"the gateway's policy refuses this request"}}`, "",
		},
		{
			"Notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "403", nil, "no",
			`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the gateway's policy refuses this request","data":{"reason":"no"}}}`, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := post(policed(t, false), tt.request)
			if d.Action != Pass {
				t.Fatalf("%+v", d)
			}
			s.Denied()
			end := tt.body == "-"
			d = s.ResponseHeaders(append(headersOf(tt.status, "text/plain"), tt.headers...), end)
			if end {
				if d.Action != Reply || string(d.Body) != tt.want {
					t.Errorf("without a body: %v %s", d.Action, d.Body)
				}
			} else {
				if d.Action != NeedBody {
					t.Fatalf("%+v", d)
				}
				d = s.ResponseBody([]byte(tt.body), true)
				if d.Action != Pass || !d.Replace || string(d.Body) != tt.want {
					t.Errorf("\n got %s\nwant %s", d.Body, tt.want)
				}
			}
			e := edits(d)
			if e["content-type"] != "application/json" || e["retry-after"] != tt.retry || e[":status"] != "" || !d.Done || d.Reason != "denied" {
				t.Errorf("edits %v, %+v", e, d)
			}
			for _, h := range tt.headers {
				if end && e[h.Name] != h.Value || !end && e[h.Name] != "" {
					t.Errorf("header %s: %q", h.Name, e[h.Name])
				}
			}
		})
	}
}

func TestWhatIsNoDenial(t *testing.T) {
	t.Parallel()
	s, _ := post(policed(t, false), call("weather_get_weather"))
	s.Denied()
	if d := s.ResponseHeaders(headersOf("200", "text/plain"), false); d.Action != Pass || !d.Done {
		t.Errorf("an answer that the operator makes: %+v", d)
	}
	s, _ = post(policed(t, false), call("weather_get_weather"))
	if d := s.ResponseHeaders(headersOf("503", "text/plain"), false); d.Reason != "server_down" {
		t.Errorf("Envoy's answer in place of a server: %+v", d)
	}
	// The next request of a stream's memory is not denied with the last one.
	s.Denied()
	s.Reset(policed(t, false))
	s.RequestHeaders(postHeaders(), false, second)
	s.RequestBody([]byte(call("weather_get_weather")), second)
	if d := s.ResponseHeaders(headersOf("503", "text/plain"), false); d.Reason != "server_down" {
		t.Errorf("after Reset: %+v", d)
	}
}

// What is called, and at which server, is noted on every way a call can take.
func TestPoliciesKnowTheCall(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		eras     bool
		request  string
		headers  []string
		want     string // tool
		server   string
		longMark string
	}{
		"straight":              {false, call("weather_get_weather"), nil, "weather_get_weather", "weather", ""},
		"escaped":               {false, call(`weather_get\u005fweather`), nil, "weather_get_weather", "weather", ""},
		"without a session":     {false, call("weather_get_weather"), []string{"mcp-session-id", "-"}, "weather_get_weather", "weather", "weather"},
		"unknown, no session":   {false, call("nobodys"), []string{"mcp-session-id", "-"}, "nobodys", "", "-"},
		"between the eras":      {true, stateless("tools/call", `"name":"search"`), statelessHeaders("tools/call", "search"), "search", "docs", "docs"},
		"a prompt is no tool":   {false, `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"weather_brief"}}`, nil, "", "weather", ""},
		"a list names no tool":  {false, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, nil, "", "", ""},
		"no name, no session":   {false, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}`, []string{"mcp-session-id", "-"}, "", "", "-"},
		"no params, no session": {false, `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, []string{"mcp-session-id", "-"}, "", "", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, d := post(policed(t, tt.eras), tt.request, tt.headers...)
			n := notes(d)
			if d.Action != Pass || n["tool"] != tt.want || n["server"] != tt.server || edits(d)[mcp.HeaderLong] != tt.longMark || n["method"] == "" {
				t.Errorf("%v: notes %v, edits %v, body %s", d.Action, n, edits(d), d.Body)
			}
		})
	}
}

// Who calls is noted as it was proved, whatever the credential and the way.
func TestPoliciesKnowTheCaller(t *testing.T) {
	t.Parallel()
	cfg := authConfig()
	cfg.Policies, cfg.Metadata = true, true
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	putTable(t, g, erasTable())
	justFetched(g)
	of := map[string]string{}
	for name, tt := range map[string]struct {
		headers                         []string
		issuer, subject, client, scopes string
	}{
		"ada": {[]string{"authorization", "Bearer x", mcp.HeaderClaims, ada}, "https://idp.example", "ada", "", "mcp other"},
		"bob": {[]string{"authorization", "Bearer x", mcp.HeaderClaims, bob}, "https://idp.example", "bob", "", "mcp"},
		"key": {[]string{"x-api-key", "key-of-ci"}, "", "ci", "ci", ""},
	} {
		for way, request := range map[string][]string{
			"straight":   append(statelessHeaders("tools/call", "now_add"), tt.headers...),
			"the broker": append(statelessHeaders("tools/list", ""), tt.headers...),
		} {
			method, params := "tools/call", `"name":"now_add"`
			if way == "the broker" {
				method, params = "tools/list", ""
			}
			_, d := post(g, stateless(method, params), request...)
			n := notes(d)
			if d.Action != Pass || n["issuer"] != tt.issuer || n["subject"] != tt.subject || n["client"] != tt.client || n["scopes"] != tt.scopes || len(n["principal"]) != 64 {
				t.Errorf("%s, %s: %v: notes %v, body %s", name, way, d.Action, n, d.Body)
			}
			if before := of[name]; before != "" && before != n["principal"] {
				t.Errorf("%s is %s and %s", name, before, n["principal"])
			}
			of[name] = n["principal"]
		}
	}
	if of["ada"] == of["bob"] || of["bob"] == of["key"] {
		t.Errorf("not told apart: %v", of)
	}
}
