package filter

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

func claims(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// ada and bob are the claims of tokens for the endpoint at /mcp.
var (
	ada = claims(`{"iss":"https://idp.example","sub":"ada","aud":"https://gw.example/mcp","scope":"mcp other"}`)
	bob = claims(`{"iss":"https://idp.example","sub":"bob","aud":["x","https://gw.example/mcp"],"scope":"mcp"}`)
)

func digestOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func authConfig() gatewayconfig.Filter {
	cfg := testConfig()
	cfg.SSEPath = "/mcp/sse"
	cfg.Auth = &gatewayconfig.Auth{
		Resource: "https://gw.example/mcp", Scopes: []string{"mcp"}, ScopesSupported: []string{"mcp", "cal:write"},
		Issuers: []gatewayconfig.Issuer{
			{Issuer: "https://idp.example"}, {Issuer: "https://other.example", Audiences: []string{"api://gw"}},
		},
		KeyHeader: "x-api-key", Keys: []gatewayconfig.Key{{Client: "ci", Digest: digestOf("key-of-ci")}, {Client: "cd", Digest: digestOf("key-of-cd")}},
	}
	return cfg
}

// authGateway demands who a client is. The session "s1" of ada has a backend
// session at each server.
func authGateway(t testing.TB, change func(*gatewayconfig.Auth)) *Gateway {
	t.Helper()
	cfg := authConfig()
	if change != nil {
		change(cfg.Auth)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	table := viewTable()
	putTable(t, g, table)
	s := new(Stream)
	s.Reset(g)
	s.RequestHeaders(postHeaders("x-mcp-claims", ada), false, second)
	for _, server := range []string{"weather", "docs", "new"} {
		g.sessions.put(s.session, backend{place: "mcp-server-" + server, id: []byte("b-" + server), version: "2025-11-25", expires: 30 * second})
	}
	justFetched(g)
	return g
}

const challenged = `scope="mcp", resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp`

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	token := []string{"authorization", "Bearer x"}
	with := func(claim string) []string { return append([]string{"x-mcp-claims", claim}, token...) }
	invalid := `Bearer error="invalid_token", ` + challenged + `"`
	for _, test := range []struct {
		name      string
		headers   []string
		status    int    // 0: let in
		challenge string // WWW-Authenticate
	}{
		{"a token", with(ada), 0, ""},
		{"one of several audiences", with(bob), 0, ""},
		{"a key", []string{"x-api-key", "key-of-ci"}, 0, ""},
		{"a token beside a key", append(with(ada), "x-api-key", "wrong"), 0, ""},
		{"a key beside other credentials", []string{"x-api-key", "key-of-cd", "authorization", "Basic eDp5"}, 0, ""},
		{"nothing", nil, 401, "Bearer " + challenged + `"`},
		{"another scheme", []string{"authorization", "Basic eDp5"}, 401, "Bearer " + challenged + `"`},
		{"a token in another scheme", []string{"x-mcp-claims", ada, "authorization", "Yearer x"}, 401, "Bearer " + challenged + `"`},
		{"nothing at a view", []string{":path", "/mcp/team"}, 401, "Bearer " + challenged + `/team"`},
		{"a token in the URL", []string{":path", "/mcp?access_token=x"}, 401, "Bearer " + challenged + `"`},
		{"a token that Envoy has not accepted", token, 401, invalid},
		{"the same in small letters", []string{"authorization", "bearer x"}, 401, invalid},
		{"an empty one", []string{"authorization", "Bearer "}, 401, invalid},
		{"a token that is not accepted beside a good key", append([]string{"x-api-key", "key-of-ci"}, token...), 401, invalid},
		{"keys that are away", append([]string{"x-mcp-failed", "Jwks remote fetch is failed"}, token...), 503, ""},
		{"another failure", append([]string{"x-mcp-failed", "Jwt is expired"}, token...), 401, invalid},
		{"no failure of a token", []string{"x-mcp-failed", "Jwks remote fetch is failed"}, 401, "Bearer " + challenged + `"`},
		{"a wrong key", []string{"x-api-key", "key-of-c"}, 401, invalid},
		{"an empty key", []string{"x-api-key", ""}, 401, invalid},
		{"another audience", with(claims(`{"iss":"https://idp.example","sub":"ada","aud":"https://weather.example/mcp","scope":"mcp"}`)), 401, invalid},
		{"no audience", with(claims(`{"iss":"https://idp.example","sub":"ada","scope":"mcp"}`)), 401, invalid},
		{"a longer audience", with(claims(`{"iss":"https://idp.example","sub":"ada","aud":"https://gw.example/mcp2","scope":"mcp"}`)), 401, invalid},
		{"the audience of a view", with(claims(`{"iss":"https://idp.example","sub":"ada","aud":"https://gw.example/mcp/team","scope":"mcp"}`)), 401, invalid},
		{"a view's audience there", append(with(claims(`{"iss":"https://idp.example","sub":"ada","aud":"https://gw.example/mcp/team","scope":"mcp"}`)), ":path", "/mcp/team"), 0, ""},
		{"the endpoint's audience at a view", append(with(ada), ":path", "/mcp/team"), 401, "Bearer error=\"invalid_token\", " + challenged + `/team"`},
		{"an audience of another name", with(claims(`{"iss":"https://other.example","sub":"ada","aud":"api://gw","scope":"mcp"}`)), 0, ""},
		{"the same at a view", append(with(claims(`{"iss":"https://other.example","sub":"ada","aud":"api://gw","scope":"mcp"}`)), ":path", "/mcp/team"), 0, ""},
		{"the endpoint, where it has another name", with(claims(`{"iss":"https://other.example","sub":"ada","aud":"https://gw.example/mcp","scope":"mcp"}`)), 401, invalid},
		{"another issuer", with(claims(`{"iss":"https://evil.example","sub":"ada","aud":"https://gw.example/mcp","scope":"mcp"}`)), 401, invalid},
		{"claims that are none", with("*"), 401, invalid},
		{"no scope", with(claims(`{"iss":"https://idp.example","sub":"ada","aud":"https://gw.example/mcp","scope":"mcpx"}`)), 403, `Bearer error="insufficient_scope", ` + challenged + `"`},
		{"two tokens in one header", append([]string{"x-mcp-claims", ada}, "authorization", "Bearer a,Bearer b"), 400, ""},
	} {
		s := new(Stream)
		s.Reset(authGateway(t, nil))
		d := s.RequestHeaders(postHeaders(test.headers...), false, second)
		if test.status == 0 {
			if d.Action != NeedBody || s.principal == nil {
				t.Errorf("%s: %d %s", test.name, d.Status, d.Body)
			}
			continue
		}
		if got := edits(d)["www-authenticate"]; d.Action != Reply || d.Status != test.status || got != test.challenge {
			t.Errorf("%s: %d %s, challenge %s", test.name, d.Status, d.Body, got)
		}
		if !strings.HasPrefix(string(d.Body), `{"jsonrpc":"2.0","id":null,"error":`) || s.principal != nil && test.status != 403 {
			t.Errorf("%s: %s", test.name, d.Body)
		}
	}
}

// Each is there twice, which no map of test headers can say.
func TestTwoCredentialsAreNone(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"authorization": "Bearer x", "x-mcp-claims": ada, "x-api-key": "key-of-ci"} {
		s := new(Stream)
		s.Reset(authGateway(t, nil))
		headers := append(postHeaders("x-mcp-claims", ada, name, value), Header{name, value})
		if d := s.RequestHeaders(headers, false, second); d.Status != 400 {
			t.Errorf("%s: %d %s", name, d.Status, d.Body)
		}
	}
}

