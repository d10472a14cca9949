package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// claimsOf are those of a JWT, whoever has signed it.
func claimsOf(t *testing.T, authorization string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(authorization, "Bearer "), ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", authorization)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		t.Fatalf("%q: %v", authorization, err)
	}
	return claims
}

// The gateway's own token, of a real authorization server: for the server that it
// is sent to, with each request, in both eras, and had once.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	for name, era := range map[string]mcpserver.Era{"legacy": mcpserver.Legacy, "modern": mcpserver.Modern} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := one("a")
			script.Era = era
			a, b := mcpserver.NewDown(t, script), mcpserver.Start(t, one("b"))
			idp := harness.AuthorizationServer(t, a.URL(), "tools other")
			a.Up()
			g := harness.Run(t, harness.Config{Servers: []harness.Server{
				behind(a, "a", fmt.Sprintf("oauth: {tokenUrl: %s/token, clientId: machine, clientSecret: machine-secret-machine-secret, scopes: [tools]}", idp)), behind(b, "b"),
			}})
			c := harness.Connect(t, g.URL).With("Authorization: Bearer of-the-client")
			for range 3 {
				wantTool(t, c, "a_tool", "a", "tool")
				wantTool(t, c, "b_tool", "b", "tool")
				if r := modernCall(c, "a_tool"); !ok(r) {
					t.Errorf("without a session: %s", r)
				}
			}
			token := a.Last("tools/call").Header.Get("Authorization")
			claims := claimsOf(t, token)
			if claims["aud"] != a.URL() || claims["scope"] != "tools" || claims["client_id"] != "machine" || claims["iss"] != idp {
				t.Errorf("the token says %v", claims)
			}
			for _, r := range a.Requests() {
				if got := r.Header.Values("Authorization"); len(got) != 1 || got[0] != token {
					t.Errorf("%s %s carries %q", r.HTTPMethod, r.Method, got)
				}
			}
			for _, r := range b.Requests() {
				if got := r.Header.Get("Authorization"); got != "" {
					t.Errorf("%s of the other server carries %q", r.Method, got)
				}
			}
		})
	}
}

// exchanging is a token endpoint of RFC 8693: in exchange for a subject's token it
// gives one that names the subject.
type exchanging struct {
	*httptest.Server
	mu      sync.Mutex
	issued  int
	revoked map[string]bool
	broken  bool
}

