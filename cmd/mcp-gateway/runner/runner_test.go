package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
)

func TestTheEndpointIsOneThatTheFilterAdmits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		listen    string
		hostnames []string
		url, dial string
	}{
		{"127.0.0.1:8888", nil, "http://127.0.0.1:8888/mcp", "127.0.0.1:8888"},
		{"localhost:8888", nil, "http://127.0.0.1:8888/mcp", "127.0.0.1:8888"},
		{":8888", nil, "http://127.0.0.1:8888/mcp", "127.0.0.1:8888"},
		{"[::]:8888", nil, "http://[::1]:8888/mcp", "[::1]:8888"},
		{"10.1.2.3:80", nil, "http://10.1.2.3:80/mcp", "10.1.2.3:80"},
		{"127.0.0.1:8888", []string{"mcp.example", "127.0.0.1"}, "http://127.0.0.1:8888/mcp", "127.0.0.1:8888"},
		{"0.0.0.0:8888", []string{"mcp.example", "localhost"}, "http://localhost:8888/mcp", "127.0.0.1:8888"},
		{"10.1.2.3:80", []string{"mcp.example", "localhost"}, "http://mcp.example:80/mcp", "10.1.2.3:80"},
	}
	for _, test := range tests {
		g := gateway.Default()
		g.Listen, g.Hostnames = test.listen, test.hostnames
		e, err := endpointOf(&g)
		if err != nil {
			t.Errorf("%s: %v", test.listen, err)
			continue
		}
		if e.url() != test.url || e.dial.String() != test.dial {
			t.Errorf("%s with %v: %s at %s, want %s at %s", test.listen, test.hostnames, e.url(), e.dial, test.url, test.dial)
		}
	}
}

func TestOnlyThisMachineReachesAPrivateAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"unix:/run/x.sock": true, "127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, ":1": false, "[::]:1": false, "10.0.0.1:1": false, "broker:1": false, "nonsense": false,
	} {
		if got := private(address); got != want {
			t.Errorf("private(%q) = %v, want %v", address, got, want)
		}
	}
}

func TestListenReplacesASocketThatNobodyServes(t *testing.T) {
	t.Parallel()
	dir, err := newRundir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.remove)
	address := dir.socket("s")
	first, err := listen(address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(address); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a served socket was replaced: %v", err)
	}
	if s, err := os.Stat(strings.TrimPrefix(address, "unix:")); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", s.Mode(), err)
	}
	// As after a crash: the file stays, nobody listens.
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = first.Close()
	second, err := listen(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
}

func TestWhatAKilledGatewayLeftIsRemoved(t *testing.T) {
	t.Parallel()
	parent, err := os.MkdirTemp("/tmp", "mcp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	alive, err := makeRundir(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := makeRundir(parent)
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.lock.Close() // as the kernel does for a process that ends
	foreign := filepath.Join(parent, runPrefix+"without-lock")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	removeStale(parent)
	for path, want := range map[string]bool{alive.path: true, dead.path: false, foreign: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", path, err == nil, want)
		}
	}
}

