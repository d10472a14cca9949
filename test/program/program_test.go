// Package program tests mcp-gateway as a program: what it prints, how it starts
// and ends, and what becomes of its children. The MCP that it speaks is the
// business of test/e2e.
package program

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// stopLimit is the promise for the end of a run.
const stopLimit = 5 * time.Second

// demos is a configuration with both demo servers.
func demos(t *testing.T) harness.Config {
	t.Helper()
	return harness.Config{Servers: []harness.Server{
		{Name: "weather", URL: harness.Demo(t, "weather"), Prefix: "weather_"},
		{Name: "cal", URL: harness.Demo(t, "cal"), Prefix: "cal_"},
	}}
}

// works fails the test unless both demo servers can be called.
func works(t *testing.T, c *harness.Client) {
	t.Helper()
	if got := c.Tool("weather_get_weather", `{"city":"Lisbon"}`); !strings.Contains(got, "Lisbon: light rain") {
		t.Errorf("weather: %s", got)
	}
	if got := c.Tool("cal_list_events", `{"date":"2026-03-02"}`); !strings.Contains(got, "Stand-up") {
		t.Errorf("cal: %s", got)
	}
}

// worksAgain waits for a new Envoy, and is works then.
func worksAgain(t *testing.T, c *harness.Client) {
	t.Helper()
	harness.Eventually(t, "a new Envoy that serves", func() bool {
		r, err := c.Try(t.Context(), "POST", `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		return err == nil && r.Status == 200
	})
	works(t, c)
}

// refused waits until nobody listens at address any more.
func refused(t *testing.T, address string) {
	t.Helper()
	harness.Eventually(t, "end of "+address, func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}

func TestSaysOneLineOnStdoutWhenItServes(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, demos(t))
	works(t, harness.Connect(t, g.URL))
	g.Stop(stopLimit)
	if lines, _ := g.Stdout().All(); len(lines) != 1 || lines[0] != "ready endpoint="+g.URL {
		t.Errorf("stdout %q", lines)
	}
	refused(t, g.Addr())
}

func TestEndsWhileStreamsAreOpen(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, demos(t))
	harness.Connect(t, g.URL).Listen()
	call := harness.Connect(t, g.URL).Open("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_get_forecast",`+
		`"arguments":{"city":"Lisbon","days":40},"_meta":{"progressToken":"p"}}}`)
	call.Until(`"progress":2`)
	g.Stop(stopLimit)
}

func TestAKilledGatewayLeavesNoEnvoy(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, demos(t))
	envoy := g.Child("envoy")
	g.Signal(syscall.SIGKILL)
	<-g.Ended()
	harness.Eventually(t, "end of Envoy", func() bool {
		for _, m := range g.Family() {
			if m.PID == envoy.PID {
				return false
			}
		}
		return true
	})
	refused(t, g.Addr())
}

// Sessions live in the broker, so a client does not even notice, but for the
// calls of that moment.
func TestEnvoyIsStartedAgain(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, demos(t))
	c := harness.Connect(t, g.URL)
	works(t, c)
	first := g.Child("envoy")
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.WaitLine(g.Stderr(), "Envoy died, starting it again")
	worksAgain(t, c)
	if again := g.Child("envoy"); again.PID == first.PID {
		t.Error("the same process: this test killed nothing")
	}
}

// script writes an executable shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil { //nolint:gosec // it is to be executed
		t.Fatal(err)
	}
	return path
}

// fails runs a gateway that ends by itself with status 1, and returns what it
// wrote to stderr.
func fails(t *testing.T, limit time.Duration, args ...string) string {
	t.Helper()
	p := harness.Start(t, "mcp-gateway", harness.Built(t, "mcp-gateway"), args)
	if code := p.ExitCode(limit); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	if lines, _ := p.Stdout().All(); len(lines) > 0 {
		t.Errorf("stdout %q", lines)
	}
	return p.Stderr().Tail(100)
}

// file writes a configuration.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}

func TestAnEnvoyThatCannotLiveEndsTheRun(t *testing.T) {
	t.Parallel()
	envoy := script(t, "echo the module is of another kind >&2; exit 3")
	got := fails(t, 20*time.Second, "run", "--config", file(t, "servers: []\n"), "--listen", "127.0.0.1:0", "--envoy", envoy)
	wantAll(t, got, envoy, "died 5 times", "exit status 3", "the module is of another kind")
}