// What says who a client is counts only where that is asked for.
func TestWithoutAuthNobodyIsAsked(t *testing.T) {
	t.Parallel()
	s := new(Stream)
	s.Reset(newGateway(t))
	d := s.RequestHeaders(postHeaders("x-mcp-claims", ada, "x-mcp-client", "ci", "x-mcp-failed", "x"), false, second)
	if d.Action != NeedBody || s.principal != nil {
		t.Fatalf("%d %s", d.Status, d.Body)
	}
	d = s.RequestBody([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), second)
	for _, name := range []string{"x-mcp-claims", "x-mcp-client", "x-mcp-failed"} {
		if edits(d)[name] != "(removed)" {
			t.Errorf("the broker gets %s", name)
		}
	}
	s.Reset(newGateway(t))
	if d := s.RequestHeaders([]Header{{":method", "GET"}, {":path", pathMetadata}, {":authority", "gw.example"}}, true, second); d.Status != 404 {
		t.Errorf("metadata: %d", d.Status)
	}
}

// The broker learns who it is, and no server.
func TestWhoLearnsThePrincipal(t *testing.T) {
	t.Parallel()
	all := []string{"x-mcp-client", "forged", "x-mcp-failed", "x", "x-mcp-other", "x"}
	for _, test := range []struct {
		name    string
		headers []string
		broker  map[string]string // edits; a header without passes as it is
		server  map[string]string
	}{
		{"a token", []string{"authorization", "Bearer x", "x-mcp-claims", ada, "x-api-key", "stray"},
			map[string]string{"x-mcp-client": "(removed)"},
			map[string]string{"x-mcp-claims": "(removed)", "x-mcp-client": "(removed)", "authorization": "(removed)", "x-api-key": "(removed)"}},
		{"a key", []string{"x-api-key", "key-of-ci"},
			map[string]string{"x-mcp-client": "ci"},
			map[string]string{"x-mcp-client": "(removed)", "x-api-key": "(removed)"}},
	} {
		for _, body := range []string{`{"jsonrpc":"2.0","id":1,"method":"ping"}`, call("weather_get_weather")} {
			s := new(Stream)
			s.Reset(authGateway(t, nil))
			s.RequestHeaders(postHeaders(append(test.headers, all...)...), false, second)
			s.g.sessions.put(s.session, backend{place: "mcp-server-weather", id: []byte("b"), version: "2025-11-25", expires: 30 * second})
			d := s.RequestBody([]byte(body), second)
			want := test.broker
			if s.phase == phaseServer {
				want = test.server
			}
			got := edits(d)
			for _, name := range []string{"authorization", "x-api-key", "x-mcp-claims", "x-mcp-client"} {
				if d.Action != Pass || got[name] != want[name] {
					t.Errorf("%s, phase %d: %s is %q, want %q", test.name, s.phase, name, got[name], want[name])
				}
			}
			if got["x-mcp-failed"] != "(removed)" || got["x-mcp-other"] != "(removed)" {
				t.Errorf("%s: %v", test.name, got)
			}
		}
	}
}

