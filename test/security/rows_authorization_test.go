package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// metadataPath is where the endpoint's metadata are (RFC 9728 section 3.1).
const metadataPath = "/.well-known/oauth-protected-resource/mcp"

const challenge = `resource_metadata="https://gw.example.com` + metadataPath + `"`

func authorizationRows() []row {
	return []row{
		{3, "Without a token a client learns where to get one",
			"basic/authorization, Authorization Server Discovery; RFC 9728 section 5.1", noToken},
		{4, "The endpoint's metadata are served to anybody",
			"basic/authorization, Protected Resource Metadata; RFC 9728 section 3", metadata},
		{5, "A token counts by signature, issuer, time and audience",
			"basic/authorization, Token Handling; RFC 9068 section 4", tokensCount},
		{6, "A token comes with each request, and never in the URL",
			"basic/authorization, Access Token Usage", everyRequest},
		{7, "A token that lacks a scope is told all that are needed",
			"basic/authorization, Scope Challenge Handling; RFC 6750 section 3.1", scopes},
		{8, "No server sees what its client proves itself by",
			"basic/authorization, Access Token Privilege Restriction; security best practices, Token Passthrough", passthrough},
		{9, "Tokens for others are not accepted and not passed on",
			"basic/authorization, Token Audience Binding and Validation", foreignTokens},
		{10, "A session's id proves nothing of who uses it",
			"security best practices, Session Hijacking", boundSessions},
	}
}

func noToken(s *stage) {
	w := s.guarded()
	w.forget()
	c := harness.NewClient(s.T, w.URL)
	for what, r := range map[string]harness.Response{
		"call":     c.Post(call("1", "b_tool")),
		"stream":   c.With("Accept: text/event-stream").Do(http.MethodGet, ""),
		"DELETE":   c.Do(http.MethodDelete, ""),
		"discover": modern(c, "server/discover", "").Post(modernBody("server/discover", "")),
		"no JSON":  c.Post("x"),
		"basic":    c.With("Authorization: Basic YTpi").Post(call("1", "b_tool")),
	} {
		s.wantStatus(what, r, http.StatusUnauthorized, "Bearer ", challenge, `scope="mcp"`)
		if strings.Contains(r.Header.Get("Www-Authenticate"), "error=") {
			s.Errorf("%s: an error, though there was no token: %v", what, r.Header)
		}
	}
	w.untouched(s.T)
}

func metadata(s *stage) {
	w := s.guarded()
	s.as("ada").Tool("b_tool", "") // the filter knows the endpoints by now
	c := harness.NewClient(s.T, w.URL).With("Accept: application/json", "Content-Type:")
	for _, path := range []string{metadataPath, "/.well-known/oauth-protected-resource"} {
		c.URL = strings.TrimSuffix(w.URL, "/mcp") + path
		r := c.Do(http.MethodGet, "")
		var document struct {
			Resource string
			Servers  []string `json:"authorization_servers"`
			Scopes   []string `json:"scopes_supported"`
			Methods  []string `json:"bearer_methods_supported"`
		}
		if err := json.Unmarshal([]byte(r.Body), &document); err != nil || r.Status != http.StatusOK || r.Header.Get("Content-Type") != "application/json" {
			s.Fatalf("%s: %v: %s", path, err, r)
		}
		if document.Resource != resource || !slices.Equal(document.Servers, []string{s.issuer().URL}) || slices.Contains(document.Scopes, "offline_access") ||
			!slices.Equal(document.Methods, []string{"header"}) {
			s.Errorf("%s: %s", path, r.Body)
		}
	}
	for _, path := range []string{metadataPath + "/", metadataPath + "x", "/.well-known/oauth-protected-resource/other", "/.well-known/oauth-protected-resource/mcp/none"} {
		c.URL = strings.TrimSuffix(w.URL, "/mcp") + path
		s.wantStatus(path, c.Do(http.MethodGet, ""), http.StatusNotFound)
	}
}

