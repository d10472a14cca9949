package e2e

import (
	"net/http"
	"testing"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Gateways that share a Redis are one: a session of one is valid at the other,
// at the servers too, until it ends anywhere.
func TestGatewaysShareSessions(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t)
	a := mcpserver.Start(t, one("a"))
	config := harness.Config{
		Servers:  []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")},
		Sessions: []string{"store: " + store.URL() + "/0"},
	}
	first, second := harness.Run(t, config), harness.Run(t, config)
	c := harness.Connect(t, first.URL)
	same := *c
	same.URL = second.URL
	before := len(a.Received("initialize"))
	wantTool(t, c, "a_tool", "a", "tool")
	wantTool(t, &same, "a_tool", "a", "tool")
	if got := len(a.Received("initialize")) - before; got != 1 {
		t.Errorf("%d sessions at the server for one client", got)
	}
	calls := a.Received("tools/call")
	if calls[0].Header.Get(harness.HeaderSession) != calls[1].Header.Get(harness.HeaderSession) {
		t.Error("the two gateways use different sessions at the server")
	}
	// It ends at the gateway that did not make it.
	if r := same.Do(http.MethodDelete, ""); r.Status/100 != 2 {
		t.Fatalf("DELETE: %s", r)
	}
	harness.Eventually(t, "end of the session at the other gateway", func() bool {
		r := c.Post(call("1", "a_tool"))
		return r.Status == http.StatusNotFound
	})
	wantError(t, c.Post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), 404, mcp.CodeInvalidRequest, "1")
	a.Wait(harness.Patience, "end of the session at the server", func() bool { return len(a.Received("DELETE")) > 0 })
}

// Without the store nothing that needs it works, all else does, and all is as
// before when it returns.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t)
	a := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{
		Servers:  []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")},
		Sessions: []string{"store: " + store.URL()},
	})
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "a_tool", "a", "tool")
	store.Kill()
	for range 20 {
		wantTool(t, c, "a_tool", "a", "tool")
	}
	r := harness.NewClient(t, g.URL).Post(`{"jsonrpc":"2.0","id":"x","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	wantError(t, r, http.StatusServiceUnavailable, mcp.CodeInternalError, `"x"`)
	if r.Header.Get("Retry-After") == "" {
		t.Errorf("initialize without Retry-After: %v", r.Header)
	}
	store.Restart()
	harness.Eventually(t, "session after the store's return", func() bool {
		return harness.NewClient(t, g.URL).Post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`).Status == 200
	})
	wantTool(t, c, "b_tool", "b", "tool")
}
