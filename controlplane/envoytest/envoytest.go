// Package envoytest runs real Envoys in tests of the control plane. The filter
// is not at hand there: in its place stand a few lines of Lua that route by a
// header of the test. Production code does not import it.
package envoytest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3" // for protojson
)

// Root is the folder of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// Each runs f once for every Envoy at hand: that of $ENVOY, or else all of
// .tools/envoy/<version>/envoy. Without any the test is skipped.
func Each(t *testing.T, f func(t *testing.T, envoy string)) {
	t.Helper()
	found := []string{os.Getenv("ENVOY")}
	if found[0] == "" {
		var err error
		if found, err = filepath.Glob(filepath.Join(Root(t), ".tools/envoy/*/envoy")); err != nil {
			t.Fatal(err)
		}
	}
	if len(found) == 0 {
		t.Skip("no Envoy: set ENVOY, or put one at .tools/envoy/<version>/envoy")
	}
	for _, envoy := range found {
		out, err := exec.Command(envoy, "--version").Output()
		if err != nil {
			t.Fatalf("%s --version: %v", envoy, err)
		}
		// "... version: <commit>/1.38.3/Clean/RELEASE/BoringSSL"
		_, version, _ := strings.Cut(string(out), "version: ")
		_, version, _ = strings.Cut(version, "/")
		version, _, _ = strings.Cut(version, "/")
		t.Run(version, func(t *testing.T) { f(t, envoy) })
	}
}

// Validate runs envoy --mode validate on a configuration. modules is the
// search path of dynamic modules.
func Validate(t testing.TB, envoy string, config proto.Message, modules string) {
	t.Helper()
	path := write(t, config)
	cmd := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "-c", path, "--log-level", "warn")
	cmd.Env = append(os.Environ(), "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+modules)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		// A module older than Envoy gets a warning of its own.
		if strings.Contains(line, "deprecated") && !strings.Contains(line, "[dynamic_modules]") {
			t.Errorf("the configuration uses what is deprecated: %s", line)
		}
	}
}

// Envoy is a running process.
type Envoy struct {
	admin *http.Client
}

// Start runs envoy with config until the test ends. It sets the admin address.
func Start(t testing.TB, envoy string, config *bootstrapv3.Bootstrap) *Envoy {
	t.Helper()
	socket := Socket(t, "admin")
	config.Admin = adminAt(socket)
	logs, err := os.CreateTemp(t.TempDir(), "envoy-*.log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoy, "-c", write(t, config), "--log-level", "info", "--concurrency", "2", "--use-dynamic-base-id")
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			text, _ := os.ReadFile(logs.Name())
			t.Logf("Envoy's log:\n%s", text)
		}
	})
	e := &Envoy{admin: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
	Eventually(t, "Envoy is ready", func() bool {
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("Envoy ended: %v", err)
		default:
		}
		status, body := e.try("/ready")
		return status == 200 && strings.TrimSpace(body) == "LIVE"
	})
	return e
}

// Listener is the address at which the listener of that name accepts.
func (e *Envoy) Listener(t testing.TB, name string) string {
	t.Helper()
	var all adminv3.Listeners
	if err := protojson.Unmarshal([]byte(e.Get(t, "/listeners?format=json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, l := range all.ListenerStatuses {
		if l.Name == name {
			at := l.LocalAddress.GetSocketAddress()
			return net.JoinHostPort(at.Address, fmt.Sprint(at.GetPortValue()))
		}
	}
	t.Fatalf("no listener %s: %v", name, &all)
	return ""
}

// Get asks the admin interface.
func (e *Envoy) Get(t testing.TB, path string) string {
	t.Helper()
	status, body := e.try(path)
	if status != 200 {
		t.Fatalf("admin %s: %d %s", path, status, body)
	}
	return body
}

// Stat is the value of a counter or gauge; 0 if there is none of that name.
func (e *Envoy) Stat(t testing.TB, name string) int {
	t.Helper()
	var value int
	for line := range strings.Lines(e.Get(t, "/stats?filter=^"+strings.ReplaceAll(name, ".", `\.`)+"$")) {
		if rest, ok := strings.CutPrefix(line, name+": "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return value
}

func (e *Envoy) try(path string) (int, string) {
	resp, err := e.admin.Get("http://admin" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// Eventually waits until is reports true, asking again and again: another
// process has no channel to wait on.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline, again := time.After(30*time.Second), time.NewTicker(20*time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// Socket is a path for a unix socket: short, unlike those of t.TempDir.
func Socket(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, name+".sock")
}

func write(t testing.TB, config proto.Message) string {
	t.Helper()
	text, err := protojson.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
