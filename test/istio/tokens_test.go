package istio

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mcp-gateway/test/e2e/harness"
)

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + harness.Revision + `","capabilities":{},"clientInfo":{"name":"istio","version":"1"}}}`

// tokens has the endpoint want tokens of issuers, whose keys Envoy has in all ways that
// there are, and then none again: no listener notices.
func (w *world) tokens() {
	issuer, local := harness.NewIssuer(w.t), harness.NewIssuer(w.t)
	w.Apply(fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: keys, namespace: gw}, data: {jwks: '%s'}}", local.Keys()))
	seen := w.shop()
	counters := []string{"listener_manager.listener_added", "listener_manager.listener_modified", "listener_manager.listener_in_place_updated", "listener_manager.total_listeners_draining"}
	before := map[string]int{}
	for _, name := range counters {
		before[name] = w.stat(name)
	}
	c := harness.NewClient(w.t, endpoint)
	if r := c.Post(initialize); r.Status != http.StatusOK {
		w.t.Fatalf("without issuers: %s", r)
	}
	w.Apply(strings.Replace(w.gateway(), "hostnames:", fmt.Sprintf(`
		auth: {resource: %q, keysRefresh: 1s, issuers: [{issuer: %q, jwks: {url: %q}}, {issuer: %q, jwks: {configMapRef: {name: keys, key: jwks}}}, {issuer: "https://idp.example", jwks: {url: "https://idp.example/jwks"}}]},
		authorization: {default: Allow, rules: [{name: staff, effect: Deny, tools: [weather_now], when: '!("staff" in principal.claims.groups)'}]},
		hostnames:`, endpoint, issuer.URL, issuer.URL+"/jwks", local.URL), 1))

	forged := "X-Mcp-Claims: " + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":%q,"sub":"alice","aud":%q,"groups":["staff"],"exp":%d}`, issuer.URL, endpoint, time.Now().Unix()+3600))
	// By the connection that was open before.
	harness.Eventually(w.t, "a token is wanted", func() bool {
		r := c.With(forged).Post(initialize)
		return r.Status == http.StatusUnauthorized && strings.Contains(r.Header.Get("Www-Authenticate"), `resource_metadata="http://mcp.example.com:8080/.well-known/oauth-protected-resource/mcp"`)
	})
	staff := harness.Claims{"groups": []string{"staff"}}
	good := "Authorization: Bearer " + issuer.Token("alice", endpoint, staff)
	// Envoy may not have the issuer's keys yet.
	harness.Eventually(w.t, "a session with a token", func() bool { return c.With(good).Post(initialize).Status == http.StatusOK })

	alice := w.mayCall(good)
	w.mayCall("Authorization: bearer " + local.Token("carol", endpoint, staff))
	w.mayNotCall(c.With("Authorization: Bearer " + issuer.Token("bob", endpoint, harness.Claims{"groups": []string{}})))
	w.areRefused(c, issuer, good, forged, alice.Session())
	for _, path := range []string{"", "/mcp"} {
		r := get("http://mcp.example.com:8080/.well-known/oauth-protected-resource" + path)
		if r.Status != http.StatusOK || !strings.Contains(r.Body, `"resource":"`+endpoint+`"`) || !strings.Contains(r.Body, issuer.URL) {
			w.t.Errorf("metadata at %q: %s", path, r)
		}
	}
	for _, url := range shopURLs {
		r := harness.NewClient(w.t, url).With(good, forged, "X-Mcp-Thing: theirs").Do(http.MethodPut, "a")
		if r.Status != http.StatusTeapot || r.Body != "a" {
			w.t.Errorf("%s: %s", url, r)
			continue
		}
		h := (<-seen).Header
		if h.Get("Authorization") != strings.TrimPrefix(good, "Authorization: ") || h.Get("X-Mcp-Thing") != "theirs" {
			w.t.Errorf("%s: its own headers are %v", url, h)
		}
		// Nobody's are these two, neither a client's nor of a token that was verified.
		if h.Get("X-Mcp-Claims") != "" || h.Get("X-Mcp-Failed") != "" {
			w.t.Errorf("%s: it got %v", url, h)
		}
	}
	if clusters := get("http://" + admin + "/clusters").Body; !strings.Contains(clusters, "mcp-keys-https-idp.example::") {
		w.t.Error("Envoy has no cluster for keys by TLS")
	}
	w.stand("mcp-forged-claims", "mcp-tokens", "mcp-token-failures", "mcp-gateway", "envoy.filters.http.router")

	if r := c.With("Authorization: Bearer " + issuer.Token("alice", endpoint, harness.Claims{"iss": "https://idp.example"})).Post(initialize); r.Status != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		w.t.Errorf("a token whose issuer's keys are away: %s", r)
	}
	issuer.Withdraw()
	harness.Eventually(w.t, "the end of a key", func() bool { return c.With(good).Post(initialize).Status == http.StatusUnauthorized })
	next := "Authorization: Bearer " + issuer.Token("alice", endpoint, staff)
	harness.Eventually(w.t, "the key that follows it", func() bool { return c.With(next).Post(initialize).Status == http.StatusOK })
	w.mayCall(next)

	w.Apply(w.gateway())
	harness.Eventually(w.t, "no token is wanted", func() bool { return c.Post(initialize).Status == http.StatusOK })
	for _, name := range counters {
		if got := w.stat(name); got != before[name] {
			w.t.Errorf("Envoy's %s is %d, it was %d", name, got, before[name])
		}
	}
}

