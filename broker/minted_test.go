package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/token"
)

// TestSessionsInTheirIDs has two gateways that share nothing but keys.
func TestSessionsInTheirIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		another := func() *gateway {
			st, err := token.New(token.Options{
				Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: 24 * time.Hour}, Keys: []string{"key"},
			})
			if err != nil {
				t.Fatal(err)
			}
			return newGateway(t, setup{store: st, config: config("one")}, map[string]http.Handler{"one": raw("a")})
		}
		a, b := another(), another()
		id := a.request("POST", initializeRequest, nil).header.Get("Mcp-Session-Id")
		for _, g := range []*gateway{a, b} {
			if got := g.ask(id, "tools/list"); !strings.Contains(got, `"one_a"`) {
				t.Errorf("tools: %s", got)
			}
		}
		large := strings.Replace(initializeRequest, `"capabilities":{`, `"capabilities":{"x":"`+strings.Repeat("x", 8<<10)+`",`, 1)
		if got := a.request("POST", large, nil); got.status != http.StatusBadRequest {
			t.Errorf("a client that says too much: %d %s", got.status, got.body)
		}
	})
}
