package envoyconfig_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/envoytest"
	"mcp-gateway/controlplane/gateway"
)

// standIn is the static configuration with the stand-in for the filter.
func standIn(t testing.TB, g *gateway.Gateway, p envoyconfig.Params) *bootstrapv3.Bootstrap {
	t.Helper()
	b, err := envoyconfig.Static(g, p)
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Replace(t, b.StaticResources.Listeners[0])
	return b
}

// Every golden case is one that Envoy accepts; with the filter itself if its
// module is built.
func TestEnvoyAccepts(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, envoy string) {
		cases, err := filepath.Glob("testdata/*.in.yaml")
		if err != nil || len(cases) == 0 {
			t.Fatal("no cases in testdata", err)
		}
		for _, in := range cases {
			t.Run(strings.TrimSuffix(filepath.Base(in), ".in.yaml"), func(t *testing.T) {
				g := load(t, in)
				if g.AccessLog != gateway.AccessLogOff && g.AccessLog != gateway.AccessLogStdout {
					g.AccessLog = filepath.Join(t.TempDir(), "access.log")
				}
				envoytest.Validate(t, envoy, standIn(t, g, params), "")
				bin := filepath.Join(envoytest.Root(t), "bin")
				if _, err := os.Stat(filepath.Join(bin, "libmcp_gateway.so")); err != nil {
					return
				}
				b, err := envoyconfig.Static(g, params)
				if err != nil {
					t.Fatal(err)
				}
				envoytest.Validate(t, envoy, b, bin)
			})
		}
		b, err := envoyconfig.Bootstrap(params)
		if err != nil {
			t.Fatal(err)
		}
		envoytest.Validate(t, envoy, b, "")
	})
}

// backend is an HTTP server that remembers the requests it got.
type backend struct {
	url      string
	requests chan *http.Request // bodies are read
}

// got is the request that was just answered.
func (b *backend) got(t *testing.T) *http.Request {
	t.Helper()
	select {
	case r := <-b.requests:
		return r
	default:
		t.Fatal("the request went elsewhere")
		return nil
	}
}

