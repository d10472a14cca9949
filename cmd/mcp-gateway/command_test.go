package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"mcp-gateway/internal/gatewayconfig"
)

// execute runs the program in this process.
func execute(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&errs)
	err = c.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestValidateListsEveryErrorWithItsLine(t *testing.T) {
	t.Parallel()
	path := write(t, "gateway:\n  listen: nowhere\nservers:\n  - name: a\n    url: ftp://x\n  - name: a\n    url: http://x/mcp\n    prefx: p_\n")
	out, _, err := execute(t, "validate", path)
	if err == nil || out != "" {
		t.Fatalf("error %v, output %q; want an error alone", err, out)
	}
	for _, want := range []string{"4 errors", path + ":2:", path + ":5:", path + ":6:", path + ":8:", "prefx"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestValidateSummarizesAGoodFile(t *testing.T) {
	t.Parallel()
	path := write(t, "servers:\n  - name: a\n    url: http://x/mcp\n    prefix: a_\n  - name: b\n    url: http://y/mcp\n    enabled: false\n"+
		"  - name: c\n    url: http://z/mcp\n    prefixPolicy: on-conflict\nvirtualServers: [{name: v}]\n")
	out, _, err := execute(t, "validate", path)
	if err != nil {
		t.Fatal(err)
	}
	want := path + " is fine: 2 of 3 servers enabled\n  a, prefix a_\n  b, not enabled\n  c, prefix c_ on conflict\n  /mcp/v, virtual\n"
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The broker may run elsewhere.
func TestValidateOnlyWarnsOfAProgramThatIsNotHere(t *testing.T) {
	t.Parallel()
	path := write(t, "servers:\n  - name: a\n    command: [sh]\n  - name: b\n    command: [no-such-program-1]\n    prefix: b_\n"+
		"  - name: c\n    command: [/no/such/program]\n    prefix: c_\n  - name: d\n    command: [no-such-program-2]\n    enabled: false\n")
	out, _, err := execute(t, "validate", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 warnings:\n",
		path + ": warning: servers[1].command[0]: this machine has no program \"no-such-program-1\"",
		path + ": warning: servers[2].command[0]: this machine has no program \"/no/such/program\"",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not say %q", out, want)
		}
	}
}

// Nor are the directories made that pins.state and the access log are in.
func TestValidateOnlyWarnsOfADirectoryThatIsNotHere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for state, warns := range map[string]bool{dir: false, filepath.Join(dir, "absent"): true} {
		path := write(t, "servers: []\nintegrity: {pins: {onChange: quarantine, state: "+state+"/pins.json}}\n")
		out, _, err := execute(t, "validate", path)
		want := fmt.Sprintf("%s: warning: integrity.pins.state: this machine has no directory %q; it has to be there", path, state)
		if err != nil || strings.Contains(out, want) != warns {
			t.Errorf("%v %s", err, out)
		}
		path = write(t, "servers: [{name: a, command: [sh], dir: "+state+"}]\n")
		out, _, err = execute(t, "validate", path)
		want = fmt.Sprintf("%s: warning: servers[0].dir: this machine has no directory %q; it has to be there where the broker runs", path, state)
		if err != nil || strings.Contains(out, want) != warns {
			t.Errorf("%v %s", err, out)
		}
		path = write(t, "gateway: {accessLog: "+state+"/a.log}\nservers: []\n")
		out, _, err = execute(t, "validate", path)
		want = fmt.Sprintf("%s: warning: gateway.accessLog: this machine has no directory %q; it has to be there where Envoy runs", path, state)
		if err != nil || strings.Contains(out, want) != warns {
			t.Errorf("%v %s", err, out)
		}
	}
}

func TestEveryExampleIsFine(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"config.example.yaml", "envoy/gateway.yaml", "envoy/compose/gateway.yaml"} {
		if _, _, err := execute(t, "validate", filepath.Join("../..", path)); err != nil {
			t.Error(err)
		}
	}
}

func TestRenderPrintsAnEnvoyWithoutControlPlane(t *testing.T) {
	t.Parallel()
	path := write(t, "servers:\n  - name: a\n    url: http://x/mcp\n")
	out, _, err := execute(t, "render", path, "--broker", "broker:1", "--broker-internal", "unix:/run/b.sock", "--admin", "127.0.0.1:9901")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Admin   map[string]any `yaml:"admin"`
		Dynamic map[string]any `yaml:"dynamic_resources"`
		Static  struct {
			Clusters []struct{ Name string } `yaml:"clusters"`
		} `yaml:"static_resources"`
	}
	if err := yaml.Unmarshal([]byte(out), &config); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range config.Static.Clusters {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"mcp-broker", "mcp-broker-internal", "mcp-server-a@http://x"}, names); diff != "" {
		t.Errorf("clusters, -want +got:\n%s", diff)
	}
	if config.Admin == nil || config.Dynamic != nil {
		t.Errorf("admin %v, dynamic resources %v", config.Admin, config.Dynamic)
	}
	if _, _, err := execute(t, "render", path, "--admin", "0.0.0.0:9901"); err == nil {
		t.Error("an admin interface open to the network was rendered")
	}
}