func newExchanging(t *testing.T) *exchanging {
	t.Helper()
	e := &exchanging{revoked: map[string]bool{}}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *exchanging) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = r.ParseForm()
	id, secret, _ := r.BasicAuth()
	subject := r.PostForm.Get("subject_token")
	parts := strings.Split(subject, ".")
	switch {
	case id != "gateway" || secret != "kanari-exchange-secret", e.broken:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":"kanari-words %s %s"}`, secret, subject)
		return
	case r.PostForm.Get("grant_type") == "client_credentials":
		e.issued++
		_, _ = fmt.Fprintf(w, `{"access_token":"kanari-own-%d","token_type":"Bearer","expires_in":600}`, e.issued)
		return
	case r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" || len(parts) != 3:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":"invalid_request"}`)
		return
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Sub string }
	_ = json.Unmarshal(text, &claims)
	e.issued++
	_, _ = fmt.Fprintf(w, `{"access_token":"kanari-%s-%d","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":600}`, claims.Sub, e.issued)
}

// revoke has servers that ask refuse all tokens that were issued so far.
func (e *exchanging) revoke() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.issued + 1 {
		for _, who := range []string{"own", "ada", "ben"} {
			e.revoked[fmt.Sprintf("Bearer kanari-%s-%d", who, i)] = true
		}
	}
}

func (e *exchanging) breakDown() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = true
}

func (e *exchanging) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.issued
}

func (e *exchanging) refuses(authorization string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.revoked[authorization]
}

// guardedServer answers 401 to tokens that were revoked, and then with a challenge
// that points to a metadata service.
func guardedServer(t *testing.T, e *exchanging, script mcpserver.Script) *mcpserver.Server {
	t.Helper()
	s := mcpserver.Start(t, script)
	s.Handle("tools/call", "", func(x *mcpserver.Exchange) {
		if e.refuses(x.Request.Header.Get("Authorization")) {
			x.Header().Set("WWW-Authenticate", `Bearer resource_metadata="http://169.254.169.254/kanari"`)
			x.Respond(http.StatusUnauthorized, "text/plain", []byte("kanari-words of the server"))
			return
		}
		x.Result(fmt.Sprintf(`{"content":[{"type":"text","text":"%s:tool"}]}`, script.Name))
	})
	return s
}

// exchangeSetting is the lines of a server that is sent a token of each client, and
// one of the gateway's for its lists.
func exchangeSetting(e *exchanging) []string {
	setting := fmt.Sprintf("{tokenUrl: %s, clientId: gateway, clientSecret: {env: EXCHANGE_SECRET}, audience: tools}", e.URL)
	return []string{"exchange: " + setting, "oauth: " + setting}
}

// Each client's calls carry a token that was had for it, whatever way they take.
func TestTokenExchange(t *testing.T) {
	t.Setenv("EXCHANGE_SECRET", "kanari-exchange-secret")
	e, issuer := newExchanging(t), harness.NewIssuer(t)
	a, script := guardedServer(t, e, one("a")), one("m")
	script.Era = mcpserver.Modern
	m := guardedServer(t, e, script)
	g := harness.Run(t, harness.Config{
		Auth:    issuer.Auth(guarded, "scopes: [mcp]", "apiKeys: {clients: [{name: ci, key: "+apiKey+"}]}"),
		Servers: []harness.Server{behind(a, "a", exchangeSetting(e)...), behind(m, "m", exchangeSetting(e)...)},
	})
	who := func(s *mcpserver.Server) string {
		token := s.Last("tools/call").Header.Get("Authorization")
		name, _, _ := strings.Cut(strings.TrimPrefix(token, "Bearer kanari-"), "-")
		return name
	}
	clients := map[string]*harness.Client{}
	for _, name := range []string{"ada", "ben"} {
		clients[name] = connectAs(t, g.URL, bearer(issuer.Token(name, guarded, scoped)))
	}
	for range 3 {
		for name, c := range clients {
			for tool, s := range map[string]*mcpserver.Server{"a": a, "m": m} {
				wantTool(t, c, tool+"_tool", tool, "tool")
				if got := who(s); got != name {
					t.Errorf("a call of %s is made for %s", name, got)
				}
				if r := modernCall(c, tool+"_tool"); !ok(r) || who(s) != name {
					t.Errorf("%s without a session, for %s: %s", name, who(s), r)
				}
			}
		}
	}
	if n := e.count(); n != 6 { // two servers, each with the gateway's, ada's and ben's
		t.Errorf("%d tokens were issued", n)
	}
	for _, method := range []string{"initialize", "tools/list"} {
		for _, r := range a.Received(method) {
			isOwn := strings.HasPrefix(r.Header.Get("Authorization"), "Bearer kanari-own-")
			if method == "tools/list" && !isOwn || strings.Contains(string(r.Body), `"e2e"`) && isOwn {
				t.Errorf("%s %s carries %s", method, r.Body, r.Header.Get("Authorization"))
			}
		}
	}
	// Who has a key has no token to exchange.
	key := connectAs(t, g.URL, "X-Api-Key: "+apiKey)
	const none = "the gateway has no credential of this caller for server "
	for _, name := range []string{"a", "m"} {
		for _, r := range []harness.Response{key.Post(call("5", name+"_tool")), modernCall(key, name+"_tool")} {
			if !strings.Contains(r.Body, none+name) {
				t.Errorf("with a key: %s", r)
			}
		}
	}
	// And where the endpoint gives none.
	e.breakDown()
	eve := connectAs(t, g.URL, bearer(issuer.Token("eve", guarded, scoped)))
	for _, name := range []string{"a", "m"} {
		for _, r := range []harness.Response{eve.Post(call("6", name+"_tool")), modernCall(eve, name+"_tool")} {
			if !strings.Contains(r.Body, none+name) || strings.Contains(r.Body, "kanari") {
				t.Errorf("without a token: %s", r)
			}
		}
	}
	wantTool(t, clients["ada"], "a_tool", "a", "tool") // whose token is there
}

// A token that a server has ceased to take is replaced, and the call made again,
// once: nobody notices but the servers.
func TestRevokedTokens(t *testing.T) {
	t.Setenv("EXCHANGE_SECRET", "kanari-exchange-secret")
	e, issuer := newExchanging(t), harness.NewIssuer(t)
	a, script := guardedServer(t, e, one("a")), one("m")
	script.Era = mcpserver.Modern
	m := guardedServer(t, e, script)
	g := harness.Run(t, harness.Config{
		Auth:    issuer.Auth(guarded, "scopes: [mcp]"),
		Servers: []harness.Server{behind(a, "a", exchangeSetting(e)...), behind(m, "m", exchangeSetting(e)...)},
	})
	c := connectAs(t, g.URL, bearer(issuer.Token("ada", guarded, scoped)))
	ways := map[string]func() harness.Response{
		"a": func() harness.Response { return c.Post(call("1", "a_tool")) }, "m": func() harness.Response { return modernCall(c, "m_tool") },
		"a without a session": func() harness.Response { return modernCall(c, "a_tool") }, "m in a session": func() harness.Response { return c.Post(call("1", "m_tool")) },
	}
	for name, way := range ways {
		if r := way(); !ok(r) {
			t.Fatalf("%s: %s", name, r)
		}
	}
	first := e.count()
	// A token that is refused as soon as it was had is not replaced.
	e.revoke()
	harness.Eventually(t, "new tokens", func() bool {
		all := true
		for name, way := range ways {
			r := way()
			if strings.Contains(r.Body, "kanari") || r.Header.Get("WWW-Authenticate") != "" || r.Status == http.StatusUnauthorized {
				t.Fatalf("%s: %s %v", name, r, r.Header)
			}
			if !ok(r) || strings.Contains(r.Body, `"error"`) {
				all = false
				if want := "refused the gateway's credentials"; !strings.Contains(r.Body, want) {
					t.Fatalf("%s: %s, want %s", name, r, want)
				}
			}
		}
		return all
	})
	if n := e.count() - first; n < 2 || n > 6 {
		t.Errorf("%d new tokens", n)
	}
	if got := g.Metrics(); strings.Contains(got, "kanari") || !strings.Contains(got, `mcp_broker_token_requests_total{result="issued",server="a"}`) {
		t.Error("a token is among the metrics, or their number is not")
	}
}

// A secret of a file is replaced without a restart, and without a lost call.
func TestRotatedSecret(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	file := filepath.Join(t.TempDir(), "key")
	write := func(value string) {
		t.Helper()
		if err := os.WriteFile(file+".next", []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".next", file); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a", fmt.Sprintf("headers: {X-Key: {file: %q}}", file))}})
	c := harness.Connect(t, g.URL)
	called := func() string {
		wantTool(t, c, "a_tool", "a", "tool")
		return a.Last("tools/call").Header.Get("X-Key")
	}
	if got := called(); got != "one" {
		t.Errorf("the key is %q", got)
	}
	write("two")
	harness.Eventually(t, "the new key", func() bool { return called() == "two" })
}
