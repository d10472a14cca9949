package publish

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/types/known/durationpb"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/envoytest"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/metrics"
)

// plane is a control plane with one Envoy that has our resources, the stand-in
// in place of the filter.
type plane struct {
	t      *testing.T
	g      *gateway.Gateway
	server *Server
	logs   *observer.ObservedLogs
	envoy  *envoytest.Envoy
	params envoyconfig.Params
}

func start(t *testing.T, binary string, first *gateway.Gateway) *plane {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	p := &plane{t: t, server: NewServer(zap.New(core), metrics.New()), logs: logs}
	broker, xds := envoytest.Socket(t, "broker"), envoytest.Socket(t, "xds")
	p.params = envoyconfig.Params{BrokerPublic: "unix:" + broker, BrokerInternal: "unix:" + broker, ControlPlane: "unix:" + xds}
	l, err := net.Listen("unix", xds)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	p.publish(first)
	b, err := envoyconfig.Bootstrap(p.params)
	if err != nil {
		t.Fatal(err)
	}
	p.envoy = envoytest.Start(t, binary, b)
	return p
}

func (p *plane) publish(g *gateway.Gateway) {
	p.t.Helper()
	p.g = g
	r, err := envoyconfig.Build(g, p.params)
	if err != nil {
		p.t.Fatal(err)
	}
	envoytest.Replace(p.t, r.Listeners[0])
	r.Extensions[0].TypedConfig = envoytest.StandIn(p.t)
	if err := p.server.Publish(r); err != nil {
		p.t.Fatal(err)
	}
}

// call asks a server through Envoy.
func (p *plane) call(at, server string) (int, string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader("{}"))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set(envoytest.HeaderServer, envoytest.Cluster(p.g, server))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func servers(urls ...string) *gateway.Gateway {
	g := gateway.Default()
	g.Listen = "127.0.0.1:0"
	for i, url := range urls {
		s := gateway.DefaultServer()
		s.Name, s.URL = string(rune('a'+i)), url+"/mcp"
		g.Servers = append(g.Servers, s)
	}
	return &g
}

func named(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return s.URL
}

// Servers come, change and go while a stream of another is open: it loses no
// event, and Envoy never replaces its listener or the filter.
func TestEnvoyFollowsServersUnderAnOpenStream(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		event := make(chan int)
		streaming := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for r.Header.Get("X-Stream") != "" {
				w.(http.Flusher).Flush()
				select {
				case n, ok := <-event:
					if !ok {
						return
					}
					fmt.Fprintf(w, "data: %d\n", n)
				case <-r.Context().Done():
					return
				}
			}
		}))
		defer streaming.Close()
		one, two := named(t, "one"), named(t, "two")

		p := start(t, binary, servers(streaming.URL))
		at := "http://" + p.envoy.Listener(t, envoyconfig.ListenerName) + "/mcp"
		resp := p.openStream(at, "a")
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		n := 0
		flows := func() {
			t.Helper()
			n++
			select {
			case event <- n:
			case <-time.After(20 * time.Second):
				t.Fatalf("event %d: the stream was cut", n)
			}
			if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", n) {
				t.Fatalf("event %d: %q %v", n, line, err)
			}
		}
		answers := func(server, want string) {
			t.Helper()
			envoytest.Eventually(t, fmt.Sprintf("%s answers %q", server, want), func() bool {
				_, body := p.call(at, server)
				return body == want
			})
		}
		flows()

		p.publish(servers(streaming.URL, one)) // comes
		answers("b", "one")
		flows()
		p.publish(servers(streaming.URL, two)) // moves
		answers("b", "two")
		flows()
		changed := servers(streaming.URL, two) // the stream's own server gets another cluster
		changed.Servers[0].ConnectTimeout, changed.Servers[0].IdleTimeout = time.Second, time.Minute
		p.publish(changed)
		envoytest.Eventually(t, "the cluster is replaced", func() bool { return p.envoy.Stat(t, "cluster_manager.cluster_modified") >= 1 })
		flows()
		p.publish(servers(one)) // the stream's own server moves, b goes
		answers("a", "one")
		envoytest.Eventually(t, "b is unknown", func() bool {
			status, _ := p.call(at, "b")
			return status == http.StatusNotFound
		})
		flows()
		close(event)
		if _, err := lines.ReadString('\n'); err != io.EOF {
			t.Errorf("the stream ends with %v", err)
		}

		for stat, want := range map[string]int{
			"listener_manager.listener_create_success":                         2, // workers
			"listener_manager.listener_modified":                               0,
			"listener_manager.listener_in_place_updated":                       0,
			"listener_manager.total_listeners_draining":                        0,
			"extension_config_discovery.http_filter.mcp-gateway.config_reload": 1,
			"cluster_manager.cds.update_rejected":                              0,
			"http.mcp.rds.mcp.update_rejected":                                 0,
		} {
			if got := p.envoy.Stat(t, stat); got != want {
				t.Errorf("%s is %d, not %d", stat, got, want)
			}
		}
		if p.logs.Len() != 0 {
			t.Errorf("logged: %v", p.logs.All())
		}
	})
}

func (p *plane) openStream(at, server string) *http.Response {
	t := p.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(envoytest.HeaderServer, envoytest.Cluster(p.g, server))
	req.Header.Set("X-Stream", "1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// What Envoy refuses is logged with its reason, and the old configuration goes
// on.
func TestEnvoysRefusalIsLogged(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		one := named(t, "one")
		p := start(t, binary, servers(one))
		at := "http://" + p.envoy.Listener(t, envoyconfig.ListenerName) + "/mcp"
		r, err := envoyconfig.Build(servers(one), p.params)
		if err != nil {
			t.Fatal(err)
		}
		envoytest.Replace(t, r.Listeners[0])
		r.Extensions[0].TypedConfig = envoytest.StandIn(t)
		for _, c := range r.Clusters {
			c.ConnectTimeout = durationpb.New(-time.Second)
		}
		if err := p.server.Publish(r); err != nil {
			t.Fatal(err)
		}
		envoytest.Eventually(t, "the refusal is logged", func() bool { return p.logs.FilterLevelExact(zap.ErrorLevel).Len() > 0 })
		fields := p.logs.FilterLevelExact(zap.ErrorLevel).All()[0].ContextMap()
		if fields["type"] != envoyconfig.TypeCluster || !strings.Contains(fmt.Sprint(fields["reason"]), "positive duration") {
			t.Errorf("logged %v", fields)
		}
		if status, body := p.call(at, "a"); status != 200 || body != "one" {
			t.Errorf("%d %s", status, body)
		}
	})
}
