// Package target starts what is measured: the backend alone, or a proxy in
// front of it, each ready to serve when Start returns.
package target

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"text/template"
	"time"

	"mcp-gateway/test/bench/backend"
	"mcp-gateway/test/bench/load"
	"mcp-gateway/test/freeport"
)

// Kind is a way to the backend.
type Kind string

// The kinds, in the order in which they are measured and shown.
const (
	Direct    Kind = "direct"     // client -> backend
	Plain     Kind = "plain"      // Envoy as a plain proxy
	Gateway   Kind = "gateway"    // this project
	Golang    Kind = "golang"     // the same in the filter for Go, which test/golanghost stands in for
	Guarded   Kind = "guarded"    // the same, for who has a token, with a rule about arguments
	Stateless Kind = "stateless"  // the same without, asked in the stateless revision
	MCPRouter Kind = "mcp_router" // Envoy's mcp and mcp_router filters
)

// Kinds returns all kinds in order.
func Kinds() []Kind { return []Kind{Direct, Plain, Gateway, Golang, Guarded, Stateless, MCPRouter} }

// Ours reports whether it is this project, with whatever settings.
func (k Kind) Ours() bool { return k == Gateway || k == Golang || k == Guarded || k == Stateless }

// prefix is what a client puts before a tool's name.
func (k Kind) prefix() string {
	switch {
	case k.Ours():
		return "bench_"
	case k == MCPRouter:
		return "bench__"
	default:
		return ""
	}
}

// keysFile is beside the configuration of Guarded.
const keysFile = "keys.json"

const (
	readyTimeout = 30 * time.Second
	// stopTimeout is twice what the gateway promises.
	stopTimeout = 10 * time.Second
	probePause  = 50 * time.Millisecond
)

var (
	//go:embed plain.yaml
	plainConfig string
	//go:embed mcp_router.yaml
	mcpRouterConfig string
	//go:embed gateway.yaml
	gatewayConfig string
)

// Options say what to start from.
type Options struct {
	// Envoy and GatewayBinary are paths of executables.
	Envoy, GatewayBinary string
	// Contrib is one of an Envoy that has contrib's filter for Go, for Golang.
	Contrib string
	// GatewayArgs are added to the gateway's arguments.
	GatewayArgs []string
	// Backend is host:port of the backend.
	Backend string
	// Dir takes configurations and logs.
	Dir string
}

// Target is one running way to the backend.
type Target struct {
	Kind Kind
	// Address is host:port of the endpoint.
	Address string
	// PID is the root of the target's processes, 0 for Direct.
	PID int

	name    string
	release func() // lets others have the address
	token   string // of Guarded
	cmd     *exec.Cmd
	done    chan error
}

// Spec completes a load for this target: its address and the exposed name of
// the backend's tool.
func (t *Target) Spec(tool string, spec load.Spec) load.Spec {
	spec.Address, spec.Tool = t.Address, t.Kind.prefix()+tool
	spec.Stateless, spec.Token = t.Kind == Stateless, t.token
	return spec
}

// Start starts a target and waits until a call comes through it.
func Start(ctx context.Context, kind Kind, o Options) (*Target, error) {
	t := &Target{Kind: kind, Address: o.Backend}
	if kind != Direct {
		if err := t.run(kind, o); err != nil {
			return nil, fmt.Errorf("start %s: %w", kind, err)
		}
	}
	if err := t.ready(ctx); err != nil {
		err = fmt.Errorf("start %s: %w%s", kind, err, t.logged())
		return nil, errors.Join(err, t.Stop())
	}
	return t, nil
}

func (t *Target) run(kind Kind, o Options) error {
	var err error
	if t.Address, t.release, err = freeport.Take(); err != nil {
		return err
	}
	t.name = filepath.Join(o.Dir, string(kind))
	if kind == Guarded {
		if t.token, err = issue(filepath.Join(o.Dir, keysFile)); err != nil {
			return err
		}
	}
	config, err := Config(kind, t.Address, o.Backend)
	if err != nil {
		return err
	}
	file := t.name + ".yaml"
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return err
	}
	if kind.Ours() {
		envoy := o.Envoy
		if kind == Golang {
			envoy = o.Contrib
		}
		args := []string{"run", "--config", file, "--listen", t.Address, "--envoy", envoy, "--concurrency", "1"}
		if kind == Golang {
			args = append(args, "--filter-host", "golang")
		}
		t.cmd = exec.Command(o.GatewayBinary, append(args, o.GatewayArgs...)...)
	} else {
		t.cmd = exec.Command(o.Envoy, "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
	}
	log, err := os.Create(t.name + ".log")
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	t.cmd.Stdout, t.cmd.Stderr = log, log
	// A group of its own: an interrupt at the terminal goes to the bench alone,
	// which then stops its targets in order.
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := t.cmd.Start(); err != nil {
		return err
	}
	t.PID = t.cmd.Process.Pid
	t.done = make(chan error, 1)
	go func() { t.done <- t.cmd.Wait() }()
	return nil
}

// ready calls until an answer is right.
func (t *Target) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	spec := t.Spec(backend.ToolEcho, load.Spec{Method: load.MethodCall, Size: 64})
	for {
		err := load.Probe(ctx, spec)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case ended := <-t.done:
			t.done <- ended
			return fmt.Errorf("ended: %v", ended)
		case <-time.After(probePause):
		}
	}
}

// Stop ends the target's processes and waits for them.
func (t *Target) Stop() error {
	if t.release != nil {
		defer t.release()
	}
	if t.cmd == nil {
		return nil
	}
	// What the root process leaves behind must not run beside the next cell.
	rest := func() { _ = syscall.Kill(-t.PID, syscall.SIGKILL) }
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-t.done:
		rest()
		return nil
	case <-time.After(stopTimeout):
	}
	rest()
	<-t.done
	return fmt.Errorf("stop %s: still there after %v, killed", t.Kind, stopTimeout)
}

// logged returns the end of the target's log for an error message.
func (t *Target) logged() string {
	if t.cmd == nil {
		return ""
	}
	data, err := os.ReadFile(t.name + ".log")
	if err != nil || len(data) == 0 {
		return ""
	}
	return "\n" + string(data[max(0, len(data)-2000):])
}

// Config returns the configuration with which a kind is started.
func Config(kind Kind, listen, backendAddress string) ([]byte, error) {
	text := map[Kind]string{Plain: plainConfig, MCPRouter: mcpRouterConfig}[kind]
	if kind.Ours() {
		text = gatewayConfig
	}
	if text == "" {
		return nil, fmt.Errorf("no configuration for %q", kind)
	}
	tmpl, err := template.New(string(kind)).Parse(text)
	if err != nil {
		return nil, err
	}
	v := struct {
		Host, BackendHost string
		Port, BackendPort int
		Servers           []string
		Guarded           bool
		Issuer, Resource  string
		Keys              string
	}{Servers: []string{"bench", "other"}, Guarded: kind == Guarded, Issuer: issuer, Resource: resource, Keys: keysFile}
	if v.Host, v.Port, err = split(listen); err != nil {
		return nil, err
	}
	if v.BackendHost, v.BackendPort, err = split(backendAddress); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = tmpl.Execute(&b, v)
	return b.Bytes(), err
}

func split(address string) (string, int, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.Atoi(port)
	return host, n, err
}
