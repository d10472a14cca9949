package e2e

import (
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// waiting is a gateway before a server whose tool says something, and answers when
// it is released; prompts are answered then, too.
func waiting(t *testing.T, drain string) (g *harness.Gateway, a *mcpserver.Server, release chan struct{}) {
	t.Helper()
	a, release = mcpserver.Start(t, one("a")), make(chan struct{})
	await := func(x *mcpserver.Exchange) {
		select {
		case <-release:
		case <-x.Context().Done():
		}
	}
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		s := x.Stream()
		s.Send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"begun"}}`)
		await(x)
		s.Send(x.ResultMessage(`{"content":[{"type":"text","text":"done"}]}`))
	})
	a.Handle("prompts/get", "prompt", func(x *mcpserver.Exchange) {
		await(x)
		x.Result(`{"messages":[]}`)
	})
	return harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}}, "--drain", drain), a, release
}

// After a signal no new connection is taken, and who has asked gets an answer; then
// event streams end, and the gateway.
func TestSignalLetsCallsEnd(t *testing.T) {
	t.Parallel()
	g, a, release := waiting(t, "60s")
	c := harness.Connect(t, g.URL)
	listening := c.Listen()
	stream := c.Open(http.MethodPost, call("1", "a_tool"))
	stream.Until("begun")
	answered := make(chan string, 1)
	go func() {
		r, err := c.Try(t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":2,"method":"prompts/get","params":{"name":"a_prompt"}}`)
		if err != nil {
			t.Error(err)
		}
		answered <- string(r.Body)
	}()
	a.Wait(harness.Patience, "the prompt's call", func() bool { return len(a.Received("prompts/get")) == 1 })
	g.Signal(syscall.SIGTERM)
	g.WaitLine(g.Stderr(), "waiting for calls under way")
	harness.Eventually(t, "refused connections", func() bool {
		conn, err := net.DialTimeout("tcp", g.Addr(), time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case <-g.Ended():
		t.Fatal("ended before the calls")
	default:
	}
	close(release)
	stream.Until(`"done"`)
	stream.End()
	if got := <-answered; !strings.Contains(got, `"messages":[]`) {
		t.Errorf("the prompt: %s", got)
	}
	listening.End()
	if code := g.ExitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := g.Family(); len(left) > 0 {
		t.Errorf("left processes behind: %v", left)
	}
}

// What hangs is waited for until the bound, or another signal.
func TestWaitForCallsHasAnEnd(t *testing.T) {
	t.Parallel()
	t.Run("bound", func(t *testing.T) {
		t.Parallel()
		g, _, _ := waiting(t, "1s")
		c := harness.Connect(t, g.URL)
		c.Open(http.MethodPost, call("1", "a_tool")).Until("begun")
		g.Stop(6 * time.Second)
		if !strings.Contains(g.Stderr().Tail(1000), "cut off") {
			t.Error("the log does not say what was cut off")
		}
	})
	t.Run("second signal", func(t *testing.T) {
		t.Parallel()
		g, _, _ := waiting(t, "60s")
		c := harness.Connect(t, g.URL)
		c.Open(http.MethodPost, call("1", "a_tool")).Until("begun")
		g.Signal(syscall.SIGTERM)
		g.WaitLine(g.Stderr(), "waiting for calls under way")
		harness.Eventually(t, "notice of the second signal", func() bool {
			_ = syscall.Kill(g.PID(), syscall.SIGTERM) // it may have ended
			return strings.Contains(g.Stderr().Tail(1000), "ending at once")
		})
		if code := g.ExitCode(5 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("nothing to wait for", func(t *testing.T) {
		t.Parallel()
		g, _, _ := waiting(t, "60s")
		listening := harness.Connect(t, g.URL).Listen()
		g.Stop(5 * time.Second)
		listening.End()
	})
}
