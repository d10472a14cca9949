package istio

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// tokens has the endpoint want tokens, and others' traffic none.
func (w *world) tokens() {
	issuer := harness.NewIssuer(w.t)
	auth := fmt.Sprintf("auth: {resource: %q, issuers: [{issuer: %q, jwks: {url: %q}}]}, hostnames:", endpoint, issuer.URL, issuer.URL+"/jwks")
	w.Apply(strings.Replace(w.gateway(), "hostnames:", auth, 1))
	const body = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + harness.Revision + `","capabilities":{},"clientInfo":{"name":"istio","version":"1"}}}`
	c := harness.NewClient(w.t, endpoint)
	harness.Eventually(w.t, "a token is wanted", func() bool {
		r := c.Post(body)
		return r.Status == http.StatusUnauthorized && strings.Contains(r.Header.Get("Www-Authenticate"), "resource_metadata")
	})
	// Envoy may not have the issuer's keys yet.
	good := "Authorization: Bearer " + issuer.Token("alice", endpoint, nil)
	harness.Eventually(w.t, "a session with a token", func() bool { return c.With(good).Post(body).Status == http.StatusOK })
	alice := c.With(good)
	alice.Initialize()
	alice.Tool("weather_now", "")

	forged := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":%q,"sub":"alice","aud":%q,"exp":%d}`, issuer.URL, endpoint, time.Now().Unix()+3600))
	stranger := harness.NewIssuer(w.t)
	for name, headers := range map[string][]string{
		"forged claims":                        {"X-Mcp-Claims: " + forged},
		"forged claims, as the session's":      {"X-Mcp-Claims: " + forged, harness.HeaderSession + ": " + alice.Session(), harness.HeaderRevision + ": " + harness.Revision},
		"forged claims, another port":          {"X-Mcp-Claims: " + forged, "Host: MCP.example.com:80"},
		"forged claims and a stranger's token": {"X-Mcp-Claims: " + forged, "Authorization: Bearer " + stranger.Token("alice", endpoint, nil)},
		"the issuer's name, another's key":     {"Authorization: Bearer " + stranger.Token("alice", endpoint, harness.Claims{"iss": issuer.URL})},
		"a token for another":                  {"Authorization: Bearer " + issuer.Token("alice", "https://elsewhere.example", nil)},
		"an old token":                         {"Authorization: Bearer " + issuer.Token("alice", endpoint, harness.Claims{"exp": time.Now().Unix() - 3600})},
	} {
		if r := c.With(headers...).Post(body); r.Status != http.StatusUnauthorized {
			w.t.Errorf("%s: %s", name, r)
		}
	}
	if r := c.With(good, "Host: MCP.example.com:80").Post(body); r.Status != http.StatusOK {
		w.t.Errorf("the same host, written otherwise: %s", r)
	}
	shop := harness.NewClient(w.t, "http://shop.example.com:8080/mcp").With("Authorization: Bearer " + stranger.Token("alice", endpoint, nil))
	if r := shop.Do(http.MethodPut, "a"); r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden {
		w.t.Errorf("traffic of others: %s", r)
	}
	w.Apply(w.gateway())
	harness.Eventually(w.t, "no token is wanted", func() bool { return c.Post(body).Status == http.StatusOK })
}