func tokensCount(s *stage) {
	w := s.guarded()
	w.forget()
	other := harness.NewIssuer(s.T)
	hour := time.Hour / time.Second
	now := time.Now().Unix()
	good := s.token("ada", nil)
	for what, token := range map[string]string{
		"no token at all":     "Authorization: Bearer x",
		"empty":               "Authorization: Bearer .",
		"wrong audience":      s.token("ada", harness.Claims{"aud": "https://other.example.com/mcp"}),
		"audience of a path":  s.token("ada", harness.Claims{"aud": resource + "/travel"}),
		"audience like ours":  s.token("ada", harness.Claims{"aud": resource + "x"}),
		"no audience":         s.token("ada", harness.Claims{"aud": nil}),
		"expired":             s.token("ada", harness.Claims{"exp": now - int64(hour)}),
		"no expiry":           s.token("ada", harness.Claims{"exp": nil}),
		"not yet":             s.token("ada", harness.Claims{"nbf": now + int64(hour)}),
		"unknown issuer":      s.token("ada", harness.Claims{"iss": "https://evil.example"}),
		"no issuer":           s.token("ada", harness.Claims{"iss": nil}),
		"no subject":          s.token("ada", harness.Claims{"sub": nil, "client_id": nil}),
		"unknown key":         s.token("ada", harness.Claims{"kid": "two"}),
		"no algorithm":        s.token("ada", harness.Claims{"alg": "none"}),
		"another algorithm":   s.token("ada", harness.Claims{"alg": "HS256"}),
		"other's signature":   "Authorization: Bearer " + other.Token("ada", resource, harness.Claims{"iss": s.issuer().URL, "scope": "mcp"}),
		"changed":             good[:len(good)-6] + "AAAAAA",
		"no signature":        good[:strings.LastIndexByte(good, '.')+1],
		"in another spelling": "Authorization: Bearer  " + good[len("Authorization: Bearer "):] + "=",
	} {
		c := harness.NewClient(s.T, w.URL).With(token)
		s.wantStatus(what, c.Post(call("1", "b_tool")), http.StatusUnauthorized, `error="invalid_token"`, challenge)
		s.wantStatus(what+", stateless", modernCall(c, "a_tool"), http.StatusUnauthorized, `error="invalid_token"`, challenge)
	}
	w.untouched(s.T)
	if r := s.as("ada").Post(call("1", "b_tool")); !served(r) {
		s.Error(r)
	}
	if r := modernCall(harness.NewClient(s.T, w.URL).With(good), "a_tool"); !strings.Contains(r.Body, `"a:tool"`) {
		s.Error(r)
	}
	list := s.token("ada", harness.Claims{"aud": []string{"https://other.example.com", resource}})
	if r := modernCall(harness.NewClient(s.T, w.URL).With(list), "a_tool"); !strings.Contains(r.Body, `"a:tool"`) {
		s.Error(r)
	}
}

