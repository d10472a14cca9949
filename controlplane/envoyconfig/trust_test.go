package envoyconfig_test

import (
	"strings"
	"testing"

	"mcp-gateway/controlplane/envoyconfig"
)

// Authorities of a server take the place of those of the system, for it alone.
func TestServersMayHaveAuthoritiesOfTheirOwn(t *testing.T) {
	t.Parallel()
	g := parse(t, `servers: [{name: a, url: "https://a/mcp"}, {name: b, url: "https://b/mcp"}]`)
	g.Servers[0].CACert = "authority of a"
	r, err := envoyconfig.Build(g, params)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Clusters {
		text, err := envoyconfig.YAML(c)
		if err != nil {
			t.Fatal(err)
		}
		own, system := strings.Contains(string(text), "inline_string: authority of a"), strings.Contains(string(text), "ca-certificates.crt")
		if isA := strings.HasPrefix(c.Name, "mcp-server-a@"); own != isA || system != strings.HasPrefix(c.Name, "mcp-server-b@") {
			t.Errorf("%s trusts\n%s", c.Name, text)
		}
	}
}