// Whose session is in the cache does not help anybody else: the broker is asked,
// and told who asks.
func TestWarmSessionIsOfOnePrincipal(t *testing.T) {
	t.Parallel()
	g := authGateway(t, nil)
	decide := func(claim, body string) (*Stream, *Decision) {
		s := new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders("x-mcp-claims", claim), false, second)
		return s, s.RequestBody([]byte(body), second)
	}
	if _, d := decide(ada, call("weather_get_weather")); d.Action != Pass {
		t.Fatalf("the owner: %d %s", d.Status, d.Body)
	}
	s, d := decide(bob, call("weather_get_weather"))
	if d.Action != Ask || !strings.Contains(string(d.Question.Body), `"session":"s1"`) ||
		!strings.Contains(string(d.Question.Body), `"principal":"`+s.principal.ID()+`"`) {
		t.Fatalf("another: %v %s", d.Action, d.Question.Body)
	}
	if d = s.Answer(404, nil, second); d.Status != 404 {
		t.Errorf("another: %d %s", d.Status, d.Body)
	}
	if s, d = decide(bob, call("weather_unknown")); d.Action != Ask || !strings.Contains(string(d.Question.Body), s.principal.ID()) {
		t.Errorf("another learns what is unknown: %s", d.Body)
	}
	// Nor does another end what is kept for the owner.
	s.Reset(g)
	s.RequestHeaders([]Header{{":method", "DELETE"}, {":path", "/mcp"}, {":authority", "gw.example"}, {"mcp-session-id", "s1"}, {"x-mcp-claims", bob}}, true, second)
	if _, d := decide(ada, call("weather_get_weather")); d.Action != Pass {
		t.Errorf("the owner, after another's DELETE: %d %s", d.Status, d.Body)
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	const rest = `"authorization_servers":["https://idp.example","https://other.example"],"scopes_supported":["mcp","cal:write"],"bearer_methods_supported":["header"]}`
	for _, test := range []struct {
		path, resource string
	}{
		{"", "https://gw.example/mcp"},
		{"/mcp", "https://gw.example/mcp"},
		{"/mcp?x=1", "https://gw.example/mcp"},
		{"/mcp/sse", "https://gw.example/mcp"},
		{"/mcp/sse/messages", "https://gw.example/mcp"},
		{"/mcp/team", "https://gw.example/mcp/team"},
		{"/mcp/unknown", ""}, {"/mcp/team/", ""}, {"/", ""}, {"x", ""}, {"/other", ""}, {"/mcp/", ""}, {"/mcp/messages", ""},
	} {
		s := new(Stream)
		s.Reset(authGateway(t, nil))
		d := s.RequestHeaders([]Header{{":method", "GET"}, {":path", pathMetadata + test.path}, {":authority", "gw.example"}}, true, second)
		if test.resource == "" {
			if d.Status != 404 {
				t.Errorf("%s: %d %s", test.path, d.Status, d.Body)
			}
			continue
		}
		if want := `{"resource":"` + test.resource + `",` + rest; d.Status != 200 || string(d.Body) != want || edits(d)["content-type"] != "application/json" {
			t.Errorf("%s: %d %s", test.path, d.Status, d.Body)
		}
	}
}

