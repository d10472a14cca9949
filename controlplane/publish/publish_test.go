package publish

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/metrics"
	"mcp-gateway/internal/gatewayconfig"
)

func resources(t *testing.T, servers ...string) *envoyconfig.Resources {
	t.Helper()
	g := gateway.Default()
	for _, name := range servers {
		s := gateway.DefaultServer()
		s.Name, s.URL = name, "http://127.0.0.1:9001/mcp"
		g.Servers = append(g.Servers, s)
	}
	r, err := envoyconfig.Build(&g, envoyconfig.Params{BrokerPublic: "127.0.0.1:1", BrokerInternal: "127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dial serves s and returns a state-of-the-world stream to it.
func dial(t *testing.T, s *Server) discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func ask(t *testing.T, stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient, r *discoveryv3.DiscoveryRequest) *discoveryv3.DiscoveryResponse {
	t.Helper()
	if err := stream.Send(r); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestServesEveryType(t *testing.T) {
	t.Parallel()
	s := NewServer(zap.NewNop(), metrics.New())
	if err := s.Publish(resources(t, "a", "b")); err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		names []string
		count int
	}{
		envoyconfig.TypeListener:  {nil, 1},
		envoyconfig.TypeCluster:   {nil, 4},
		envoyconfig.TypeRoute:     {[]string{envoyconfig.RouteConfigName}, 1},
		envoyconfig.TypeExtension: {[]string{envoyconfig.FilterName}, 1},
	}
	stream := dial(t, s)
	for url, w := range want {
		if got := len(ask(t, stream, &discoveryv3.DiscoveryRequest{TypeUrl: url, ResourceNames: w.names}).Resources); got != w.count {
			t.Errorf("%s: %d resources, want %d", url, got, w.count)
		}
	}
}

// A server comes: its cluster is pushed and nothing else, so that nothing drains.
func TestAServersChangeIsItsCluster(t *testing.T) {
	t.Parallel()
	s := NewServer(zap.NewNop(), metrics.New())
	versions := func(r *envoyconfig.Resources) map[string]string {
		if err := s.Publish(r); err != nil {
			t.Fatal(err)
		}
		snapshot, err := s.cache.GetSnapshot(everyone)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for url := range r.ByType() {
			out[url] = snapshot.GetVersion(url)
		}
		return out
	}
	before, after := versions(resources(t, "a")), versions(resources(t, "a", "b"))
	for url := range before {
		if (before[url] == after[url]) == (url == envoyconfig.TypeCluster) || before[url] == "" {
			t.Errorf("%s: version %q, then %q", url, before[url], after[url])
		}
	}
}

func TestChangesArePushed(t *testing.T) {
	t.Parallel()
	s := NewServer(zap.NewNop(), metrics.New())
	if err := s.Publish(resources(t, "a")); err != nil {
		t.Fatal(err)
	}
	stream := dial(t, s)
	first := ask(t, stream, &discoveryv3.DiscoveryRequest{TypeUrl: envoyconfig.TypeCluster})
	if err := stream.Send(&discoveryv3.DiscoveryRequest{TypeUrl: envoyconfig.TypeCluster, VersionInfo: first.VersionInfo, ResponseNonce: first.Nonce}); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(resources(t, "a", "b")); err != nil {
		t.Fatal(err)
	}
	next, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Resources) != len(first.Resources)+1 {
		t.Errorf("%d clusters, then %d", len(first.Resources), len(next.Resources))
	}
}

func get(c *Config, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, gatewayconfig.PathConfig, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

func TestConfig(t *testing.T) {
	t.Parallel()
	c := NewConfig("s3cret", metrics.New())
	auth := []string{"Authorization", "Bearer s3cret"}
	if w := get(c, auth...); w.Code != http.StatusServiceUnavailable {
		t.Errorf("before the first: %d", w.Code)
	}
	if _, err := c.Publish(gatewayconfig.Broker{Name: "one"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range [][]string{nil, {"Authorization", "Bearer other"}, {"Authorization", "s3cret"}} {
		if w := get(c, wrong...); w.Code != http.StatusUnauthorized {
			t.Errorf("%v: %d", wrong, w.Code)
		}
	}
	w := get(c, auth...)
	var b gatewayconfig.Broker
	if err := gatewayconfig.Decode(w.Body.Bytes(), &b); err != nil || b.Name != "one" {
		t.Fatalf("%d %v %+v", w.Code, err, b)
	}
	same := append([]string{"If-None-Match", w.Header().Get("ETag")}, auth...)
	if w := get(c, same...); w.Code != http.StatusNotModified {
		t.Errorf("unchanged: %d", w.Code)
	}
	answered := make(chan *httptest.ResponseRecorder)
	go func() { answered <- get(c, append([]string{"Prefer", "wait=20"}, same...)...) }()
	if _, err := c.Publish(gatewayconfig.Broker{Name: "two"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if w := <-answered; w.Code != http.StatusOK || gatewayconfig.Decode(w.Body.Bytes(), &b) != nil || b.Name != "two" {
		t.Errorf("waiting: %d %+v", w.Code, b)
	}
}
