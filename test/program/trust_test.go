package program

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// secured is a server behind TLS, which wants a token that it gives away at /token,
// and the file of its authority.
func secured(t *testing.T, server string) (address, authority string) {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	to.Path = ""
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, FlushInterval: -1}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"t0ken","token_type":"Bearer","expires_in":3600}`)
		case r.Header.Get("Authorization") != "Bearer t0ken":
			http.Error(w, "no token", http.StatusForbidden)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL, file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
}

// The authorities of --trusted-ca are Envoy's and the broker's, for servers and for
// what gives away tokens.
func TestAPrivateAuthorityIsTrustedByAllParts(t *testing.T) {
	t.Parallel()
	config := demos(t)
	address, authority := secured(t, config.Servers[0].URL)
	config.Servers[0].URL = address + "/mcp"
	config.Servers[0].Extra = []string{"oauth: {tokenUrl: " + address + "/token, clientId: gateway, clientSecret: hush}"}
	g := harness.Run(t, config, "--trusted-ca", authority)
	c := harness.Connect(t, g.URL)
	harness.Eventually(t, "the tools of the server behind TLS", func() bool { return len(c.Names("tools/list")) == 6 })
	works(t, c)
}

func TestAuthoritiesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	config, absent := file(t, "servers: []\n"), filepath.Join(t.TempDir(), "ca.pem")
	for _, part := range [][]string{
		{"run", "--config", config, "--listen", "127.0.0.1:0"},
		{"broker", "--config", config, "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"},
	} {
		wantAll(t, fails(t, 10*time.Second, append(part, "--trusted-ca", absent)...), "--trusted-ca", absent)
	}
	for _, part := range [][]string{
		{"run", "--config", config, "--listen", "127.0.0.1:0"},
		{"broker", "--config", config, "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"},
		{"controlplane", "--config", config, "--xds-listen", "127.0.0.1:0", "--config-listen", "127.0.0.1:0"},
	} {
		wantAll(t, fails(t, 10*time.Second, append(part, "--trusted-ca", config)...), "--trusted-ca", config, "no certificate in PEM")
	}
}

// Envoys' file is where they are, which need not be where the control plane is.
func TestAControlPlaneNeedNotHaveEnvoysAuthorities(t *testing.T) {
	t.Parallel()
	config, absent := file(t, "servers: []\n"), filepath.Join(t.TempDir(), "ca.pem")
	p := harness.Start(t, "mcp-gateway", harness.Built(t, "mcp-gateway"),
		[]string{"controlplane", "--config", config, "--xds-listen", "127.0.0.1:0", "--config-listen", "127.0.0.1:0", "--trusted-ca", absent})
	wantAll(t, p.WaitLine(p.Stderr(), "the file of --trusted-ca is not here"), absent)
	p.WaitLine(p.Stderr(), "configuration loaded")
	p.Stop(stopLimit)
}
