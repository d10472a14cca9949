package gateway

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/gatewayconfig"
)

// keyed is an endpoint for who has a key.
func keyed() *Auth {
	return &Auth{
		Resource: "http://127.0.0.1:8888/mcp",
		APIKeys:  APIKeys{Clients: []KeyClient{{Name: "ci", Key: "key-of-ci-key-of-ci-key-of-ci"}}},
	}
}

func TestValidateAuth(t *testing.T) {
	t.Parallel()
	idp := Issuer{Issuer: "https://idp.example.com", JWKS: JWKS{URL: "https://idp.example.com/jwks"}}
	for name, test := range map[string]struct {
		change  func(*Gateway)
		want    string
		warning bool
	}{
		"keys":                        {change: func(*Gateway) {}},
		"an issuer":                   {change: func(g *Gateway) { g.Auth.Issuers = []Issuer{idp} }},
		"bound wide":                  {change: func(g *Gateway) { g.Listen = ":8888" }},
		"another name of loopback":    {change: func(g *Gateway) { g.Auth.Resource = "http://localhost:8888/mcp" }},
		"a name that is not answered": {change: func(g *Gateway) { g.Auth.Resource = "https://gw.example.com/mcp" }, want: "auth.resource"},
		"a name that is": {change: func(g *Gateway) {
			g.Auth.Resource, g.Hostnames = "https://gw.example.com/mcp", []string{"gw.example.com"}
		}},
		"any name":                  {change: func(g *Gateway) { g.Auth.Resource, g.Listen = "https://gw.example.com/mcp", ":8888" }},
		"http in the open":          {change: func(g *Gateway) { g.Auth.Resource, g.Listen = "http://gw.example.com/mcp", ":8888" }, want: "auth.resource", warning: true},
		"the root":                  {change: func(g *Gateway) { g.Auth.Resource, g.Path = "http://localhost:8888", "/" }},
		"the root with slash":       {change: func(g *Gateway) { g.Auth.Resource, g.Path = "http://localhost:8888/", "/" }},
		"a slash too many":          {change: func(g *Gateway) { g.Auth.Resource += "/" }, want: "auth.resource"},
		"a fragment":                {change: func(g *Gateway) { g.Auth.Resource += "#a" }, want: "auth.resource"},
		"a host in capitals":        {change: func(g *Gateway) { g.Auth.Resource = "http://LOCALHOST:8888/mcp" }, want: "auth.resource"},
		"a quote":                   {change: func(g *Gateway) { g.Auth.Resource = `http://localhost:8888/mcp"` }, want: "auth.resource"},
		"no resource":               {change: func(g *Gateway) { g.Auth.Resource = "" }, want: "auth.resource"},
		"nobody":                    {change: func(g *Gateway) { g.Auth.APIKeys = APIKeys{} }, want: "auth"},
		"scopes of keys":            {change: func(g *Gateway) { g.Auth.Scopes = []string{"a"} }, want: "auth.scopes", warning: true},
		"a key in Authorization":    {change: func(g *Gateway) { g.Auth.APIKeys.Header = "Authorization" }, want: "auth.apiKeys.header"},
		"a key in a header of ours": {change: func(g *Gateway) { g.Auth.APIKeys.Header = "X-Mcp-Key" }, want: "auth.apiKeys.header"},
		"a key in the session":      {change: func(g *Gateway) { g.Auth.APIKeys.Header = "Mcp-Session-Id" }, want: "auth.apiKeys.header"},
		"a key that Envoy drops":    {change: func(g *Gateway) { g.Auth.APIKeys.Header = "api_key" }, want: "auth.apiKeys.header"},
		"a key with a space":        {change: func(g *Gateway) { g.Auth.APIKeys.Clients[0].Key += " x" }, want: "auth.apiKeys.clients[0].key"},
		"keys that are none":        {change: func(g *Gateway) { i := idp; i.JWKS = JWKS{Text: `{"keys":[]}`}; g.Auth.Issuers = []Issuer{i} }, want: "auth.issuers[0].jwks.file"},
		"a private key": {change: func(g *Gateway) {
			i := idp
			i.JWKS = JWKS{Text: `{"keys":[{"kty":"EC","d":"x"}]}`}
			g.Auth.Issuers = []Issuer{i}
		}, want: "auth.issuers[0].jwks.file"},
		"a key of a client, forwarded": {change: func(g *Gateway) { g.Servers[0].ForwardHeaders = []string{"X-Api-Key"} }, want: "servers[0].forwardHeaders[0]"},
	} {
		g := gatewayOf(server("a", "http://a/mcp"))
		g.Auth = keyed()
		test.change(g)
		var want, got []Problem
		if test.want != "" {
			want = []Problem{{Path: test.want, Warning: test.warning}}
		}
		for _, p := range g.Validate() {
			got = append(got, Problem{Path: p.Path, Warning: p.Warning})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s%v", name, diff, g.Validate())
		}
	}
}

// What Envoy is told of a key is a digest, and the broker is told of none.
func TestProjectAuth(t *testing.T) {
	t.Parallel()
	g := gatewayOf(server("a", "http://a/mcp"))
	if g.Filter("x").Auth != nil || g.Broker("1").Auth {
		t.Error("somebody is demanded by default")
	}
	g.Auth = keyed()
	g.Auth.Issuers = []Issuer{{Issuer: "https://idp", Audiences: []string{"x"}}}
	g.Auth.Scopes = []string{"mcp"}
	want := &gatewayconfig.Auth{
		Resource: "http://127.0.0.1:8888/mcp", Issuers: []gatewayconfig.Issuer{{Issuer: "https://idp", Audiences: []string{"x"}}},
		Scopes: []string{"mcp"}, ScopesSupported: []string{"mcp"}, KeyHeader: "x-api-key",
		Keys: []gatewayconfig.Key{{Client: "ci", Digest: "e217e3d06e139a34278b123ca7d2821b99c3a23a297d534c9eeadc4d5956dfb9"}},
	}
	got := g.Filter("x").Auth
	if diff := cmp.Diff(want, got); diff != "" || !g.Broker("1").Auth {
		t.Errorf("-want +got\n%s", diff)
	}
}
