package program

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// A terminal that is closed ends the gateway in order, as SIGTERM does.
func TestAHangupIsAnOrderlyEnd(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, demos(t), "--drain", "1s")
	dir := regexp.MustCompile(`unix:(/\S+)/internal\.sock`).FindStringSubmatch(g.Stderr().Tail(1000))
	if dir == nil {
		t.Fatal("the log does not name the folder of the sockets")
	}
	harness.Connect(t, g.URL).Open("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_get_forecast",`+
		`"arguments":{"city":"Lisbon","days":40},"_meta":{"progressToken":"p"}}}`).Until(`"progress":2`)
	g.Signal(syscall.SIGHUP)
	g.WaitLine(g.Stderr(), "waiting for calls under way")
	if code := g.ExitCode(stopLimit + time.Second); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if _, err := os.Stat(dir[1]); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir[1], err)
	}
}

func TestWhoIgnoresHangupsOutlivesThem(t *testing.T) {
	t.Parallel()
	args := append([]string{"-c", `trap '' HUP; exec "$0" "$@"`, harness.Built(t, "mcp-gateway")},
		harness.Args(t, "run", "--config", file(t, demos(t).YAML()), "--listen", "127.0.0.1:0", "--drain", "0s")...)
	g := harness.Start(t, "mcp-gateway", "/bin/sh", args)
	url := strings.TrimSpace(g.WaitLine(g.Stdout(), "ready endpoint="))
	g.Signal(syscall.SIGHUP)
	works(t, harness.Connect(t, url))
	g.Stop(stopLimit)
}