func everyRequest(s *stage) {
	w := s.guarded()
	c := s.as("ada")
	c.Tool("b_tool", "")
	w.forget()
	without := c.With("Authorization:")
	for what, r := range map[string]harness.Response{
		"call": without.Post(call("2", "b_tool")), "list": without.Post(`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`),
		"stream": without.With("Accept: text/event-stream").Do(http.MethodGet, ""), "DELETE": without.Do(http.MethodDelete, ""),
		"notification": without.Post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`),
	} {
		s.wantStatus(what, r, http.StatusUnauthorized, challenge)
	}
	token := strings.TrimPrefix(s.token("ada", nil), "Authorization: Bearer ")
	for _, where := range []string{"?access_token=", "?x=1&access_token=", "?token=", "?authorization=Bearer%20"} {
		there := *without
		there.URL = w.URL + where + token
		s.wantStatus(where, there.Post(call("2", "b_tool")), http.StatusUnauthorized, challenge)
	}
	for what, client := range map[string]*harness.Client{
		"as a form": without.With("Content-Type: application/x-www-form-urlencoded"), "as a cookie": without.With("Cookie: access_token=" + token),
		"as claims": without.With("X-Mcp-Claims: eyJpc3MiOiJ4Iiwic3ViIjoiYWRhIn0"), "as a client": without.With("X-Mcp-Client: ada"),
	} {
		s.wantStatus(what, client.Post("access_token="+token), http.StatusUnauthorized, challenge)
	}
	w.untouched(s.T)
}

func scopes(s *stage) {
	w := s.guarded()
	w.forget()
	for what, scope := range map[string]any{"none": nil, "others": "read write", "part of it": "mc", "more of it": "mcpx", "list": []string{"read"}, "no string": 1} {
		c := harness.NewClient(s.T, w.URL).With(s.token("ada", harness.Claims{"scope": scope}))
		s.wantStatus(what, c.Post(call("1", "b_tool")), http.StatusForbidden, `error="insufficient_scope"`, `scope="mcp"`, challenge)
	}
	w.untouched(s.T)
	for what, scope := range map[string]any{"among others": "read mcp write", "alone": "mcp"} {
		c := harness.NewClient(s.T, w.URL).With(s.token("ada", harness.Claims{"scope": scope}))
		if r := modernCall(c, "a_tool"); !strings.Contains(r.Body, `"a:tool"`) {
			s.Errorf("%s: %s", what, r)
		}
	}
}

func passthrough(s *stage) {
	w := s.guarded()
	token := s.token("ada", nil)
	c := s.as("ada")
	evil := c.With(token, "Cookie: a="+word, "Proxy-Authorization: Basic "+word, "X-Api-Key: "+word)
	w.forget()
	evil.Tool("b_tool", "")
	if r := modernCall(harness.NewClient(s.T, w.URL).With(token, "Cookie: a="+word), "a_tool"); !strings.Contains(r.Body, `"a:tool"`) {
		s.Error(r)
	}
	if r := modernCall(harness.NewClient(s.T, w.URL).With(token, "Cookie: a="+word), "b_tool"); !strings.Contains(r.Body, `"b:tool"`) {
		s.Error(r) // the broker's own request
	}
	evil.Request("prompts/get", `{"name":"b_prompt"}`)
	evil.Request("resources/read", `{"uri":"b+test://resource"}`)
	bearer := strings.TrimPrefix(token, "Authorization: Bearer ")
	for _, r := range append(w.a.Requests(), w.b.Requests()...) {
		wantCleanHeaders(s.T, r, c.Session())
		text := fmt.Sprint(r.Header, r.Path, string(r.Body))
		for _, part := range append(strings.Split(bearer, "."), "Bearer") {
			if strings.Contains(text, part) {
				s.Errorf("a server has received a part of the token: %s", text)
			}
		}
	}
	if len(calls(w.b)) < 4 || len(calls(w.a)) != 1 {
		s.Errorf("%d and %d calls", len(calls(w.a)), len(calls(w.b)))
	}
}

func foreignTokens(s *stage) {
	w := s.guarded()
	w.forget()
	for _, audience := range []any{w.a.URL(), w.b.URL(), "http://" + w.b.Addr(), []string{w.a.URL(), w.b.URL()}} {
		c := harness.NewClient(s.T, w.URL).With(s.token("ada", harness.Claims{"aud": audience}))
		s.wantStatus(fmt.Sprint(audience), c.Post(call("1", "b_tool")), http.StatusUnauthorized, `error="invalid_token"`)
		s.wantStatus(fmt.Sprint(audience), modernCall(c, "a_tool"), http.StatusUnauthorized, `error="invalid_token"`)
	}
	w.untouched(s.T)
}

func boundSessions(s *stage) {
	w := s.guarded()
	ada := s.as("ada")
	ada.Tool("b_tool", "")
	w.forget()
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for what, client := range map[string]*harness.Client{
		"another subject":               ada.With(s.token("bob", nil)),
		"a client of the same name":     ada.With(s.token("", harness.Claims{"sub": nil, "client_id": "ada"})),
		"a subject that begins alike":   ada.With(s.token("ada ", nil)),
		"a subject in another case":     ada.With(s.token("Ada", nil)),
		"a subject in another spelling": ada.With(s.token("ad\u0430", nil)),
	} {
		s.wantCode(what+", call", client.Post(call("1", "b_tool")), http.StatusNotFound, -32600)
		s.wantCode(what+", ping", client.Post(ping), http.StatusNotFound, -32600)
		s.wantStatus(what+", stream", client.With("Accept: text/event-stream").Do(http.MethodGet, ""), http.StatusNotFound)
		s.wantStatus(what+", DELETE", client.Do(http.MethodDelete, ""), http.StatusNotFound)
	}
	w.untouched(s.T)
	// It is ada's still, also with another token.
	if r := ada.With(s.token("ada", harness.Claims{"jti": "2", "scope": "mcp more"})).Post(call("1", "b_tool")); !served(r) {
		s.Error(r)
	}
}