// mayCall calls a tool in both eras as who has a token, and returns who has a session.
func (w *world) mayCall(token string) *harness.Client {
	w.t.Helper()
	c := harness.NewClient(w.t, endpoint).With(token)
	c.Initialize()
	if names := c.Names("tools/list"); !slices.Contains(names, "weather_now") {
		w.t.Errorf("tools %v", names)
	}
	c.Tool("weather_now", "")
	modern := c.With(harness.HeaderSession+":", harness.HeaderRevision+": 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: weather_now")
	if r := modern.Post(modernBody("tools/call", `"name":"weather_now","arguments":{},`)); r.Status != http.StatusOK || !strings.Contains(r.Message(), `"dry"`) {
		w.t.Errorf("2026-07-28: %s", r)
	}
	return c
}

// mayNotCall is of a client whose claims a rule keeps from the tool.
func (w *world) mayNotCall(c *harness.Client) {
	w.t.Helper()
	c.Initialize()
	if names := c.Names("tools/list"); slices.Contains(names, "weather_now") || !slices.Contains(names, "long_stream") {
		w.t.Errorf("tools of who may not call: %v", names)
	}
	r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_now","arguments":{}}}`)
	if !strings.Contains(r.Message(), `"error"`) || strings.Contains(r.Message(), `"dry"`) {
		w.t.Errorf("who may not call: %s", r)
	}
}

// areRefused tries what is no good token, while session is that of one.
func (w *world) areRefused(c *harness.Client, issuer *harness.Issuer, good, forged, session string) {
	w.t.Helper()
	stranger := harness.NewIssuer(w.t)
	bearer := func(i *harness.Issuer, audience string, changes harness.Claims) string {
		return "Authorization: Bearer " + i.Token("alice", audience, changes)
	}
	for name, headers := range map[string][]string{
		"nothing":                              nil,
		"forged claims":                        {forged},
		"forged claims, as the session's":      {forged, harness.HeaderSession + ": " + session, harness.HeaderRevision + ": " + harness.Revision},
		"forged claims, written otherwise":     {forged, "Host: MCP.example.com:80"},
		"forged claims, as of a web page":      {forged, "Origin: http://mcp.example.com", "Access-Control-Request-Method: POST"},
		"forged claims and a stranger's token": {forged, bearer(stranger, endpoint, nil)},
		"forged claims and no token":           {forged, "Authorization: Bearer x"},
		"the issuer's name, another's key":     {bearer(stranger, endpoint, harness.Claims{"iss": issuer.URL})},
		"a token without a signature":          {bearer(issuer, endpoint, harness.Claims{"alg": "none"})},
		"a token for another":                  {bearer(issuer, "https://elsewhere.example", nil)},
		"an old token":                         {bearer(issuer, endpoint, harness.Claims{"exp": time.Now().Unix() - 3600})},
		"a token for ever":                     {bearer(issuer, endpoint, harness.Claims{"exp": nil})},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete, http.MethodOptions} {
			if r := c.With(headers...).Do(method, initialize); r.Status != http.StatusUnauthorized {
				w.t.Errorf("%s, %s: %s", method, name, r)
			}
		}
		for _, more := range []string{"?x=1", "/sse", "/sse/messages"} {
			other := c.With(headers...)
			if other.URL += more; other.Post(initialize).Status != http.StatusUnauthorized {
				w.t.Errorf("at %s, %s: %s", other.URL, name, other.Post(initialize))
			}
		}
	}
	// A reason that a client forges is none: it would have been 503.
	if r := c.With("Authorization: Bearer x", "X-Mcp-Failed: Jwks remote fetch is failed").Post(initialize); r.Status != http.StatusUnauthorized {
		w.t.Errorf("a forged reason: %s", r)
	}
	if r := c.With(good, forged, "Host: MCP.example.com:80").Post(initialize); r.Status != http.StatusOK {
		w.t.Errorf("a good token at the same host, written otherwise: %s", r)
	}
}

// stand has all listeners end with these filters, and nothing between.
func (w *world) stand(want ...string) {
	w.t.Helper()
	dump := get("http://" + admin + "/config_dump?resource=dynamic_listeners").Body
	var all any
	if err := json.Unmarshal([]byte(dump), &all); err != nil {
		w.t.Fatal(err)
	}
	chains := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for key, e := range v {
				if key != "http_filters" {
					walk(e)
					continue
				}
				var names []string
				filters, _ := e.([]any)
				for _, f := range filters {
					filter, _ := f.(map[string]any)
					names = append(names, fmt.Sprint(filter["name"]))
				}
				chains++
				if len(names) < len(want) || !slices.Equal(names[len(names)-len(want):], want) {
					w.t.Errorf("filters %v, want %v at the end", names, want)
				}
			}
		}
	}
	walk(all)
	if chains == 0 {
		w.t.Error("no filters in any listener")
	}
}
