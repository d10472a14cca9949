package program

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// wantTaken fails the test if another program can listen at address.
func wantTaken(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another program may listen at %s: %v", address, err)
	}
}

// What listens where clients connect is the gateway's Envoy or nobody, from the
// start on, however long Envoy takes and however often it dies: a stranger there
// would be taken for the gateway.
func TestNobodyElseGetsTheAddress(t *testing.T) {
	t.Parallel()
	goOn := filepath.Join(t.TempDir(), "go-on")
	slow := script(t, "while [ ! -e "+goOn+" ]; do sleep 0.01; done\nexec "+harness.EnvoyPath(t)+` "$@"`)
	let := func() {
		t.Helper()
		if err := os.WriteFile(goOn, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := harness.Launch(t, demos(t), "--envoy", slow)
	var starting struct{ Listen string }
	_, fields, _ := strings.Cut(g.WaitLine(g.Stderr(), "INFO starting"), "{")
	if err := json.Unmarshal([]byte("{"+fields), &starting); err != nil {
		t.Fatal(err)
	}
	g.WaitLine(g.Stderr(), "Envoy started")
	wantTaken(t, starting.Listen)
	if lines, _ := g.Stdout().All(); len(lines) > 0 {
		t.Errorf("stdout %q before Envoy listens", lines)
	}
	let()
	url := strings.TrimSpace(g.WaitLine(g.Stdout(), "ready endpoint="))
	if !strings.Contains(url, starting.Listen) {
		t.Errorf("ready at %s, not at %s", url, starting.Listen)
	}
	c := harness.Connect(t, url)
	works(t, c)

	if err := os.Remove(goOn); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(g.Child("envoy").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.WaitLine(g.Stderr(), "Envoy died, starting it again")
	refused(t, starting.Listen)
	wantTaken(t, starting.Listen)
	let()
	worksAgain(t, c)
}

// Another address in the file is taken while the gateway runs, and refused where
// another program listens.
func TestTheAddressMoves(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", harness.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	config, first, second := demos(t), harness.FreeAddr(t), harness.FreeAddr(t)
	at := func(address string) harness.Config {
		moved := config
		moved.Gateway = []string{"listen: " + address}
		return moved
	}
	g := harness.Run(t, at(first), "--listen", "")
	works(t, harness.Connect(t, g.URL))
	g.Reload(at("127.0.0.1:0"))
	wantAll(t, g.WaitLine(g.Stderr(), "configuration not applied"), "gateway.listen", "--listen")
	g.Reload(at(other.Addr().String()))
	g.WaitLine(g.Stderr(), other.Addr().String()+" is in use")
	works(t, harness.Connect(t, g.URL))

	everywhere := strings.Replace(second, "127.0.0.1", "0.0.0.0", 1)
	for _, step := range []struct{ listen, reached, left string }{
		{second, second, first},
		{first, first, second},
		{second, second, first},
		{everywhere, strings.Replace(second, "127.0.0.1", "127.0.0.2", 1), ""},
		{first, first, everywhere},
	} {
		g.Reload(at(step.listen))
		url := g.Up(step.reached)
		// Envoy hears of the hosts that may be named there a moment after the address.
		harness.Eventually(t, "the hosts of "+step.reached, func() bool {
			r, err := harness.NewClient(t, url).Try(t.Context(), "POST", `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
			return err == nil && r.Status != 403
		})
		works(t, harness.Connect(t, url))
		if step.left != "" {
			refused(t, step.left)
		}
	}
}

// Who takes over an address starts when the gateway before takes no more clients,
// not when its last call has ended.
func TestASuccessorNeedNotWait(t *testing.T) {
	t.Parallel()
	config, address := demos(t), harness.FreeAddr(t)
	before := harness.Run(t, config, "--listen", address, "--drain", "1m")
	call := harness.Connect(t, before.URL).Open("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_get_forecast",`+
		`"arguments":{"city":"Lisbon","days":40},"_meta":{"progressToken":"p"}}}`)
	call.Until(`"progress":2`)
	before.Signal(syscall.SIGTERM)
	refused(t, address)
	after := harness.Run(t, config, "--listen", address)
	works(t, harness.Connect(t, after.URL))
	call.Until(`"progress":5`)
	call.Close()
	if code := before.ExitCode(harness.Patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
	works(t, harness.Connect(t, after.URL))
}