func serve(t *testing.T, l net.Listener, answer http.HandlerFunc) *backend {
	t.Helper()
	b := &backend{url: "http://" + l.Addr().String(), requests: make(chan *http.Request, 100)}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		r.ContentLength = n
		b.requests <- r
		answer(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return b
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// running is an Envoy in front of a broker and the servers of a configuration.
type running struct {
	t      *testing.T
	g      *gateway.Gateway
	envoy  *envoytest.Envoy
	broker *backend
	url    string
}

// run starts Envoy with the servers of YAML; gateway is further YAML.
func run(t *testing.T, binary, gatewayYAML, limits, servers string, p envoyconfig.Params) *running {
	t.Helper()
	socket := envoytest.Socket(t, "broker")
	broker := serve(t, listen(t, "unix", socket), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Mcp-Session-Id", "of-the-gateway")
		_, _ = io.WriteString(w, "broker")
	})
	g := parse(t, "gateway: {listen: '127.0.0.1:0', "+gatewayYAML+"}\nlimits: {"+limits+"}\nservers: ["+servers+"]\n")
	p.BrokerPublic, p.BrokerInternal = "unix:"+socket, "unix:"+socket
	e := envoytest.Start(t, binary, standIn(t, g, p))
	return &running{t: t, g: g, envoy: e, broker: broker, url: "http://" + e.Listener(t, envoyconfig.ListenerName) + "/mcp"}
}

// post sends body with headers (name, value, ...) and returns the answer read. The
// value of HeaderServer may be a server's name.
func (r *running) post(client *http.Client, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		value := headers[i+1]
		if headers[i] == envoytest.HeaderServer && !strings.HasPrefix(value, "mcp-") {
			value = envoytest.Cluster(r.g, value)
		}
		req.Header.Add(headers[i], value)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(text)
}

func TestEnvoyRoutes(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		answer := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", "secret/1.0")
			_, _ = io.WriteString(w, "server")
		}
		plain := serve(t, listen(t, "tcp", "127.0.0.1:0"), answer)
		r := run(t, binary, "", "", fmt.Sprintf("{name: plain, url: '%s/mcp', headers: {Authorization: of-the-server}}", plain.url), envoyconfig.Params{})

		own := []string{"Authorization", "Bearer client", "Cookie", "c=d", "Proxy-Authorization", "p", "Accept-Encoding", "gzip", "X_Mcp_Cluster", envoytest.Cluster(r.g, "plain"), "X-Other", "kept"}
		t.Run("ToAServer", func(t *testing.T) {
			resp, body := r.post(http.DefaultClient, "{}", append(own, envoytest.HeaderServer, "plain")...)
			got := plain.got(t)
			if resp.StatusCode != 200 || body != "server" {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			for _, name := range []string{"X-Mcp-Cluster", "X_mcp_cluster", "X_Mcp_Cluster", "X-Envoy-Expected-Rq-Timeout-Ms"} {
				if _, ok := got.Header[name]; ok {
					t.Errorf("the server got %s: %s", name, got.Header.Get(name))
				}
			}
			if got.Header.Get("X-Other") != "kept" || got.ContentLength != 2 {
				t.Errorf("the server got %v, %d bytes", got.Header, got.ContentLength)
			}
			if time := resp.Header.Get("X-Envoy-Upstream-Service-Time"); time != "" {
				t.Errorf("the client got x-envoy-upstream-service-time: %s", time)
			}
			if s := resp.Header.Get("Server"); s != "mcp-gateway" {
				t.Errorf("the client got server: %s", s)
			}
		})
		t.Run("ToTheBroker", func(t *testing.T) {
			// The header that chooses a server is none that a client may send.
			resp, body := r.post(http.DefaultClient, "{}", append(own, "X-Mcp-Cluster", envoytest.Cluster(r.g, "plain"))...)
			got := r.broker.got(t)
			if resp.StatusCode != 200 || body != "broker" || resp.Header.Get("Mcp-Session-Id") != "of-the-gateway" {
				t.Errorf("%d %s %v", resp.StatusCode, body, resp.Header)
			}
			if got.Header.Get("Authorization") != "Bearer client" || got.Header.Get("X-Mcp-Cluster") != "" {
				t.Errorf("the broker got %v", got.Header)
			}
		})
		t.Run("UnknownServer", func(t *testing.T) {
			if resp, body := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, "gone"); resp.StatusCode != 404 {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if len(r.broker.requests) != 0 {
				t.Error("the broker got the call")
			}
		})
		t.Run("OtherClusters", func(t *testing.T) {
			// Whatever the filter might come to say, it reaches servers only.
			for _, cluster := range []string{envoyconfig.ClusterInternal, envoyconfig.ClusterControlPlane} {
				if resp, body := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, cluster); resp.StatusCode != 404 {
					t.Errorf("%s: %d %s", cluster, resp.StatusCode, body)
				}
			}
			if len(r.broker.requests) != 0 {
				t.Error("the broker got a call")
			}
		})
	})
}

// A call that may have reached its server is never sent again, whatever the
// client's headers ask of Envoy.
func TestEnvoyNeverRepeatsACall(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		failing := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
		closing := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		slow := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		r := run(t, binary, "", "", fmt.Sprintf("{name: failing, url: '%s/mcp'}, {name: closing, url: '%s/mcp'}, {name: slow, url: '%s/mcp', timeout: 300ms}", failing.url, closing.url, slow.url), envoyconfig.Params{})
		for name, b := range map[string]*backend{"failing": failing, "closing": closing, "slow": slow} {
			resp, _ := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, name,
				"X-Envoy-Retry-On", "5xx,reset", "X-Envoy-Max-Retries", "5", "X-Envoy-Upstream-Rq-Timeout-Ms", "60000")
			if resp.StatusCode < 500 {
				t.Errorf("%s: %d", name, resp.StatusCode)
			}
			if n := len(b.requests); n != 1 {
				t.Errorf("%s: sent %d times", name, n)
			}
		}
	})
}

// A filter that waits for a whole body can hold one of the limit.
func TestEnvoyHoldsBodies(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		server := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(http.ResponseWriter, *http.Request) {})
		r := run(t, binary, "", "body: 8MiB", fmt.Sprintf("{name: a, url: '%s/mcp'}", server.url), envoyconfig.Params{})
		var h2c http.Protocols
		h2c.SetUnencryptedHTTP2(true)
		for name, client := range map[string]*http.Client{
			"HTTP/1.1": http.DefaultClient,
			"HTTP/2":   {Transport: &http.Transport{Protocols: &h2c}},
		} {
			for _, size := range []int{1, 1 << 20, 8 << 20} {
				resp, body := r.post(client, strings.Repeat("a", size), envoytest.HeaderServer, "a", envoytest.HeaderHold, "1")
				if resp.StatusCode != 200 || resp.Proto[:6] != (name + ".0")[:6] {
					t.Fatalf("%s, %d bytes: %s %d %s", name, size, resp.Proto, resp.StatusCode, body)
				}
				if got := server.got(t); got.ContentLength != int64(size) {
					t.Errorf("%s: sent %d bytes, arrived %d", name, size, got.ContentLength)
				}
			}
			if resp, _ := r.post(client, strings.Repeat("a", 10<<20), envoytest.HeaderServer, "a", envoytest.HeaderHold, "1"); resp.StatusCode != 413 {
				t.Errorf("%s: a body over the limit: %d", name, resp.StatusCode)
			}
		}
	})
}

