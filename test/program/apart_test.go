package program

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// The parts as processes of their own, over TCP and with a secret, as containers
// run them.
func TestThePartsRunApart(t *testing.T) {
	t.Parallel()
	const secret = "MCP_GATEWAY_INTERNAL_SECRET=keep-it-to-yourself"
	config := demos(t)
	listen := harness.FreeAddr(t)
	config.Gateway = []string{"listen: " + listen}
	path := file(t, config.YAML())
	gateway := harness.Built(t, "mcp-gateway")
	xds, configs, public, internal := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)

	// In the order that needs the most patience: everybody waits for the next.
	bootstrap := exec.Command(gateway, harness.Args(t, "bootstrap", "--xds", xds)...)
	text, err := bootstrap.Output()
	if err != nil {
		t.Fatal(err)
	}
	envoyFile := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(envoyFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Start(t, "envoy", harness.EnvoyPath(t), []string{"-c", envoyFile, "--use-dynamic-base-id", "--concurrency", "2", "--log-level", "warning"},
		secret, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+filepath.Dir(harness.Library(t)))
	broker := harness.Start(t, "broker", gateway, []string{
		"broker", "--control-plane", "http://" + configs, "--listen", public, "--internal-listen", internal,
	}, secret)
	ask := func(path string) int {
		r, err := http.Get("http://" + internal + path) //nolint:gosec // an address of this test
		if err != nil {
			return 0
		}
		defer func() { _ = r.Body.Close() }()
		return r.StatusCode
	}
	harness.Eventually(t, "a broker that is healthy", func() bool { return ask("/healthz") == http.StatusOK })
	if got := ask("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz without configuration: %d", got)
	}
	controlplane := harness.Start(t, "controlplane", gateway, harness.Args(t, "controlplane", "--config", path, "--xds-listen", xds, "--config-listen", configs,
		"--broker", public, "--broker-internal", internal), secret)
	harness.Eventually(t, "a broker that is ready", func() bool { return ask("/readyz") == http.StatusOK })
	if got := ask("/v1/table"); got != http.StatusUnauthorized {
		t.Errorf("the internal API without its secret: %d", got)
	}

	url := "http://" + listen + "/mcp"
	probe := harness.NewClient(t, url)
	harness.Eventually(t, "Envoy", func() bool {
		r, err := probe.Try(t.Context(), "GET", "")
		return err == nil && r.Status == http.StatusBadRequest
	})
	c := harness.Connect(t, url)
	works(t, c)

	// Nobody needs the control plane but for changes.
	controlplane.Stop(stopLimit)
	works(t, c)
	broker.Stop(stopLimit)
	works(t, c)
}

// The commands that make run prints are for copying, so they must work.
func TestWhatMakeRunPrintsWorks(t *testing.T) {
	t.Parallel()
	listen, weather, cal := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	config := harness.Config{Servers: []harness.Server{
		{Name: "weather", URL: "http://" + weather + "/mcp", Prefix: "weather_"},
		{Name: "cal", URL: "http://" + cal + "/mcp", Prefix: "cal_"},
	}}
	p := harness.Start(t, "run.sh", filepath.Join(harness.Root(t), "scripts/run.sh"), nil,
		"LISTEN="+listen, "WEATHER="+weather, "CAL="+cal, "CONFIG="+file(t, config.YAML()))
	p.WaitLine(p.Stdout(), "Ctrl-C ends everything")
	lines, _ := p.Stdout().All()
	text := strings.Join(lines, "\n")
	_, text, _ = strings.Cut(text, "Try it in another shell")
	commands, client, ok := strings.Cut(text, "For the configuration of an MCP client")
	if !ok {
		t.Fatalf("stdout:\n%s", strings.Join(lines, "\n"))
	}
	var shell []string
	for line := range strings.Lines(commands) {
		if command, ok := strings.CutPrefix(line, "  "); ok {
			shell = append(shell, command)
		}
	}
	got, err := exec.Command("sh", "-eu", "-c", strings.Join(shell, "\n")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	wantAll(t, string(got), `"weather_get_weather"`, `"weather_get_forecast"`, `"cal_add_event"`, "Lisbon: light rain")
	_, port, _ := strings.Cut(listen, ":")
	wantAll(t, client, `"url": "http://mcp.127-0-0-1.sslip.io:`+port+`/mcp"`, `"transport": "streamable-http"`)
	p.Stop(stopLimit)
	refused(t, listen)
	refused(t, weather)
}
