package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// guarded is the canonical URI of the endpoints of these tests. Its port is none
// that they listen on: nobody looks.
const (
	guarded = "http://localhost/mcp"
	apiKey  = "key-of-ci-key-of-ci-key-of-ci"
)

// authorized runs a gateway for tokens of an issuer, scope mcp, in front of a.
func authorized(t *testing.T, a *mcpserver.Server, issuer *harness.Issuer, more ...string) *harness.Gateway {
	t.Helper()
	return harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(a, "a")},
		Gateway: []string{`allowedOrigins: ["https://app.example"]`},
		Virtual: []string{"{name: part, servers: [a]}"},
		Auth:    issuer.Auth(guarded, append(more, "scopes: [mcp]")...),
	})
}

func bearer(token string) string { return "Authorization: Bearer " + token }

var scoped = harness.Claims{"scope": "mcp"}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`

// connectAs is a client with a session of its own.
func connectAs(t *testing.T, url string, headers ...string) *harness.Client {
	t.Helper()
	c := harness.NewClient(t, url).With(headers...)
	c.Initialize()
	return c
}

// Every token but the right one is refused, in the words of RFC 6750, and no server
// hears of it (protocol: 2025-11-25, basic/authorization).
func TestTokens(t *testing.T) {
	t.Parallel()
	a, issuer, other := mcpserver.Start(t, one("a")), harness.NewIssuer(t), harness.NewIssuer(t)
	g := authorized(t, a, issuer)
	a.Wait(harness.Patience, "the broker's stream", func() bool { return a.Streams() == 1 })
	a.Forget()
	const meta = `resource_metadata="http://localhost/.well-known/oauth-protected-resource/mcp"`
	invalid := `Bearer error="invalid_token", scope="mcp", ` + meta
	claims := func(name string, value any) harness.Claims { return harness.Claims{"scope": "mcp", name: value} }
	good := issuer.Token("ada", guarded, scoped)
	forged := claims("iss", issuer.URL)
	for _, test := range []struct {
		name      string
		header    string
		query     string
		status    int
		challenge string
	}{
		{"the right one", bearer(good), "", 200, ""},
		{"in small letters", "Authorization: bearer " + good, "", 200, ""},
		{"in another scheme", "Authorization: Yearer " + good, "", 401, `Bearer scope="mcp", ` + meta},
		{"among other audiences", bearer(issuer.Token("ada", "", claims("aud", []string{"x", guarded}))), "", 200, ""},
		{"none", "", "", 401, `Bearer scope="mcp", ` + meta},
		{"in the URL", "", "?access_token=" + good, 401, `Bearer scope="mcp", ` + meta},
		{"for a server", bearer(issuer.Token("ada", a.URL(), scoped)), "", 401, invalid},
		{"for nobody", bearer(issuer.Token("ada", "", claims("aud", nil))), "", 401, invalid},
		{"for a virtual server", bearer(issuer.Token("ada", guarded+"/part", scoped)), "", 401, invalid},
		{"expired", bearer(issuer.Token("ada", guarded, claims("exp", 1_000_000_000))), "", 401, invalid},
		{"for ever", bearer(issuer.Token("ada", guarded, claims("exp", nil))), "", 401, invalid},
		{"not yet good", bearer(issuer.Token("ada", guarded, claims("nbf", 5_000_000_000))), "", 401, invalid},
		{"of another issuer", bearer(other.Token("ada", guarded, scoped)), "", 401, invalid},
		{"signed by another", bearer(other.Token("ada", guarded, forged)), "", 401, invalid},
		{"of an unknown key", bearer(issuer.Token("ada", guarded, claims("kid", "two"))), "", 401, invalid},
		{"without a signature", bearer(issuer.Token("ada", guarded, claims("alg", "none"))), "", 401, invalid},
		{"signed with another algorithm", bearer(issuer.Token("ada", guarded, claims("alg", "HS256"))), "", 401, invalid},
		{"with a changed end", bearer(good[:len(good)-6] + "AAAAAA"), "", 401, invalid},
		{"no token", bearer("x"), "", 401, invalid},
		{"of nobody", bearer(issuer.Token("", guarded, harness.Claims{"scope": "mcp", "sub": nil, "client_id": nil})), "", 401, invalid},
		{"two", bearer(good + "," + good), "", 400, ""},
		{"without the scope", bearer(issuer.Token("ada", guarded, claims("scope", "other"))), "", 403, `Bearer error="insufficient_scope", scope="mcp", ` + meta},
	} {
		c := harness.NewClient(t, g.URL+test.query)
		if test.header != "" {
			c = c.With(test.header)
		}
		r := c.Post(initialize)
		if got := r.Header.Get("WWW-Authenticate"); r.Status != test.status || got != test.challenge {
			t.Errorf("%s: %s\nchallenge %s", test.name, r, got)
		}
		if test.status != 200 && !strings.HasPrefix(r.Body, `{"jsonrpc":"2.0","id":null,"error":`) {
			t.Errorf("%s: %s", test.name, r)
		}
		if test.status != 200 {
			// Nor does it help where a server would be asked at once.
			stateless := c.With("MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: a_tool")
			if r := stateless.Post(modernBody("tools/call", `"name":"a_tool"`)); r.Status != test.status {
				t.Errorf("%s, without a session: %s", test.name, r)
			}
		}
	}
	if got := a.Requests(); len(got) > 0 {
		t.Errorf("the server was asked: %s", got[0].Body)
	}
	if got := issuer.Fetches(); got == 0 || got > 10 {
		t.Errorf("the keys were fetched %d times", got)
	}
}

// A session id is no credential, and of no use to anybody else (2025-11-25,
// basic/security_best_practices, Session Hijacking).
func TestSessionsAreBound(t *testing.T) {
	t.Parallel()
	a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
	g := authorized(t, a, issuer, "apiKeys: {clients: [{name: ada, key: "+apiKey+"}]}")
	ada := connectAs(t, g.URL, bearer(issuer.Token("ada", guarded, scoped)))
	ada.Tool("a_tool", "")
	a.Forget()
	call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_tool"}}`
	for name, test := range map[string]struct {
		c      *harness.Client
		status int
	}{
		"a new token of the same subject": {ada.With(bearer(issuer.Token("ada", guarded, harness.Claims{"scope": "mcp more", "jti": "2"}))), 200},
		"another subject":                 {ada.With(bearer(issuer.Token("bob", guarded, scoped))), 404},
		"a key of the same name":          {ada.With("Authorization:", "X-Api-Key: "+apiKey), 404},
		"no token":                        {ada.With("Authorization:"), 401},
		"an expired token":                {ada.With(bearer(issuer.Token("ada", guarded, harness.Claims{"scope": "mcp", "exp": 1}))), 401},
	} {
		for _, body := range []string{call, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_unknown"}}`} {
			if r := test.c.Post(body); r.Status != test.status {
				t.Errorf("%s: %s: %s", name, body, r)
			}
		}
		if test.status == 200 {
			continue
		}
		for _, verb := range []string{http.MethodGet, http.MethodDelete} {
			if r := test.c.Do(verb, ""); r.Status != test.status {
				t.Errorf("%s: %s: %s", name, verb, r)
			}
		}
	}
	if got := len(a.Received("tools/call")); got != 1 {
		t.Errorf("the server got %d calls, want that of the new token alone", got)
	}
	if r := ada.Do(http.MethodDelete, ""); r.Status != http.StatusNoContent {
		t.Errorf("DELETE: %s", r)
	}
	if r := ada.Post(call); r.Status != 404 {
		t.Errorf("after DELETE: %s", r)
	}
}

