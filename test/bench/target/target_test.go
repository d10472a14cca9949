package target_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"mcp-gateway/test/bench/backend"
	"mcp-gateway/test/bench/target"
)

func TestConfigIsYAMLWithItsAddresses(t *testing.T) {
	t.Parallel()
	for kind, wants := range map[target.Kind][]string{
		target.Plain:     {"port_value: 1001", "port_value: 9101"},
		target.MCPRouter: {"port_value: 1001", "port_value: 9101", `"127.0.0.1:9101"`, "name: other"},
		target.Gateway:   {"http://127.0.0.1:9101/mcp", "prefix: bench_", "prefix: other_"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			config, err := target.Config(kind, "127.0.0.1:1001", "127.0.0.1:9101")
			if err != nil {
				t.Fatal(err)
			}
			var any map[string]any
			if err := yaml.Unmarshal(config, &any); err != nil {
				t.Errorf("%v in\n%s", err, config)
			}
			for _, want := range wants {
				if !strings.Contains(string(config), want) {
					t.Errorf("no %q in\n%s", want, config)
				}
			}
		})
	}
	if _, err := target.Config(target.Direct, "127.0.0.1:1", "127.0.0.1:2"); err == nil {
		t.Error("the backend alone has a configuration")
	}
}

func TestStartReportsWhyATargetEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "envoy")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho the reason\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := target.Start(t.Context(), target.Plain, target.Options{Envoy: broken, Backend: "127.0.0.1:1", Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("got %v", err)
	}
}

func TestStartDirectNeedsTheBackendOnly(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() { _ = backend.New(2).Serve(l) }()
	started, err := target.Start(t.Context(), target.Direct, target.Options{Backend: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if started.PID != 0 || started.Address != l.Addr().String() {
		t.Errorf("target %+v", started)
	}
	if err := started.Stop(); err != nil {
		t.Error(err)
	}
}

func TestStartGivesTheGatewayTheSameEnvoyAndOneWorker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gateway := filepath.Join(dir, "mcp-gateway")
	if err := os.WriteFile(gateway, []byte("#!/bin/sh\necho \"args $*\"\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := target.Start(t.Context(), target.Gateway, target.Options{
		Envoy: "/opt/envoy", GatewayBinary: gateway, GatewayArgs: []string{"--log-level", "warn"}, Backend: "127.0.0.1:1", Dir: dir,
	})
	if err == nil {
		t.Fatal("a gateway that ended was ready")
	}
	for _, want := range []string{"args run --config " + filepath.Join(dir, "gateway.yaml"), "--listen 127.0.0.1:", "--envoy /opt/envoy --concurrency 1 --log-level warn"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
