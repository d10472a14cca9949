package envoyconfig_test

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/envoytest"
)

// What an HTTP+SSE client posts reaches the replica of the broker that has its
// stream; all else may reach any.
func TestEnvoyKeepsOldClientsAtOneReplica(t *testing.T) {
	envoytest.Each(t, func(t *testing.T, binary string) {
		replica := func(name string) *url.URL {
			b := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
			u, err := url.Parse(b.url)
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		replicas := []*url.URL{replica("a"), replica("b"), replica("c")}
		g := parse(t, "gateway: {listen: '127.0.0.1:0'}\nservers: []\n")
		config := standIn(t, g, envoyconfig.Params{BrokerPublic: "broker:8890", BrokerInternal: "unix:" + envoytest.Socket(t, "internal")})
		for _, c := range config.StaticResources.Clusters {
			if c.Name == envoyconfig.ClusterBroker {
				resolve(t, c, replicas)
			}
		}
		url := "http://" + envoytest.Start(t, binary, config).Listener(t, envoyconfig.ListenerName) + "/mcp"
		ask := func(method, path string) string {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			if path != "" {
				req.Header.Set(envoytest.HeaderServer, envoyconfig.ClusterBroker)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s %s: %d %v %s", method, path, resp.StatusCode, err, text)
			}
			return string(text)
		}
		holder := ask("GET", "/sse")
		others := map[string]bool{}
		for range 30 {
			if got := ask("POST", "/sse/messages?sessionId=x"); got != holder {
				t.Fatalf("the stream is at %s, a message went to %s", holder, got)
			}
			others[ask("POST", "")] = true
		}
		if len(others) < 2 {
			t.Errorf("all other requests went to %v", others)
		}
	})
}

// Replicas behind one name are asked whether they are ready, at their internal
// listener; a broker at one address has no other to go to.
func TestEnvoyWatchesReplicas(t *testing.T) {
	t.Parallel()
	g := parse(t, "gateway: {listen: '127.0.0.1:0'}\nservers: []\n")
	for _, tt := range []struct {
		public, internal string
		watched          map[string]bool
	}{
		{"broker:8890", "broker:8891", map[string]bool{envoyconfig.ClusterBroker: true, envoyconfig.ClusterInternal: true}},
		{"broker:8890", "other:8891", nil},
		{"127.0.0.1:8890", "127.0.0.1:8891", nil},
		{"unix:/tmp/a", "unix:/tmp/b", nil},
	} {
		r, err := envoyconfig.Build(g, envoyconfig.Params{BrokerPublic: tt.public, BrokerInternal: tt.internal})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Clusters {
			checks := c.GetHealthChecks()
			if len(checks) > 0 != tt.watched[c.Name] {
				t.Errorf("%s at %s and %s: %d checks", c.Name, tt.public, tt.internal, len(checks))
			}
			if len(checks) == 0 {
				continue
			}
			port := c.LoadAssignment.Endpoints[0].LbEndpoints[0].GetEndpoint().GetHealthCheckConfig().GetPortValue()
			if path := checks[0].GetHttpHealthCheck().GetPath(); path != "/readyz" || port != 8891 {
				t.Errorf("%s: asked at port %d for %s", c.Name, port, path)
			}
			if got := c.GetCommonLbConfig().GetHealthyPanicThreshold().GetValue(); got == 0 {
				t.Errorf("%s: if no replica answers, none is tried", c.Name)
			}
		}
	}
}

// resolve does what DNS would: the name has several addresses.
func resolve(t *testing.T, c *clusterv3.Cluster, addresses []*url.URL) {
	t.Helper()
	if c.GetType() != clusterv3.Cluster_STRICT_DNS {
		t.Fatalf("the broker's cluster is %v", c.GetType())
	}
	var endpoints []*endpointv3.LbEndpoint
	for _, u := range addresses {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		endpoints = append(endpoints, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: u.Hostname(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
			}}},
		}}})
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.LoadAssignment.Endpoints = []*endpointv3.LocalityLbEndpoints{{LbEndpoints: endpoints}}
}