// Nothing that a client sends in the gateway's name counts: neither beside a
// token, nor instead, however it is spelled and however often.
func TestNobodyCanClaimToBeSomebody(t *testing.T) {
	t.Parallel()
	a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
	g := authorized(t, a, issuer, "apiKeys: {clients: [{name: ci, key: "+apiKey+"}]}")
	ada := issuer.Token("ada", guarded, scoped)
	payload := strings.Split(issuer.Token("bob", guarded, scoped), ".")[1]
	bobs := connectAs(t, g.URL, bearer(issuer.Token("bob", guarded, scoped)))
	names := []string{"X-Mcp-Claims", "x-mcp-claims", "X-MCP-CLAIMS", "X-Mcp-Client", "x-mcp-client", "X-Mcp-Failed"}
	for _, name := range names {
		for _, values := range [][]string{{payload}, {payload, payload}, {""}, {"bob"}, {payload + "," + payload}} {
			c := harness.NewClient(t, g.URL)
			c.Header[name] = values
			if r := c.Post(initialize); r.Status != 401 || strings.Contains(r.Header.Get("WWW-Authenticate"), "error") {
				t.Errorf("%s %q: %s", name, values, r)
			}
			// Beside a token: it is the token's.
			c = c.With(bearer(ada))
			c.Header[name] = values
			if r := c.Post(initialize); r.Status != 200 {
				t.Errorf("%s %q with a token: %s", name, values, r)
			}
			c.Header.Set(harness.HeaderSession, bobs.Session())
			if r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`); r.Status != 404 {
				t.Errorf("%s %q in another's session: %s", name, values, r)
			}
		}
	}
	key := harness.NewClient(t, g.URL).With("X-Api-Key: " + apiKey)
	key.Initialize()
	key.Tool("a_tool", "")
	for name, values := range a.Last("tools/call").Header {
		text := strings.Join(values, " ")
		if strings.HasPrefix(name, "X-Mcp-") || strings.Contains(text, apiKey) {
			t.Errorf("the server got %s: %s", name, text)
		}
	}
}

// The metadata are there without a token, at the root and at each endpoint's own
// address; what older clients look for is not (RFC 9728; 2025-03-26,
// basic/authorization).
func TestResourceMetadata(t *testing.T) {
	t.Parallel()
	a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
	g := authorized(t, a, issuer, "scopesSupported: [mcp, extra]")
	// Then the filter has its table, and knows the endpoints.
	connectAs(t, g.URL, bearer(issuer.Token("ada", guarded, scoped))).Tool("a_tool", "")
	for path, resource := range map[string]string{
		"": guarded, "/mcp": guarded, "/mcp/sse": guarded, "/mcp/part": guarded + "/part",
	} {
		r := harness.NewClient(t, "http://"+g.Addr()+"/.well-known/oauth-protected-resource"+path).Do(http.MethodGet, "")
		want := fmt.Sprintf(`{"resource":%q,"authorization_servers":[%q],"scopes_supported":["mcp","extra"],"bearer_methods_supported":["header"]}`, resource, issuer.URL)
		if r.Status != 200 || r.Body != want || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", path, r)
		}
	}
	for _, path := range []string{
		"/.well-known/oauth-protected-resource/other", "/.well-known/oauth-protected-resource/mcp/unknown",
		"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/authorize", "/token", "/register",
	} {
		if r := harness.NewClient(t, "http://"+g.Addr()+path).Do(http.MethodGet, ""); r.Status != 404 {
			t.Errorf("%s: %s", path, r)
		}
	}
	part := harness.NewClient(t, g.URL+"/part")
	if got := part.Post(initialize).Header.Get("WWW-Authenticate"); !strings.HasSuffix(got, `/mcp/part"`) {
		t.Errorf("challenge of a virtual server: %s", got)
	}
	if r := part.With(bearer(issuer.Token("ada", guarded, scoped))).Post(initialize); r.Status != 401 {
		t.Errorf("a token of the whole at a part: %s", r)
	}
	connectAs(t, g.URL+"/part", bearer(issuer.Token("ada", guarded+"/part", scoped))).Tool("a_tool", "")
}

// Keys that cannot be fetched let nobody in, and no client is sent for a new token
// because of them.
func TestKeysOfTheIssuerAreAway(t *testing.T) {
	t.Parallel()
	a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
	issuer.SetAway(true)
	g := authorized(t, a, issuer)
	c := harness.NewClient(t, g.URL).With(bearer(issuer.Token("ada", guarded, scoped)))
	if r := c.Post(initialize); r.Status != 503 || r.Header.Get("Retry-After") == "" || r.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%s %v", r, r.Header)
	}
	if r := harness.NewClient(t, g.URL).Post(initialize); r.Status != 401 {
		t.Errorf("without a token: %s", r)
	}
	issuer.SetAway(false)
	harness.Eventually(t, "the keys are there", func() bool { return c.Post(initialize).Status == 200 })
	issuer.SetAway(true)
	if r := c.Post(initialize); r.Status != 200 {
		t.Errorf("keys that are known are forgotten: %s", r)
	}
}

