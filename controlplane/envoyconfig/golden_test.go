package envoyconfig_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/source/file"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var params = envoyconfig.Params{
	BrokerPublic:   "unix:/run/mcp-gateway/broker.sock",
	BrokerInternal: "broker.internal:9090",
	ControlPlane:   "unix:/run/mcp-gateway/xds.sock",
	Admin:          "unix:/run/mcp-gateway/admin.sock",
}

// load reads a case; warnings are of no interest here.
func load(t testing.TB, path string) *gateway.Gateway {
	t.Helper()
	g, problems := file.Load(path, func(string) (string, bool) { return "", false })
	if g == nil {
		t.Fatal(problems)
	}
	return g
}

func parse(t testing.TB, text string) *gateway.Gateway {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(t, path)
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: -want +got\n%s", path, diff)
	}
}

// A case is a file testdata/NAME.in.yaml; NAME.out.yaml is the static
// configuration, NAME.xds.yaml the resources.
func TestGolden(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases in testdata", err)
	}
	for _, in := range cases {
		stem := strings.TrimSuffix(in, ".in.yaml")
		t.Run(filepath.Base(stem), func(t *testing.T) {
			t.Parallel()
			g := load(t, in)
			static, err := envoyconfig.Render(g, params)
			if err != nil {
				t.Fatal(err)
			}
			discovered := resources(t, g)
			golden(t, stem+".out.yaml", static)
			golden(t, stem+".xds.yaml", discovered)
			noSecrets(t, g, append(static, discovered...))
		})
	}
}

// noSecrets checks that what Envoy is told, and shows in /config_dump, holds
// nothing that proves the gateway to a server.
func noSecrets(t *testing.T, g *gateway.Gateway, text []byte) {
	t.Helper()
	for _, s := range g.Servers {
		for name, value := range s.Headers {
			if bytes.Contains(text, []byte(value)) {
				t.Errorf("server %s: the value of %s is there", s.Name, name)
			}
		}
		if s.Credential != "" && bytes.Contains(text, []byte(s.Credential)) {
			t.Errorf("server %s: its credential is there", s.Name)
		}
		if s.OAuth != nil && bytes.Contains(text, []byte(s.OAuth.ClientSecret)) {
			t.Errorf("server %s: the secret of its oauth is there", s.Name)
		}
	}
	if g.Auth == nil {
		return
	}
	for _, c := range g.Auth.APIKeys.Clients {
		if bytes.Contains(text, []byte(c.Key)) {
			t.Errorf("the API key of %s is there", c.Name)
		}
	}
}

// resources are those of g as YAML documents, listener first.
func resources(t *testing.T, g *gateway.Gateway) []byte {
	t.Helper()
	return resourcesFor(t, g, params)
}

func resourcesFor(t *testing.T, g *gateway.Gateway, p envoyconfig.Params) []byte {
	t.Helper()
	r, err := envoyconfig.Build(g, p)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	byType := r.ByType()
	for _, kind := range []string{envoyconfig.TypeListener, envoyconfig.TypeExtension, envoyconfig.TypeRoute, envoyconfig.TypeCluster, envoyconfig.TypeEndpoint} {
		for _, m := range byType[kind] {
			text, err := envoyconfig.YAML(m)
			if err != nil {
				t.Fatal(err)
			}
			out.WriteString("--- # " + kind + "\n")
			out.Write(text)
		}
	}
	return out.Bytes()
}

func TestBootstrapGolden(t *testing.T) {
	t.Parallel()
	b, err := envoyconfig.Bootstrap(params)
	if err != nil {
		t.Fatal(err)
	}
	text, err := envoyconfig.YAML(b)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/bootstrap.yaml", text)
}

// The static file in envoy/ is what render makes of the gateway beside it.
func TestExample(t *testing.T) {
	t.Parallel()
	text, err := envoyconfig.Render(load(t, "../../envoy/gateway.yaml"), envoyconfig.Params{
		BrokerPublic:   "127.0.0.1:9080",
		BrokerInternal: "127.0.0.1:9081",
		Admin:          "127.0.0.1:9901",
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../envoy/envoy.yaml", text)
}

func TestServersNeverTouchListenerOrFilter(t *testing.T) {
	t.Parallel()
	build := func(text string) *envoyconfig.Resources {
		r, err := envoyconfig.Build(parse(t, text), params)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := build("servers: []")
	for name, text := range map[string]string{
		"one server":   `servers: [{name: a, url: "http://a/mcp"}]`,
		"two servers":  `servers: [{name: a, url: "http://a/mcp"}, {name: b, url: "https://b/mcp"}]`,
		"all settings": `servers: [{name: a, url: "http://a/mcp", prefix: x, host: h, timeout: 1s, idleTimeout: 1s, connectTimeout: 1s, listTimeout: 1m, headers: {a: b}, credential: c}]`,
		"disabled":     `servers: [{name: a, url: "http://a/mcp", enabled: false}]`,
		"sessions":     `{servers: [], sessions: {store: "redis://r", idleTimeout: 1m, lifetime: 1h}}`,
		"instructions": `{servers: [], gateway: {instructions: hi, name: n}}`,
	} {
		after := build(text)
		if diff := cmp.Diff(before.Listeners, after.Listeners, protocmp.Transform()); diff != "" {
			t.Errorf("%s: the listener changed\n%s", name, diff)
		}
		if diff := cmp.Diff(before.Extensions, after.Extensions, protocmp.Transform()); diff != "" {
			t.Errorf("%s: the filter changed\n%s", name, diff)
		}
	}
	if after := build(`{servers: [], limits: {body: 1MiB}}`); cmp.Equal(before.Extensions, after.Extensions, protocmp.Transform()) {
		t.Error("the comparison sees no change at all")
	}
}

func TestDeterministic(t *testing.T) {
	t.Parallel()
	g := load(t, "testdata/every-setting.in.yaml")
	first := resources(t, g)
	for range 20 {
		if !bytes.Equal(first, resources(t, g)) {
			t.Fatal("two runs differ")
		}
	}
}

func TestBadAddresses(t *testing.T) {
	t.Parallel()
	g := parse(t, "servers: []")
	for name, edit := range map[string]func(*envoyconfig.Params){
		"broker missing":            func(p *envoyconfig.Params) { p.BrokerPublic = "" },
		"broker without port":       func(p *envoyconfig.Params) { p.BrokerPublic = "localhost" },
		"broker without host":       func(p *envoyconfig.Params) { p.BrokerPublic = ":80" },
		"broker on port 0":          func(p *envoyconfig.Params) { p.BrokerPublic = "localhost:0" },
		"socket without path":       func(p *envoyconfig.Params) { p.BrokerInternal = "unix:" },
		"socket path too long":      func(p *envoyconfig.Params) { p.BrokerInternal = "unix:/" + strings.Repeat("a", 107) },
		"admin on every address":    func(p *envoyconfig.Params) { p.Admin = "0.0.0.0:9901" },
		"admin on a name":           func(p *envoyconfig.Params) { p.Admin = "admin.example.com:9901" },
		"admin without port":        func(p *envoyconfig.Params) { p.Admin = "127.0.0.1" },
		"admin socket without path": func(p *envoyconfig.Params) { p.Admin = "unix:" },
	} {
		p := params
		edit(&p)
		if _, err := envoyconfig.Static(g, p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	p := params
	p.ControlPlane = ""
	if _, err := envoyconfig.Bootstrap(p); err == nil {
		t.Error("a bootstrap without control plane")
	}
}
