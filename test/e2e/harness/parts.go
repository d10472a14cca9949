package harness

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Parts is the gateway as separate processes, as containers run it.
type Parts struct {
	URL          string
	ControlPlane *Process
	Broker       *Process
	Envoy        *Process

	t          testing.TB
	brokerArgs []string
}

// RunParts starts a control plane, a broker and an Envoy and waits until the
// endpoint opens sessions.
func RunParts(t testing.TB, config Config) *Parts {
	t.Helper()
	public, broker, internal, xds, brokers := FreeAddr(t), FreeAddr(t), FreeAddr(t), FreeAddr(t), FreeAddr(t)
	config.Gateway = append([]string{"listen: " + public}, config.Gateway...)
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(file, []byte(config.YAML()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &Parts{t: t, URL: "http://" + public + "/mcp"}
	p.brokerArgs = []string{"broker", "--control-plane", "http://" + brokers, "--listen", broker, "--internal-listen", internal}
	program := Built(t, "mcp-gateway")
	p.ControlPlane = Start(t, "controlplane", program, []string{"controlplane", "--config", file,
		"--xds-listen", xds, "--config-listen", brokers, "--broker", broker, "--broker-internal", internal})
	p.StartBroker()

	bootstrap := Start(t, "bootstrap", program, []string{"bootstrap", "--xds", xds})
	if code := bootstrap.ExitCode(Patience); code != 0 {
		t.Fatalf("bootstrap: exit code %d", code)
	}
	lines, _ := bootstrap.Stdout().All()
	p.startEnvoy(dir, lines)
	return p
}

// RunStatic is RunParts without a control plane: the broker reads the file, and
// Envoy has a static one that was made of it.
func RunStatic(t testing.TB, config Config) *Parts {
	t.Helper()
	public, broker, internal := FreeAddr(t), FreeAddr(t), FreeAddr(t)
	config.Gateway = append([]string{"listen: " + public}, config.Gateway...)
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(file, []byte(config.YAML()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &Parts{t: t, URL: "http://" + public + "/mcp"}
	p.brokerArgs = []string{"broker", "--config", file, "--listen", broker, "--internal-listen", internal}
	p.StartBroker()
	render := Start(t, "render", Built(t, "mcp-gateway"), []string{"render", file, "--broker", broker, "--broker-internal", internal})
	if code := render.ExitCode(Patience); code != 0 {
		t.Fatalf("render: exit code %d", code)
	}
	lines, _ := render.Stdout().All()
	p.startEnvoy(dir, lines)
	return p
}

// startEnvoy runs an Envoy with a configuration and waits for a first session.
func (p *Parts) startEnvoy(dir string, config []string) {
	t := p.t
	t.Helper()
	envoyFile := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(envoyFile, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Envoy = Start(t, "envoy", EnvoyPath(t), []string{"-c", envoyFile, "--disable-hot-restart", "--log-level", "warning", "--concurrency", "2"},
		"ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+filepath.Dir(Built(t, "libmcp_gateway.so")))
	c := NewClient(t, p.URL)
	Eventually(t, "first session", func() bool {
		r, err := c.Try(t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"`+Revision+
			`","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`)
		return err == nil && r.Status == http.StatusOK
	})
}

// StartBroker starts the broker, again if it was killed.
func (p *Parts) StartBroker() {
	p.t.Helper()
	p.Broker = Start(p.t, "broker", Built(p.t, "mcp-gateway"), p.brokerArgs)
}

// EnvoyPath is the Envoy under test: $ENVOY or the one that the build fetched.
func EnvoyPath(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("ENVOY"); path != "" {
		return path
	}
	return Tool(t, ".tools/envoy/1.39.3/envoy")
}
