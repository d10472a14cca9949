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
	URL string
	// Admin is host:port of Envoy's admin interface, Internal that of the broker's
	// internal API; of RunParts.
	Admin, Internal string

	ControlPlane *Process
	Broker       *Process
	Envoy        *Process

	t          testing.TB
	file       string
	brokerArgs []string
}

// RunParts starts a control plane, a broker and an Envoy, which gets further
// arguments, and waits until the endpoint opens sessions.
func RunParts(t testing.TB, config Config, envoyArgs ...string) *Parts {
	t.Helper()
	p, file := newParts(t, config)
	broker, internal, xds, brokers := FreeAddr(t), FreeAddr(t), FreeAddr(t), FreeAddr(t)
	p.brokerArgs = []string{"broker", "--control-plane", "http://" + brokers, "--listen", broker, "--internal-listen", internal}
	p.ControlPlane = Start(t, "controlplane", Built(t, "mcp-gateway"), Args(t, "controlplane", "--config", file,
		"--xds-listen", xds, "--config-listen", brokers, "--broker", broker, "--broker-internal", internal))
	p.StartBroker()
	p.Admin, p.Internal = FreeAddr(t), internal
	p.startEnvoy(filepath.Dir(file), printed(t, "bootstrap", "--xds", xds, "--admin", p.Admin), envoyArgs...)
	return p
}

// RunStatic is RunParts without a control plane: the broker reads the file, and
// Envoy has a static one that was made of it.
func RunStatic(t testing.TB, config Config) *Parts {
	t.Helper()
	return RunEdited(t, config)
}

// RunEdited is RunStatic with texts of Envoy's configuration replaced, which must
// be in it: what takes minutes can be seen in seconds.
func RunEdited(t testing.TB, config Config, oldnew ...string) *Parts {
	t.Helper()
	p, file := newParts(t, config)
	broker, internal := FreeAddr(t), FreeAddr(t)
	p.brokerArgs = []string{"broker", "--config", file, "--listen", broker, "--internal-listen", internal}
	p.StartBroker()
	lines := printed(t, "render", file, "--broker", broker, "--broker-internal", internal)
	text := strings.Join(lines, "\n")
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("Envoy's configuration has no %q", oldnew[i])
		}
	}
	p.startEnvoy(filepath.Dir(file), strings.Split(strings.NewReplacer(oldnew...).Replace(text), "\n"))
	return p
}

// newParts writes the configuration file of a gateway that is still to start.
func newParts(t testing.TB, config Config) (p *Parts, file string) {
	t.Helper()
	public := FreeAddr(t)
	config.Gateway = append([]string{"listen: " + public}, config.Gateway...)
	p = &Parts{t: t, URL: "http://" + public + "/mcp", file: filepath.Join(t.TempDir(), "gateway.yaml")}
	p.write(config)
	return p, p.file
}

// Reload replaces the configuration file, but for the endpoint's address.
func (p *Parts) Reload(config Config) {
	p.t.Helper()
	addr, _, _ := strings.Cut(strings.TrimPrefix(p.URL, "http://"), "/")
	config.Gateway = append([]string{"listen: " + addr}, config.Gateway...)
	p.write(config)
}

func (p *Parts) write(config Config) {
	p.t.Helper()
	next := p.file + ".next"
	if err := os.WriteFile(next, []byte(config.YAML()), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(next, p.file); err != nil {
		p.t.Fatal(err)
	}
}

// printed returns what a command of the gateway writes, line by line.
func printed(t testing.TB, command string, args ...string) []string {
	t.Helper()
	p := Start(t, command, Built(t, "mcp-gateway"), Args(t, command, args...))
	if code := p.ExitCode(Patience); code != 0 {
		t.Fatalf("%s: exit code %d", command, code)
	}
	lines, _ := p.Stdout().All()
	return lines
}

// startEnvoy runs an Envoy with a configuration and waits for a first session.
func (p *Parts) startEnvoy(dir string, config []string, args ...string) {
	t := p.t
	t.Helper()
	envoyFile := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(envoyFile, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Envoy = Start(t, "envoy", EnvoyPath(t), append([]string{"-c", envoyFile, "--disable-hot-restart", "--log-level", "warning", "--concurrency", "2"}, args...),
		"ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+filepath.Dir(Library(t)))
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
