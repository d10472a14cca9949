package e2e

import (
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// trusted is how long the filter uses what the broker told it of a session.
const trusted = 30 * time.Second

func TestBrokerAway(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*harness.Parts){
		"killed":  func(p *harness.Parts) { p.Broker.Kill() },
		"hanging": func(p *harness.Parts) { p.Broker.Signal(syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := mcpserver.Start(t, one("a"))
			p := harness.RunParts(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")}})
			c := harness.Connect(t, p.URL)
			wantTool(t, c, "a_tool", "a", "tool")

			leave(p)
			// Warm calls are not only possible but as quick as ever, and go on for
			// longer than the filter trusts what the broker told it.
			tick := time.NewTicker(250 * time.Millisecond)
			defer tick.Stop()
			for away := time.Now(); time.Since(away) < trusted+5*time.Second; <-tick.C {
				began := time.Now()
				r := c.Post(call("1", "a_tool"))
				if took := time.Since(began); !ok(r) || took > time.Second {
					t.Fatalf("warm call %v after the end of the broker, answered in %v: %s", began.Sub(away), took, r)
				}
			}
			if got := c.Request("prompts/get", `{"name":"a_prompt"}`); got == "" {
				t.Error("no prompt")
			}
			// All at once: a broker that hangs is given some time to answer.
			var asks sync.WaitGroup
			for _, id := range []string{`1`, `"\u0041"`, `1e3`} {
				for _, method := range []string{"tools/list", "prompts/list", "resources/list", "resources/templates/list", "ping"} {
					asks.Go(func() {
						r, err := c.Try(t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":`+id+`,"method":"`+method+`"}`)
						if err != nil {
							t.Errorf("%s: %v", method, err)
							return
						}
						checkError(t, r, 200, mcp.CodeInternalError, id)
					})
				}
				asks.Go(func() {
					// Another server's session would have to come from the broker.
					r, err := c.Try(t.Context(), http.MethodPost, call(id, "b_tool"))
					if err != nil {
						t.Errorf("cold call: %v", err)
						return
					}
					checkError(t, r, 200, mcp.CodeInternalError, id)
				})
				fresh := harness.NewClient(t, p.URL)
				asks.Go(func() {
					r, err := fresh.Try(t.Context(), http.MethodPost,
						`{"jsonrpc":"2.0","id":`+id+`,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
					if err != nil {
						t.Errorf("initialize: %v", err)
						return
					}
					checkError(t, r, http.StatusServiceUnavailable, mcp.CodeInternalError, id)
					if r.Header.Get("Retry-After") == "" {
						t.Errorf("initialize without Retry-After: %v", r.Header)
					}
				})
			}
			asks.Wait()
			for range 10 {
				wantTool(t, c, "a_tool", "a", "tool")
			}

			if name == "killed" {
				p.StartBroker()
			} else {
				p.Broker.Signal(syscall.SIGCONT)
			}
			harness.Eventually(t, "session after the broker's return", func() bool {
				r, err := harness.NewClient(t, p.URL).Try(t.Context(), http.MethodPost,
					`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
				return err == nil && r.Status == http.StatusOK
			})
			wantTool(t, harness.Connect(t, p.URL), "b_tool", "b", "tool")
			if name == "hanging" {
				wantTool(t, c, "b_tool", "b", "tool")
			}
			p.Envoy.Kill()
			p.Broker.Stop(5 * time.Second)
			p.ControlPlane.Stop(5 * time.Second)
		})
	}
}
