package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// What a request says of where it comes from counts only if proxies are configured: for
// limits, logs, the operator's own filters and what servers are told. For the URLs
// of the endpoint it never does.
func TestWhereARequestComesFrom(t *testing.T) {
	t.Parallel()
	said := []string{
		"X-Forwarded-For: 192.0.2.1, 198.51.100.7, 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 443",
		"X-Forwarded-Prefix: /evil", "Forwarded: for=192.0.2.1;host=evil.example;proto=https", "X-Envoy-External-Address: 192.0.2.1", "X-Envoy-Internal: true",
		"X-Real-Ip: 192.0.2.1", "X-Original-Url: /evil", "X-Envoy-Original-Path: /evil", "True-Client-Ip: 192.0.2.1",
	}
	for proxies, want := range []struct{ address, proto string }{{"127.0.0.1", "http"}, {"203.0.113.9", "https"}, {"198.51.100.7", "https"}} {
		t.Run(fmt.Sprintf("%d proxies", proxies), func(t *testing.T) {
			t.Parallel()
			a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
			log := filepath.Join(t.TempDir(), "access.log")
			g := harness.Run(t, harness.Config{
				Servers: []harness.Server{behind(a, "a")}, Auth: issuer.Auth(guarded),
				Gateway: []string{"accessLog: " + log, fmt.Sprintf("proxies: %d", proxies)},
				// An operator's own rule: nobody from there.
				More: `envoyFilters:
  - name: nobody-from-there
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
      rules:
        action: DENY
        policies:
          there:
            permissions: [{sourced_metadata: {metadata_matcher: {filter: mcp, path: [{key: tool}], value: {string_match: {prefix: a_}}}}}]
            principals: [{remote_ip: {address_prefix: 198.51.100.7, prefix_len: 32}}]
`,
			})
			c := connectAs(t, g.URL, bearer(issuer.Token("ada", guarded, nil))).With(said...)
			if r := c.Post(call("1", "a_tool")); ok(r) == (want.address == "198.51.100.7") {
				t.Errorf("by the operator's rule: %s", r)
			}
			c.Request("prompts/get", `{"name":"a_prompt"}`)
			got := a.Last("prompts/get").Header
			if proto := got.Values("X-Forwarded-Proto"); len(proto) != 1 || proto[0] != want.proto {
				t.Errorf("the server is told X-Forwarded-Proto %q", proto)
			}
			for name := range got {
				if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-forwarded-") && lower != "x-forwarded-proto" ||
					strings.HasPrefix(lower, "x-envoy-") || lower == "forwarded" || strings.Contains(lower, "real-ip") || strings.Contains(lower, "original") || strings.Contains(lower, "true-client") {
					t.Errorf("the server is told %s: %s", name, got.Get(name))
				}
			}
			harness.Eventually(t, "the call is in the access log", func() bool {
				text, err := os.ReadFile(log)
				if err != nil {
					return false
				}
				for line := range strings.Lines(string(text)) {
					var entry struct{ Client, Name string }
					if json.Unmarshal([]byte(line), &entry) == nil && entry.Name == "a_prompt" {
						if entry.Client != want.address {
							t.Errorf("the access log has %s, want %s", entry.Client, want.address)
						}
						return true
					}
				}
				return false
			})
			nobody := harness.NewClient(t, g.URL).With(said...)
			if got := nobody.Post(initialize).Header.Get("WWW-Authenticate"); got != `Bearer resource_metadata="http://localhost/.well-known/oauth-protected-resource/mcp"` {
				t.Errorf("the challenge: %s", got)
			}
			metadata := harness.NewClient(t, "http://"+g.Addr()+"/.well-known/oauth-protected-resource/mcp").With(said...).Do("GET", "")
			if !strings.Contains(metadata.Body, `"resource":"`+guarded+`"`) || strings.Contains(metadata.Body, "evil") {
				t.Errorf("the metadata: %s", metadata)
			}
		})
	}
}