// A file of keys works as well, and another one is taken up while streams are open:
// no listener is replaced.
func TestKeysFromAFile(t *testing.T) {
	t.Parallel()
	a, first, second := mcpserver.Start(t, one("a")), harness.NewIssuer(t), harness.NewIssuer(t)
	file := filepath.Join(t.TempDir(), "keys.json")
	write := func(keys []byte) {
		t.Helper()
		if err := os.WriteFile(file+".next", keys, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".next", file); err != nil {
			t.Fatal(err)
		}
	}
	write(first.Keys())
	g := harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(a, "a")},
		Auth:    []string{"resource: " + guarded, fmt.Sprintf("issuers: [{issuer: %s, jwks: {file: %s}, audiences: [api://gw]}]", first.URL, file)},
	})
	c := connectAs(t, g.URL, bearer(first.Token("ada", "api://gw", nil)))
	stream := c.Listen()
	if r := c.With(bearer(first.Token("ada", guarded, nil))).Post(initialize); r.Status != 401 {
		t.Errorf("an audience that another one replaces: %s", r)
	}
	write(second.Keys())
	renewed := second.Token("ada", "api://gw", harness.Claims{"iss": first.URL})
	harness.Eventually(t, "the new keys count", func() bool {
		return c.With(bearer(renewed)).Post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`).Status == 200
	})
	if r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`); r.Status != 401 {
		t.Errorf("the old keys count: %s", r)
	}
	a.SetPages(mcpserver.ToolsList, `{"name":"new","inputSchema":{"type":"object"}}`)
	a.Notify("notifications/tools/list_changed")
	if got := stream.Next(); !strings.Contains(got, "notifications/tools/list_changed") {
		t.Errorf("on the open stream: %s", got)
	}
}