func TestAFileThatIsNoProgramIsNoEnvoy(t *testing.T) {
	t.Parallel()
	envoy := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(envoy, []byte("nonsense"), 0o755); err != nil { //nolint:gosec // as if it could be executed
		t.Fatal(err)
	}
	got := fails(t, 10*time.Second, "run", "--config", file(t, "servers: []\n"), "--listen", "127.0.0.1:0", "--envoy", envoy)
	wantAll(t, got, "start Envoy", envoy)
}

// A stock Envoy has no filter for Go: it says so, and nobody waits for it to answer.
func TestAnEnvoyThatRefusesItsConfigurationEndsTheRun(t *testing.T) {
	t.Parallel()
	if harness.Golang() {
		t.Skip("this Envoy has the filter for Go")
	}
	library := filepath.Join(t.TempDir(), "libabsent.so")
	if err := os.WriteFile(library, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := fails(t, 20*time.Second, "run", "--config", file(t, "servers: []\n"), "--listen", "127.0.0.1:0", "--filter-host", "golang", "--module", library)
	wantAll(t, got, "mcp-gateway: the Envoy refuses its configuration (listener)", "and has none of this type", "golang")
	if strings.Contains(got, "keeps the old one") || strings.Contains(got, "does not answer") {
		t.Error(got)
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	got := fails(t, 10*time.Second, "run", "--config", file(t, "servers: []\n"), "--listen", l.Addr().String())
	wantAll(t, got, l.Addr().String()+" is in use", "--listen", "gateway.listen")
}

func TestEveryMistakeOfTheFileIsPrinted(t *testing.T) {
	t.Parallel()
	path := file(t, "gateway:\n  lisen: x\nservers:\n  - name: a\n    url: nowhere\n")
	got := fails(t, 10*time.Second, "run", "--config", path)
	wantAll(t, got, "2 errors", path+":2:", path+":5:")
}

// What Envoy could not open is refused as a whole, at the start and later.
func TestAnAccessLogThatCannotBeOpenedChangesNothing(t *testing.T) {
	t.Parallel()
	absent := filepath.Join(t.TempDir(), "absent", "access.log")
	config := demos(t)
	bad := config
	bad.Gateway = []string{"accessLog: " + absent, "path: /other"}
	got := fails(t, 10*time.Second, "run", "--config", file(t, bad.YAML()), "--listen", "127.0.0.1:0")
	wantAll(t, got, "gateway.accessLog", absent, "no such file or directory")

	bad.Servers = config.Servers[:1]
	g := harness.Run(t, config)
	c := harness.Connect(t, g.URL)
	works(t, c)
	g.Reload(bad)
	wantAll(t, g.WaitLine(g.Stderr(), "configuration not applied"), "gateway.accessLog", absent)
	works(t, c)

	good := config
	good.Gateway = []string{"accessLog: " + filepath.Join(t.TempDir(), "access.log")}
	g.Reload(good)
	harness.Eventually(t, "a line of the log", func() bool {
		works(t, c)
		text, err := os.ReadFile(strings.TrimPrefix(good.Gateway[0], "accessLog: "))
		return err == nil && strings.Contains(string(text), "tools/call")
	})
}

func TestTheFileIsWatched(t *testing.T) {
	t.Parallel()
	config := demos(t)
	one := harness.Config{Servers: config.Servers[:1]}
	g := harness.Run(t, one)
	c := harness.Connect(t, g.URL)
	before := len(c.Names("tools/list"))

	g.Reload(config)
	line := g.WaitLine(g.Stderr(), "configuration changed")
	wantAll(t, line, `"added": ["cal"]`)
	harness.Eventually(t, "the tools of the second server", func() bool { return len(c.Names("tools/list")) == before+3 })
	works(t, c)

	g.Write("servers: [{name: weather}]\n")
	wantAll(t, g.WaitLine(g.Stderr(), "configuration not applied"), "servers[0]", "url")
	works(t, c)

	g.Reload(one)
	harness.Eventually(t, "the second server to go", func() bool { return len(c.Names("tools/list")) == before })
}
