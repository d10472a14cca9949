package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// An Envoy that dies is started again; sessions survive it, for they are not
// Envoy's.
func TestEnvoyIsStartedAgain(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "a_tool", "a", "tool")
	for range 2 {
		envoy := g.Child("envoy")
		if err := syscall.Kill(envoy.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "another Envoy", func() bool {
			for _, m := range g.Family() {
				if m.Name == "envoy" && m.PID != envoy.PID {
					return true
				}
			}
			return false
		})
		harness.Eventually(t, "call after the restart", func() bool {
			r, err := c.Try(t.Context(), http.MethodPost, call("1", "a_tool"))
			return err == nil && ok(r)
		})
	}
	if lines := g.Stderr().Tail(1000); !strings.Contains(lines, "starting it again") {
		t.Error("the log does not tell of it")
	}
}

// The end comes in time, however many calls and streams are open.
func TestEndsInTimeWithOpenStreams(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Stream().Send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"begun"}}`)
		<-x.Context().Done()
	})
	a.Handle("prompts/get", "prompt", mcpserver.Hang)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
	for range 3 {
		c := harness.Connect(t, g.URL)
		c.Listen()
		c.Open(http.MethodPost, call("1", "a_tool")).Until("begun")
		go func() {
			// It ends with the gateway; how is not of interest.
			_, _ = c.Try(t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"a_prompt"}}`)
		}()
	}
	a.Wait(harness.Patience, "calls that hang", func() bool { return len(a.Received("prompts/get")) == 3 })
	g.Stop(5 * time.Second)
}

// Two signals, one of them to the whole group as Ctrl-C in a terminal sends it,
// end it as well.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a")}})
	if err := syscall.Kill(g.Child("envoy").PID, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	g.Signal(os.Interrupt)
	if code := g.ExitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := g.Family(); len(left) > 0 {
		t.Errorf("left processes behind: %v", left)
	}
}

// What cannot work ends the run with a reason that helps.
func TestRunThatCannotWork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, other := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("other"))
	good := write("good.yaml", harness.Config{Servers: []harness.Server{behind(a, "a")}}.YAML())
	bad := write("bad.yaml", "servers:\n  - name: a b\n    url: ftp://x\n    prefixx: y\ngateway:\n  listen: nonsense\n")
	script := write("envoy", "#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		args []string
		want []string // in stderr
	}{
		"mistakes in the file": {[]string{"run", "--config", bad}, []string{"bad.yaml:2", "bad.yaml:3", "bad.yaml:4", "bad.yaml:6", "prefixx"}},
		"no file":              {[]string{"run", "--config", filepath.Join(dir, "none.yaml")}, []string{"none.yaml"}},
		"no flag":              {[]string{"run"}, []string{"config"}},
		"address in use":       {[]string{"run", "--config", good, "--listen", other.Addr()}, []string{other.Addr(), "in use"}},
		"no Envoy":             {[]string{"run", "--config", good, "--listen", "127.0.0.1:0", "--envoy", filepath.Join(dir, "none")}, []string{"--envoy"}},
		"an Envoy that dies":   {[]string{"run", "--config", good, "--listen", "127.0.0.1:0", "--envoy", script}, []string{"Envoy", "no such luck"}},
		"no module":            {[]string{"run", "--config", good, "--listen", "127.0.0.1:0", "--module", filepath.Join(dir, "libnone.so")}, []string{"module"}},
		"validate":             {[]string{"validate", bad}, []string{"bad.yaml:2", "bad.yaml:3", "bad.yaml:4", "bad.yaml:6"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.Start(t, "mcp-gateway", harness.Built(t, "mcp-gateway"), row.args)
			if code := p.ExitCode(harness.Patience); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			said := p.Stderr().Tail(1000) + p.Stdout().Tail(1000)
			for _, want := range row.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not tell of %q: %s", want, said)
				}
			}
			if left := p.Family(); len(left) > 0 {
				t.Errorf("left processes behind: %v", left)
			}
		})
	}
}

// A configuration without servers is a start, not a mistake.
func TestGatewayWithoutServers(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{})
	c := harness.Connect(t, g.URL)
	stream := c.Listen()
	if got := c.List("tools/list"); len(got) != 0 {
		t.Errorf("tools %q", got)
	}
	a := mcpserver.Start(t, one("a"))
	g.Reload(harness.Config{Servers: []harness.Server{behind(a, "a")}})
	stream.Until("notifications/tools/list_changed")
	wantTool(t, c, "a_tool", "a", "tool")
}
