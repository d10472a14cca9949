package envoyconfig_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/envoytest"
)

// golangParams are those of an Envoy with contrib's filter for Go.
func golangParams() envoyconfig.Params {
	p := params
	p.Host, p.Library = envoyconfig.HostGolang, "/opt/libmcp_gateway_golang.so"
	return p
}

func TestGolangGolden(t *testing.T) {
	t.Parallel()
	g, p := load(t, "testdata/one-server.in.yaml"), golangParams()
	static, err := envoyconfig.Render(g, p)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/golang.out.yaml", static)
	golden(t, "testdata/golang.xds.yaml", resourcesFor(t, g, p))
	b, err := envoyconfig.Bootstrap(p)
	if err != nil {
		t.Fatal(err)
	}
	text, err := envoyconfig.YAML(b)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/golang-bootstrap.yaml", text)
}

// The static file for a contrib Envoy is what render makes of the gateway beside it.
func TestGolangExample(t *testing.T) {
	t.Parallel()
	text, err := envoyconfig.Render(load(t, "../../envoy/gateway.yaml"), envoyconfig.Params{
		Host:           envoyconfig.HostGolang,
		BrokerPublic:   "127.0.0.1:9080",
		BrokerInternal: "127.0.0.1:9081",
		Admin:          "127.0.0.1:9901",
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../envoy/golang.yaml", text)
}

func TestUnknownHost(t *testing.T) {
	t.Parallel()
	p := params
	p.Host = "wasm"
	for name, make := range map[string]func() error{
		"static":    func() error { _, err := envoyconfig.Static(load(t, "testdata/one-server.in.yaml"), p); return err },
		"xds":       func() error { _, err := envoyconfig.Build(load(t, "testdata/one-server.in.yaml"), p); return err },
		"bootstrap": func() error { _, err := envoyconfig.Bootstrap(p); return err },
	} {
		if err := make(); err == nil || !strings.Contains(err.Error(), `"wasm" is neither module nor golang`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Contrib's filter for Go lets everything pass if the library has not registered
// the plugin. Then no request reaches the broker or a server, not even one that
// brings the mark, or a server's name, itself.
func TestEnvoyWithoutThePluginRefuses(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		server := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "server") })
		r := run(t, binary, "", "", fmt.Sprintf("{name: a, url: '%s/mcp'}", server.url), envoyconfig.Params{Host: envoyconfig.HostGolang})
		for name, headers := range map[string][]string{
			"plain":  nil,
			"long":   {"X-Mcp-Long", "1"},
			"mark":   {"X-Mcp-Filter", "mcp_gateway"},
			"server": {"X-Mcp-Cluster", envoytest.Cluster(r.g, "a")},
			"broker": {"X-Mcp-Cluster", "mcp-broker"},
		} {
			resp, body := r.post(http.DefaultClient, "{}", headers...)
			if resp.StatusCode != 503 || resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"code":-32603,"message":"the gateway's filter does not run`) {
				t.Errorf("%s: %d %v %s", name, resp.StatusCode, resp.Header, body)
			}
		}
		if len(r.broker.requests)+len(server.requests) > 0 {
			t.Error("a request has passed without the filter")
		}
		if resp, body := r.post(http.DefaultClient, "{}", envoytest.HeaderPass, "1"); resp.StatusCode != 200 || body != "broker" {
			t.Errorf("with the mark: %d %s", resp.StatusCode, body)
		}
		if resp, body := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, "a"); resp.StatusCode != 200 || body != "server" {
			t.Errorf("with a server: %d %s", resp.StatusCode, body)
		}
		if resp, body := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, "gone"); resp.StatusCode != 404 || strings.Contains(body, "filter") {
			t.Errorf("with a server that Envoy does not know: %d %s", resp.StatusCode, body)
		}
	})
}

// What is for contrib's filter alone is all that a stock Envoy does not know.
func TestEnvoyAcceptsTheRestForGolang(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, envoy string) {
		p := golangParams()
		envoytest.Validate(t, envoy, standIn(t, load(t, "testdata/every-setting.in.yaml"), p), "")
		b, err := envoyconfig.Bootstrap(p)
		if err != nil {
			t.Fatal(err)
		}
		envoytest.Validate(t, envoy, b, "")
	})
}

// The plugin's name is the library's, which registers under it.
func TestPluginName(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../filter/golang/golang.go")
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := os.ReadFile(filepath.Join("testdata", "golang.out.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(source, []byte(`const Name = "mcp_gateway"`)) || !bytes.Contains(rendered, []byte("plugin_name: mcp_gateway\n")) {
		t.Error("library and configuration have names of their own")
	}
}
