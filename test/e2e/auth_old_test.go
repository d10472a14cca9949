package e2e

import (
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// What clients of older forms send goes through the endpoint once more, message by
// message, with the credential that came with each.
func TestOldClientsProveWhoTheyAre(t *testing.T) {
	t.Parallel()
	a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
	g := authorized(t, a, issuer, "apiKeys: {clients: [{name: ci, key: "+apiKey+"}]}")
	ada, bob := bearer(issuer.Token("ada", guarded, scoped)), bearer(issuer.Token("bob", guarded, scoped))
	old := strings.Replace(initialize, "2025-11-25", "2025-03-26", 1)
	const batch = `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_tool"}},{"jsonrpc":"2.0","id":2,"method":"ping"}]`
	for _, who := range []string{ada, "X-Api-Key: " + apiKey} {
		c := harness.NewClient(t, g.URL).With(who)
		c.Header.Set(harness.HeaderSession, c.Post(old).Header.Get(harness.HeaderSession))
		if r := c.Post(batch); r.Status != 200 || strings.Contains(r.Body, `"error"`) || !strings.Contains(r.Body, `"id":2`) {
			t.Errorf("batch: %s", r)
		}
		if r := c.With("X-Api-Key:", bob).Post(batch); r.Status != 404 {
			t.Errorf("batch of another: %s", r)
		}
		s := harness.NewClient(t, g.URL+"/sse").With(who, "Accept: text/event-stream", "Content-Type:").Open(http.MethodGet, "")
		if s.Status != 200 {
			t.Fatalf("stream: %d", s.Status)
		}
		to := "http://" + g.Addr() + s.Next()
		own := harness.NewClient(t, to).With(who)
		for other, want := range map[string]int{bob: 404, "X-None: 1": 401} {
			if r := harness.NewClient(t, to).With(other).Post(old); r.Status != want {
				t.Errorf("a message of another (%s): %s", other[:10], r)
			}
		}
		for _, message := range []string{old, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_tool"}}`} {
			if r := own.Post(message); r.Status != 202 {
				t.Errorf("a message: %s", r)
			}
		}
		if got := s.Until(`"id":7`); strings.Contains(got, `"error"`) {
			t.Errorf("on the stream: %s", got)
		}
	}
	for _, r := range a.Received("tools/call") {
		for name, values := range r.Header {
			if text := strings.Join(values, " "); strings.Contains(text, "Bearer") || strings.Contains(text, apiKey) || strings.HasPrefix(name, "X-Mcp-") {
				t.Errorf("the server got %s: %s", name, text)
			}
		}
	}
	if r := harness.NewClient(t, g.URL+"/sse").With("Accept: text/event-stream").Do(http.MethodGet, ""); r.Status != 401 || r.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("a stream of nobody: %s", r)
	}
}