func TestMetadataIsNotForEverything(t *testing.T) {
	t.Parallel()
	get := func(g *Gateway, headers ...Header) *Decision {
		s := new(Stream)
		s.Reset(g)
		return s.RequestHeaders(append([]Header{{":path", pathMetadata}, {":authority", "gw.example"}}, headers...), true, second)
	}
	g := authGateway(t, nil)
	if d := get(g, Header{":method", "POST"}); d.Status != 405 {
		t.Errorf("POST: %d", d.Status)
	}
	if d := get(g, Header{":method", "HEAD"}); d.Status != 200 {
		t.Errorf("HEAD: %d", d.Status)
	}
	if d := get(g, Header{":method", "GET"}, Header{"origin", "https://evil.example"}); d.Status != 403 {
		t.Errorf("a foreign origin: %d", d.Status)
	}
	g = authGateway(t, func(a *gatewayconfig.Auth) { a.Issuers = nil })
	if d := get(g, Header{":method", "GET"}); d.Status != 404 {
		t.Errorf("keys only: %d", d.Status)
	}
}

// Without a table yet nobody knows the views, and the metadata are served
// nevertheless: they need no broker.
func TestMetadataWithoutBroker(t *testing.T) {
	t.Parallel()
	g, err := New(authConfig())
	if err != nil {
		t.Fatal(err)
	}
	s := new(Stream)
	s.Reset(g)
	d := s.RequestHeaders([]Header{{":method", "GET"}, {":path", pathMetadata + "/mcp/team"}, {":authority", "gw.example"}}, true, second)
	if d.Status != 200 {
		t.Errorf("%d %s", d.Status, d.Body)
	}
}

func TestKeysOnly(t *testing.T) {
	t.Parallel()
	g := authGateway(t, func(a *gatewayconfig.Auth) { a.Issuers = nil })
	s := new(Stream)
	s.Reset(g)
	// Nobody verifies tokens: what claims to be of one is a client's own.
	d := s.RequestHeaders(postHeaders("x-mcp-claims", ada, "authorization", "Bearer x"), false, second)
	if got := edits(d)["www-authenticate"]; d.Status != 401 || got != `ApiKey header="x-api-key"` {
		t.Errorf("%d, challenge %s", d.Status, got)
	}
	s.Reset(g)
	s.RequestHeaders(postHeaders("x-mcp-claims", ada, "authorization", "Bearer x", "x-api-key", "key-of-ci"), false, second)
	if d = s.RequestBody([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), second); d.Action != Pass || edits(d)["x-mcp-claims"] != "(removed)" {
		t.Errorf("%d %s %v", d.Status, d.Body, edits(d))
	}
}