func TestRenderForContribsFilterForGo(t *testing.T) {
	t.Parallel()
	path := write(t, "servers: []\n")
	out, _, err := execute(t, "render", path, "--filter-host", "golang", "--filter-library", "/opt/x.so", "--broker-internal", "unix:/run/b.sock")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"envoy.extensions.filters.http.golang.v3alpha.Config", "library_path: /opt/x.so", "internalAddress: unix:/run/b.sock", "stats_tags:"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out, _, err := execute(t, "bootstrap", "--filter-host", "golang"); err != nil || !strings.Contains(out, "stats_tags:") {
		t.Errorf("bootstrap: %v\n%s", err, out)
	}
}

func TestBootstrapNamesTheControlPlane(t *testing.T) {
	t.Parallel()
	out, _, err := execute(t, "bootstrap", "--xds", "controlplane:18000", "--node-id", "edge-7")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"edge-7", "address: controlplane", "18000", "DELTA_GRPC"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestListenersOpenToTheNetworkNeedTheSecret(t *testing.T) {
	t.Parallel()
	path := write(t, "servers: []\n")
	for _, args := range [][]string{
		{"broker", "--config", path, "--internal-listen", "0.0.0.0:0"},
		{"broker", "--config", path, "--listen", "0.0.0.0:0", "--internal-listen", "127.0.0.1:0"},
		{"controlplane", "--config", path, "--config-listen", ":0"},
	} {
		if _, _, err := execute(t, args...); err == nil || !strings.Contains(err.Error(), gatewayconfig.SecretEnv) {
			t.Errorf("%v: error %v, want one that names %s", args, err, gatewayconfig.SecretEnv)
		}
	}
}

func TestSecretComesFromTheVariableOrAFile(t *testing.T) {
	t.Parallel()
	file, empty := write(t, "from-file\n"), write(t, "\n")
	tests := []struct {
		name, value, path, want string
		fails                   bool
	}{
		{"none", "", "", "", false},
		{"variable", "plain", "", "plain", false},
		{"file", "", file, "from-file", false},
		{"both", "plain", file, "", true},
		{"absent", "", file + ".absent", "", true},
		{"empty", "", empty, "", true},
	}
	for _, test := range tests {
		env := map[string]string{gatewayconfig.SecretEnv: test.value, secretFileEnv: test.path}
		got, err := secret(func(name string) string { return env[name] })
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}

func TestHealthcheckFollowsTheStatus(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good" {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}))
	t.Cleanup(s.Close)
	if out, _, err := execute(t, "healthcheck", s.URL+"/good"); err != nil || out != "ok\n" {
		t.Errorf("good: %q, %v", out, err)
	}
	if _, _, err := execute(t, "healthcheck", s.URL+"/bad"); err == nil || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("bad: %v", err)
	}
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	path := write(t, "servers: []\n")
	for _, args := range [][]string{
		{"run"}, {"broker"}, {"controlplane"}, {"validate"}, {"nonsense"},
		{"broker", "--config", path, "--control-plane", "http://x"},
		{"run", "--config", path, "--log-level", "loud"},
		{"run", "--config", path, "--log-format", "xml"},
		{"run", "--config", path, "--listen", "nowhere"},
		{"run", "--config", path, "--drain", "-1s"},
		{"run", "--config", path, "--concurrency", "0"},
		{"run", "--config", path, "--envoy-log-level", "loud"},
		{"run", "--config", path, "--filter-host", "wasm"},
		{"render", path, "--filter-host", "wasm"},
	} {
		if _, _, err := execute(t, args...); err == nil {
			t.Errorf("%v was accepted", args)
		} else if flag := args[max(0, len(args)-2)]; strings.HasPrefix(flag, "--") && args[0] == "run" && !strings.Contains(err.Error(), flag) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestAFileWithoutItsFlagIsHintedAt(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"run", "broker", "controlplane"} {
		if _, _, err := execute(t, command, "gw.yaml"); err == nil || !strings.Contains(err.Error(), "--config FILE") || !strings.Contains(err.Error(), "gw.yaml") {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func TestVersionAndSchema(t *testing.T) {
	t.Parallel()
	if out, _, err := execute(t, "version"); err != nil || !strings.HasPrefix(out, "mcp-gateway ") {
		t.Errorf("version: %q, %v", out, err)
	} else if flag, _, err := execute(t, "--version"); err != nil || flag != out {
		t.Errorf("--version: %q, %v", flag, err)
	}
	if out, _, err := execute(t, "schema"); err != nil || !strings.Contains(out, `"$schema"`) {
		t.Errorf("schema: %.80q, %v", out, err)
	}
}
