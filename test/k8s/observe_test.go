package k8s

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// fetch is what a replica of the control plane answers at a port and a path; nothing
// while it cannot be reached.
func (w *world) fetch(replica int, port, path string) (status int, body string) {
	w.t.Helper()
	resp, err := http.Get("http://" + w.replicas[replica] + ":" + port + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// metric is one of a replica's metrics, by its name with labels.
func (w *world) metric(replica int, name string) float64 {
	w.t.Helper()
	_, text := w.fetch(replica, "18002", "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return n
		}
	}
	w.t.Fatalf("no metric %s in:\n%s", name, text)
	return 0
}

// A replica is ready when it has something to serve, and says what it lacks.
func TestReady(t *testing.T) {
	t.Parallel()
	w := newEmptyWorld(t)
	w.addControlPlane(w.Kubeconfig)
	says := func(status int, text string) {
		t.Helper()
		harness.Eventually(t, text, func() bool {
			got, body := w.fetch(0, "18001", "/readyz")
			return got == status && strings.Contains(body, text)
		})
	}
	says(http.StatusServiceUnavailable, "there is no MCPGateway default/mcp")
	if status, _ := w.fetch(0, "18001", "/healthz"); status != http.StatusOK {
		t.Errorf("without a gateway it is not even alive: %d", status)
	}
	const gone = `MCPGateway mcp {sessions: {store: Redis, redisRef: {name: nowhere}}}`
	w.Apply(object(gone))
	says(http.StatusServiceUnavailable, "the MCPGateway default/mcp cannot be served")
	w.Apply(object("MCPGateway mcp {sessions: {store: Memory}, port: " + w.port + "}"))
	says(http.StatusOK, "ok")
	// What is served stays.
	w.Apply(object(gone))
	w.Want(object(gone), "ResolvedRefs=False/SecretNotFound")
	says(http.StatusOK, "ok")
}

// A change is with the brokers within a second, and replicas that serve the same say
// so.
func TestChangesReachBrokers(t *testing.T) {
	w := newWorld(t, "")
	name := "reached-" + unique()
	w.serve("default", name, mcpserver.Tools(name, "tool"))
	w.Apply(route("default", name, name))
	const acknowledged = "mcp_controlplane_acknowledged_seconds"
	var took []time.Duration
	for range 10 {
		before := w.metric(0, acknowledged+"_count")
		a := server("default", "s-"+unique(), "targetRef: {name: "+name+"}, prefix: s"+unique()+"_")
		began := time.Now()
		w.Apply(a)
		harness.Eventually(t, "the broker's acknowledgement", func() bool { return w.metric(0, acknowledged+"_count") > before })
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("changes were with the broker after %v", took)
	if middle := took[len(took)/2]; middle > time.Second {
		t.Errorf("a change is with the broker after %v, want a second", middle)
	}
	n := w.metric(0, acknowledged+"_count")
	if mean := w.metric(0, acknowledged+"_sum") / n; mean <= 0 || mean > 1 {
		t.Errorf("by its own metrics a change is with a broker after %v s", mean)
	}
	for name, want := range map[string]float64{
		"mcp_controlplane_envoys": 1, "mcp_controlplane_brokers": 1, `mcp_controlplane_envoy_refusals_total{kind="listener"}`: 0,
		`controller_runtime_reconcile_errors_total{controller="mcp-gateway"}`: 0,
	} {
		if got := w.metric(0, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	w.addControlPlane(w.Kubeconfig)
	digest := func(replica int) string {
		_, text := w.fetch(replica, "18002", "/metrics")
		_, rest, _ := strings.Cut(text, `mcp_controlplane_configuration{digest="`)
		digest, _, _ := strings.Cut(rest, `"`)
		return digest
	}
	harness.Eventually(t, "replicas that serve the same", func() bool { return digest(0) != "" && digest(0) == digest(1) })
}