func TestInsufficientScope(t *testing.T) {
	t.Parallel()
	s := new(Stream)
	s.Reset(authGateway(t, nil))
	s.RequestHeaders(postHeaders("x-mcp-claims", ada), false, second)
	s.id = append(s.id, "7"...)
	d := s.insufficientScope([]string{"cal:write", "mcp"})
	want := `Bearer error="insufficient_scope", scope="mcp cal:write", resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp"`
	if got := edits(d)["www-authenticate"]; d.Status != 403 || got != want || !strings.Contains(string(d.Body), `"id":7`) {
		t.Errorf("%d %s, challenge %s", d.Status, d.Body, got)
	}
}

func TestAuthConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*gatewayconfig.Auth){
		"no resource":       func(a *gatewayconfig.Auth) { a.Resource = "" },
		"nobody to let in":  func(a *gatewayconfig.Auth) { a.Issuers, a.Keys = nil, nil },
		"keys without name": func(a *gatewayconfig.Auth) { a.KeyHeader = "" },
		"a plain key":       func(a *gatewayconfig.Auth) { a.Keys[0].Digest = "key-of-ci" },
		"a key of nobody":   func(a *gatewayconfig.Auth) { a.Keys[0].Client = "" },
	} {
		cfg := authConfig()
		change(cfg.Auth)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestOldClientsHaveToProveThemselvesToo(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/mcp/sse", "/mcp/sse/messages"} {
		method := map[string]string{"/mcp/sse": "GET", "/mcp/sse/messages": "POST"}[path]
		s := new(Stream)
		s.Reset(authGateway(t, nil))
		d := s.RequestHeaders(postHeaders(":method", method, ":path", path), false, second)
		if got := edits(d)["www-authenticate"]; d.Status != 401 || got != "Bearer "+challenged+`"` {
			t.Errorf("%s: %d %s", path, d.Status, got)
		}
		s.Reset(authGateway(t, nil))
		if d = s.RequestHeaders(postHeaders(":method", method, ":path", path, "x-mcp-claims", ada), false, second); d.Action == Reply {
			t.Errorf("%s: %d %s", path, d.Status, d.Body)
		}
	}
}

// warmAs is warm with credentials.
func warmAs(tb testing.TB, extra ...string) func() {
	g := authGateway(tb, nil)
	headers := postHeaders(append(extra, "content-length", "123", "user-agent", "x")...)
	body := []byte(call("weather_get_weather"))
	s := new(Stream)
	s.Reset(g)
	s.RequestHeaders(headers, false, second)
	g.sessions.put(s.session, backend{place: "mcp-server-weather", id: []byte("b-weather"), version: "2025-11-25", expires: 30 * second})
	return func() {
		s.Reset(g)
		s.RequestHeaders(headers, false, second)
		if d := s.RequestBody(body, second); d.Action != Pass || !d.Reroute {
			tb.Fatalf("not forwarded: %s", d.Body)
		}
	}
}

func TestWarmCallOfSomebodyAllocatesNothing(t *testing.T) {
	for _, who := range [][]string{{"authorization", "Bearer x", "x-mcp-claims", ada}, {"x-api-key", "key-of-ci"}} {
		if n := testing.AllocsPerRun(1000, warmAs(t, who...)); n != 0 {
			t.Errorf("%s: %v allocations", who[0], n)
		}
	}
}

func BenchmarkWarmCallOfSomebody(b *testing.B) {
	b.ReportAllocs()
	run := warmAs(b, "authorization", "Bearer x", "x-mcp-claims", ada)
	for b.Loop() {
		run()
	}
}
