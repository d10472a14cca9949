package e2e

import (
	"context"
	"io"
	"net/http"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Who is not let in is told so while a body without a length is still to come:
// nobody has Envoy hold what may never end.
func TestStrangersAreAnsweredBeforeTheirBodies(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a")},
		Auth:    []string{"resource: " + guarded, "apiKeys: {clients: [{name: ci, key: " + apiKey + "}]}"},
	})
	h1, h2 := new(http.Protocols), new(http.Protocols)
	h1.SetHTTP1(true)
	h2.SetUnencryptedHTTP2(true)
	for name, protocols := range map[string]*http.Protocols{"chunked": h1, "HTTP/2": h2} {
		transport := &http.Transport{Protocols: protocols}
		t.Cleanup(transport.CloseIdleConnections)
		for what, tt := range map[string]struct {
			host, path, key string
			status          int
		}{
			"foreign host":  {"evil.example", "/mcp", apiKey, 403},
			"no such path":  {"localhost", "/other", apiKey, 404},
			"no credential": {"localhost", "/mcp", "", 401},
			"a wrong key":   {"localhost", "/mcp", apiKey + "x", 401},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
				defer cancel()
				body, client := io.Pipe()
				defer client.Close() //nolint:errcheck // of a pipe
				go func() { _, _ = io.WriteString(client, `{"jsonrpc":`) }()
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Addr()+tt.path, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = tt.host
				r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
				if tt.key != "" {
					r.Header.Set("X-Api-Key", tt.key)
				}
				got, err := transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = got.Body.Close()
				if got.StatusCode != tt.status {
					t.Errorf("%s, want %d", got.Status, tt.status)
				}
			})
		}
	}
}