func TestChangesNameWhatDiffers(t *testing.T) {
	t.Parallel()
	server := func(name string) gateway.Server {
		s := gateway.DefaultServer()
		s.Name, s.URL = name, "http://"+name+"/mcp"
		return s
	}
	before := gateway.Default()
	before.Servers = []gateway.Server{server("a"), server("b"), server("c")}
	after := gateway.Default()
	b := server("b")
	b.Prefix, b.Headers = "b_", map[string]string{"Authorization": "secret"}
	after.Servers = []gateway.Server{server("a"), b, server("d")}
	after.Instructions = "new"

	core, logs := observer.New(zapcore.InfoLevel)
	zap.New(core).Info("", changes(&before, &after)...)
	want := map[string]any{
		"added": []any{"d"}, "removed": []any{"c"}, "changed": []any{"b.Prefix", "b.Headers"}, "settings": []any{"Instructions"},
	}
	if diff := cmp.Diff(want, logs.All()[0].ContextMap()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := changes(&before, &before); len(got) > 0 {
		t.Errorf("no change: %v", got)
	}
	turned := before
	turned.Servers = []gateway.Server{before.Servers[1], before.Servers[0], before.Servers[2]}
	if got := changes(&before, &turned); len(got) != 1 || got[0].Key != "reordered" {
		t.Errorf("another order: %v", got)
	}
}

// What --listen says is no change of the file, and no change of the file touches it.
func TestListenHoldsOverTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	write := func(text string) {
		if err := os.WriteFile(path+".next", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".next", path); err != nil {
			t.Fatal(err)
		}
	}
	core, logged := observer.New(zap.InfoLevel)
	lines := make(chan string, 10)
	log := zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		lines <- e.Message
		return nil
	}))
	heard := func(want string) {
		t.Helper()
		select {
		case line := <-lines:
			if line != want {
				t.Errorf("logged %q, want %q", line, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q is not logged", want)
		}
	}
	write("gateway: {listen: 127.0.0.1:1}\nservers: [{name: a, url: http://a/mcp}]\n")
	applied := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- watch(ctx, log, path, "0.0.0.0:9", func(g *gateway.Gateway) error {
			applied <- g.Listen
			return nil
		})
	}()
	const open = "configuration: warning: --listen: 0.0.0.0:9 can be reached from other machines, and everybody who reaches it may use all servers: configure auth"
	heard(open)
	heard("configuration loaded")
	write("gateway: {listen: 127.0.0.1:2}\nservers: [{name: a, url: http://a/mcp}]\n")
	heard(open)
	heard("gateway.listen has changed in the file, but --listen holds")
	write("gateway: {listen: 127.0.0.1:2, path: /other}\nservers: [{name: a, url: http://a/mcp}]\n")
	heard(open)
	heard("configuration changed")
	if got := fmt.Sprint(logged.FilterMessage("configuration changed").All()[0].ContextMap()["settings"]); got != "[Path]" {
		t.Errorf("settings %s, want [Path]", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(applied) != 2 {
		t.Errorf("applied %d times, want 2", len(applied))
	}
	for range len(applied) {
		if got := <-applied; got != "0.0.0.0:9" {
			t.Errorf("applied %s", got)
		}
	}
}

func TestEnvoysLogKeepsItsLevel(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	e := &envoy{log: zap.New(core)}
	for _, line := range []string{"warning\tconfig\tdelta config rejected", "critical\tmain\tassert", "info\tmain\tstarting", "panic: oh no", "  "} {
		e.line(line)
	}
	type entry struct{ Level, Logger, Message string }
	var got []entry
	for _, l := range logs.All() {
		got = append(got, entry{l.Level.String(), l.LoggerName, l.Message})
	}
	want := []entry{
		{"warn", "envoy.config", "delta config rejected"}, {"error", "envoy.main", "assert"},
		{"info", "envoy.main", "starting"}, {"warn", "envoy", "panic: oh no"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestModulesAreNamedAsEnvoyLoadsThem(t *testing.T) {
	t.Parallel()
	if got, err := moduleName("/x/libmcp_gateway.so"); got != "mcp_gateway" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, path := range []string{"/x/mcp_gateway.so", "/x/lib.so", "/x/libm.dylib"} {
		if got, err := moduleName(path); err == nil {
			t.Errorf("%s: %q", path, got)
		}
	}
	if _, err := findModule(filepath.Join(t.TempDir(), "libabsent.so"), envoyconfig.HostModule); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent module: %v", err)
	}
	if _, err := findEnvoy(filepath.Join(t.TempDir(), "absent")); err == nil || !strings.Contains(err.Error(), "--envoy") {
		t.Errorf("an absent Envoy: %v", err)
	}
}

func TestAServiceThatEndsByItselfFailsTheGroup(t *testing.T) {
	t.Parallel()
	g := newGroup()
	g.start("lasting", func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	g.start("short", func(context.Context) error { return nil })
	if err := <-g.failed; err == nil || !strings.Contains(err.Error(), "short") {
		t.Errorf("failure %v", err)
	}
	if !g.stop(10 * time.Second) {
		t.Error("the group did not end")
	}
	stuck := newGroup()
	forever := make(chan struct{})
	defer close(forever)
	stuck.start("stuck", func(context.Context) error { <-forever; return nil })
	if stuck.stop(time.Millisecond) {
		t.Error("a service that goes on has ended")
	}
}