func TestEnvoyReachesLocalhost(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		v4 := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(http.ResponseWriter, *http.Request) {})
		l, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Skip("no IPv6: ", err)
		}
		v6 := serve(t, l, func(http.ResponseWriter, *http.Request) {})
		port := func(b *backend) string { return b.url[strings.LastIndexByte(b.url, ':'):] }
		r := run(t, binary, "", "", fmt.Sprintf("{name: v4, url: 'http://localhost%s/mcp'}, {name: v6, url: 'http://localhost%s/mcp'}", port(v4), port(v6)), envoyconfig.Params{})
		for range 3 {
			for _, name := range []string{"v4", "v6"} {
				if resp, body := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, name); resp.StatusCode != 200 {
					t.Errorf("%s: %d %s", name, resp.StatusCode, body)
				}
			}
		}
	})
}

func TestEnvoyChecksCertificates(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
		defer server.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		port := server.URL[strings.LastIndexByte(server.URL, ':'):]
		// The certificate is for 127.0.0.1 and example.com, not for localhost.
		servers := fmt.Sprintf("{name: named, url: 'https://127.0.0.1%s/mcp'}, {name: other, url: 'https://localhost%s/mcp'}", port, port)
		r := run(t, binary, "", "", servers, envoyconfig.Params{TrustedCA: ca})
		if resp, body := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, "named"); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if resp, _ := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, "other"); resp.StatusCode != 503 {
			t.Errorf("a certificate of another host was accepted: %d", resp.StatusCode)
		}
		stranger := filepath.Join("/etc/ssl/certs/ca-certificates.crt")
		if _, err := os.Stat(stranger); err != nil {
			return
		}
		r = run(t, binary, "", "", servers, envoyconfig.Params{})
		if resp, _ := r.post(http.DefaultClient, "{}", envoytest.HeaderServer, "named"); resp.StatusCode != 503 {
			t.Errorf("a certificate of an unknown authority was accepted: %d", resp.StatusCode)
		}
	})
}

// Events arrive as they are sent, and the log says what happened, not more.
func TestEnvoyStreamsAndLogs(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		seen := make(chan struct{})
		server := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(w http.ResponseWriter, r *http.Request) {
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
				select {
				case <-seen:
				case <-r.Context().Done():
				}
			}
		})
		log := filepath.Join(t.TempDir(), "access.log")
		r := run(t, binary, "accessLog: "+log, "", fmt.Sprintf("{name: a, url: '%s/mcp?key=secret1'}", server.url), envoyconfig.Params{})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"?key=secret2", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(envoytest.HeaderServer, envoytest.Cluster(r.g, "a"))
		req.Header.Set("Mcp-Session-Id", "secret3")
		req.Header.Set("Authorization", "secret4")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for i := range 3 {
			line, err := lines.ReadString('\n')
			if _, blank := lines.ReadString('\n'); err != nil || blank != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("%q %v %v", line, err, blank)
			}
			seen <- struct{}{} // the next event is sent only now
		}
		if _, err := lines.ReadString('\n'); err != io.EOF {
			t.Error(err)
		}
		var text []byte
		envoytest.Eventually(t, "the log is written", func() bool {
			text, err = os.ReadFile(log)
			return err == nil && bytes.HasSuffix(text, []byte("\n"))
		})
		var entry struct {
			Status  int
			Cluster string
		}
		if err := json.Unmarshal(text, &entry); err != nil || entry.Status != 200 || entry.Cluster != "mcp-server-a" {
			t.Errorf("%s: %v", text, err)
		}
		if bytes.Contains(text, []byte("secret")) {
			t.Errorf("the log holds a secret: %s", text)
		}
	})
}
