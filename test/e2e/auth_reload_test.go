package e2e

import (
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Who has connected before anybody had to prove who he is cannot claim to be somebody
// afterwards: his connection stays with a listener that verifies no tokens. Nor is a
// session of that time any use to who has a token.
func TestAuthenticationIsSwitchedOn(t *testing.T) {
	t.Parallel()
	a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
	config := harness.Config{Servers: []harness.Server{behind(a, "a")}}
	g := harness.Run(t, config)
	before := harness.Connect(t, g.URL)
	before.Tool("a_tool", "")
	config.Auth = issuer.Auth(guarded, "scopes: [mcp]")
	g.Reload(config)
	good := issuer.Token("ada", guarded, scoped)
	// A call is refused by the filter, where all else could be by the broker.
	harness.Eventually(t, "its connection's worker wants authentication", func() bool { return before.Post(call("1", "a_none")).Status == 401 })
	// New connections are the new listener's, all of them once it is there.
	token := harness.NewClient(t, g.URL).With(bearer(good))
	harness.Eventually(t, "the new listener", func() bool {
		return harness.NewClient(t, g.URL).With(bearer(good)).Post(initialize).Status == 200
	})
	forged := before.With("X-Mcp-Claims: " + strings.Split(good, ".")[1])
	if r := forged.With(harness.HeaderSession + ":").Post(initialize); r.Status != http.StatusUnauthorized {
		t.Errorf("with claims of its own: %s", r)
	}
	if r := forged.Post(call("1", "a_tool")); r.Status != http.StatusUnauthorized {
		t.Errorf("with claims of its own, in its session: %s", r)
	}
	if r := before.Post(call("1", "a_tool")); r.Status != http.StatusUnauthorized {
		t.Errorf("in its session: %s", r)
	}
	if r := token.With(harness.HeaderSession + ": " + before.Session()).Post(call("1", "a_tool")); r.Status != http.StatusNotFound {
		t.Errorf("the session of before with a token: %s", r)
	}
	if n := len(a.Received("tools/call")); n != 1 {
		t.Errorf("the server got %d calls", n)
	}
	token.Initialize()
	token.Tool("a_tool", "")
}
