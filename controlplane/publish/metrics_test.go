package publish

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/genproto/googleapis/rpc/status"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/metrics"
	"mcp-gateway/internal/gatewayconfig"
)

// shows reports whether the metrics have a line.
func shows(m *metrics.Metrics, line string) bool {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return strings.Contains("\n"+w.Body.String(), "\n"+line+"\n")
}

func wantMetrics(t *testing.T, m *metrics.Metrics, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !shows(m, line) {
			t.Errorf("no metric %q", line)
		}
	}
}

func TestReadyWithTheFirstConfiguration(t *testing.T) {
	t.Parallel()
	c := NewConfig("s3cret", metrics.New())
	ready := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, gatewayconfig.PathReady, nil))
		return w
	}
	if w := ready(); w.Code != http.StatusServiceUnavailable || w.Body.String() != "no configuration: nothing is read yet\n" {
		t.Errorf("at first: %d %s", w.Code, w.Body)
	}
	c.Lack("there is no MCPGateway a/b")
	if w := ready(); w.Code != http.StatusServiceUnavailable || w.Body.String() != "no configuration: there is no MCPGateway a/b\n" {
		t.Errorf("without a gateway: %d %s", w.Code, w.Body)
	}
	if _, err := c.Publish(gatewayconfig.Broker{Name: "one"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	c.Lack("what is served stays")
	if w := ready(); w.Code != http.StatusOK {
		t.Errorf("with a configuration: %d %s", w.Code, w.Body)
	}
}

// A broker has taken a configuration when it asks for the next one, and once.
func TestAcknowledgedWhenTheBrokerAsksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New()
		c := NewConfig("", m)
		changed := time.Now()
		<-time.After(300 * time.Millisecond) // what the control plane does before
		digest, err := c.Publish(gatewayconfig.Broker{Name: "one"}, changed)
		if err != nil {
			t.Fatal(err)
		}
		first := <-question(t.Context(), c, "", "")
		wantMetrics(t, m, "mcp_controlplane_acknowledged_seconds_count 0", "mcp_controlplane_configurations_total 1",
			`mcp_controlplane_configuration{digest="`+digest+`"} 1`, "mcp_controlplane_brokers 0")
		<-time.After(100 * time.Millisecond) // what the broker does with it
		next := question(t.Context(), c, first.Header().Get("ETag"), "wait=20")
		if !open(next) {
			t.Fatal("answered without a change")
		}
		wantMetrics(t, m, "mcp_controlplane_acknowledged_seconds_sum 0.4", "mcp_controlplane_acknowledged_seconds_count 1", "mcp_controlplane_brokers 1")
		<-next // nothing came
		<-question(t.Context(), c, first.Header().Get("ETag"), "")
		wantMetrics(t, m, "mcp_controlplane_acknowledged_seconds_count 1")

		// The one before is nothing to wait for any more.
		second := question(t.Context(), c, first.Header().Get("ETag"), "wait=20")
		published(t, c, "two")
		published(t, c, "three")
		<-second
		wantMetrics(t, m, "mcp_controlplane_configurations_total 3")
		if shows(m, `mcp_controlplane_configuration{digest="`+digest+`"} 1`) {
			t.Error("the first configuration still counts as the one that is given")
		}
	})
}

// Who is connected is counted, and what it refuses.
func TestEnvoysAndTheirRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	s := NewServer(zap.NewNop(), m)
	if err := s.Publish(resources(t, "a")); err != nil {
		t.Fatal(err)
	}
	wantMetrics(t, m, "mcp_controlplane_envoys 0", `mcp_controlplane_envoy_refusals_total{kind="cluster"} 0`)
	stream := dial(t, s)
	got := ask(t, stream, &discoveryv3.DiscoveryRequest{TypeUrl: envoyconfig.TypeCluster})
	wantMetrics(t, m, "mcp_controlplane_envoys 1")
	for _, url := range []string{envoyconfig.TypeCluster, "type.googleapis.com/made.up"} {
		refusal := &discoveryv3.DiscoveryRequest{TypeUrl: url, ResponseNonce: got.Nonce, ErrorDetail: &status.Status{Message: "no"}}
		if err := stream.Send(refusal); err != nil {
			t.Fatal(err)
		}
	}
	// What comes after it on the stream shows that the refusal has come.
	ask(t, stream, &discoveryv3.DiscoveryRequest{TypeUrl: envoyconfig.TypeListener})
	wantMetrics(t, m, `mcp_controlplane_envoy_refusals_total{kind="cluster"} 1`, `mcp_controlplane_envoy_refusals_total{kind="other"} 1`)
}

// An Envoy that has nothing keeps nothing.
func TestTheLogTellsARefusalAtFirstFromLaterOnes(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zap.ErrorLevel)
	s := NewServer(zap.New(core), metrics.New())
	if err := s.Publish(resources(t, "a")); err != nil {
		t.Fatal(err)
	}
	const none, old = "envoy refused its configuration and has none of this type", "envoy refused its new configuration and keeps the old one"
	wrong, cluster := &status.Status{Message: "wrong"}, envoyconfig.TypeCluster
	var want []string
	for _, test := range []struct {
		said []*discoveryv3.DeltaDiscoveryRequest
		log  string
	}{
		{[]*discoveryv3.DeltaDiscoveryRequest{{TypeUrl: cluster}, {TypeUrl: cluster, ResponseNonce: "1", ErrorDetail: wrong}}, none},
		{[]*discoveryv3.DeltaDiscoveryRequest{{TypeUrl: cluster}, {TypeUrl: cluster, ResponseNonce: "1"}, {TypeUrl: cluster, ResponseNonce: "2", ErrorDetail: wrong}}, old},
		{[]*discoveryv3.DeltaDiscoveryRequest{{TypeUrl: cluster, InitialResourceVersions: map[string]string{"a": "1"}}, {TypeUrl: cluster, ResponseNonce: "1", ErrorDetail: wrong}}, old},
	} {
		callbacks := s.callbacks()
		for _, r := range test.said {
			if err := callbacks.OnStreamDeltaRequest(7, r); err != nil {
				t.Fatal(err)
			}
		}
		callbacks.OnDeltaStreamClosed(7, nil)
		want = append(want, test.log)
	}
	for _, r := range []*discoveryv3.DiscoveryRequest{{TypeUrl: cluster, ErrorDetail: wrong}, {TypeUrl: cluster, VersionInfo: "1", ErrorDetail: wrong}} {
		if err := s.callbacks().OnStreamRequest(8, r); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want, none, old)
	var got []string
	for _, l := range logged.All() {
		got = append(got, l.Message)
	}
	if !slices.Equal(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
	if first := <-s.Refusals(); first == nil || first.Error() != "the Envoy refuses its configuration (cluster): wrong" {
		t.Errorf("the first refusal: %v", first)
	}
}