// What a browser asks for a page of an allowed origin (Fetch Standard).
func TestCORS(t *testing.T) {
	t.Parallel()
	a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
	g := authorized(t, a, issuer)
	preflight := func(origin, path string) harness.Response {
		return harness.NewClient(t, "http://"+g.Addr()+path).With("Origin: "+origin, "Content-Type:", "Accept:",
			"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type,mcp-param-x").Do(http.MethodOptions, "")
	}
	r := preflight("https://app.example", "/mcp")
	if r.Status != 200 || r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		!strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "authorization") || !strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), "DELETE") ||
		r.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight: %s %v", r, r.Header)
	}
	if r := preflight("https://evil.example", "/mcp"); r.Status != 403 || r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another origin: %s %v", r, r.Header)
	}
	page := harness.NewClient(t, g.URL).With("Origin: https://app.example")
	r = page.Post(initialize)
	if exposed := r.Header.Get("Access-Control-Expose-Headers"); r.Status != 401 || r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		!strings.Contains(exposed, "www-authenticate") || !strings.Contains(exposed, "mcp-session-id") {
		t.Errorf("a page without a token: %s %v", r, r.Header)
	}
	r = page.With(bearer(issuer.Token("ada", guarded, scoped))).Post(initialize)
	if r.Status != 200 || r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("a page: %s %v", r, r.Header)
	}
	meta := harness.NewClient(t, "http://"+g.Addr()+"/.well-known/oauth-protected-resource").With("Origin: https://app.example")
	if r := meta.Do(http.MethodGet, ""); r.Status != 200 || r.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("metadata for a page: %s %v", r, r.Header)
	}
}
