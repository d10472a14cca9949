package k8s

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
	"mcp-gateway/test/k8s/netns"
	"mcp-gateway/test/mcpserver"
)

// world is a gateway in a cluster, with an Envoy of its own: what the Deployments of
// an installation would run, as processes, each at the address of a pod. Its
// MCPGateway is default/mcp.
type world struct {
	*cluster.Cluster
	t *testing.T
	// URL is the endpoint; Admin is host:port of Envoy's admin interface.
	URL, Admin string
	// Broker and Envoy are processes, ControlPlanes replicas.
	Broker, Envoy *harness.Process
	ControlPlanes []*harness.Process
	port          string // of URL
	// The names by which they find each other, and the addresses of the replicas.
	controlPlane, broker string
	replicas             []string
}

// internalSecret guards what they tell each other.
const internalSecret = gatewayconfig.SecretEnv + "=only-for-tests"

// newWorld is a gateway without servers; spec is the rest of its MCPGateway's, as
// ", path: /a".
func newWorld(t *testing.T, spec string) *world {
	t.Helper()
	return newWorldAs(t, spec, func(w *world) string { return w.Kubeconfig })
}

// newWorldAs is newWorld whose control plane is who a kubeconfig says, and has these
// arguments besides.
func newWorldAs(t *testing.T, spec string, kubeconfig func(*world) string, args ...string) *world {
	t.Helper()
	w := newEmptyWorld(t)
	w.Apply(object("MCPGateway mcp {port: " + w.port + spec + "}"))
	w.addControlPlane(kubeconfig(w), args...)
	w.startParts()
	return w
}

// newEmptyWorld is a cluster with names for what a gateway has; nothing of it runs.
func newEmptyWorld(t *testing.T) *world {
	t.Helper()
	_, port, _ := strings.Cut(harness.FreeAddr(t), ":")
	return &world{
		Cluster: newCluster(t), t: t, port: port, URL: "http://127.0.0.1:" + port + "/mcp", Admin: harness.FreeAddr(t),
		controlPlane: "controlplane-" + unique() + ".default.svc.cluster.local", broker: "broker-" + unique() + ".default.svc.cluster.local",
	}
}

// startParts runs a broker and an Envoy.
func (w *world) startParts() {
	w.t.Helper()
	at := netns.PodAddress()
	netns.Name(w.broker, at)
	w.Broker = harness.Start(w.t, "broker", harness.Built(w.t, "mcp-gateway"),
		[]string{"broker", "--control-plane", "http://" + w.controlPlane + ":18001", "--listen", at + ":8890", "--internal-listen", at + ":8891"}, internalSecret)
	w.startEnvoy()
}

// addControlPlane starts a replica of the control plane, which is who the kubeconfig
// says.
func (w *world) addControlPlane(kubeconfig string, args ...string) {
	w.t.Helper()
	at := netns.PodAddress()
	w.replicas = append(w.replicas, at)
	p := harness.Start(w.t, fmt.Sprintf("controlplane-%d", len(w.replicas)), harness.Built(w.t, "mcp-gateway"), append([]string{"controlplane",
		"--kubernetes", "--gateway", "default/mcp", "--kubeconfig", kubeconfig, "--xds-listen", at + ":18000", "--config-listen", at + ":18001", "--metrics-listen", at + ":18002",
		"--broker", w.broker + ":8890", "--broker-internal", w.broker + ":8891"}, args...), internalSecret)
	w.ControlPlanes = append(w.ControlPlanes, p)
	netns.Name(w.controlPlane, w.replicas...)
}

// startEnvoy runs an Envoy and waits until the endpoint opens sessions.
func (w *world) startEnvoy() {
	w.t.Helper()
	bootstrap := harness.Start(w.t, "bootstrap", harness.Built(w.t, "mcp-gateway"), []string{"bootstrap", "--xds", w.controlPlane + ":18000", "--admin", w.Admin})
	if code := bootstrap.ExitCode(harness.Patience); code != 0 {
		w.t.Fatalf("bootstrap: exit code %d", code)
	}
	lines, _ := bootstrap.Stdout().All()
	file := filepath.Join(w.t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.Envoy = harness.Start(w.t, "envoy", harness.EnvoyPath(w.t),
		[]string{"-c", file, "--disable-hot-restart", "--log-level", "warning", "--concurrency", "2"},
		"ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+filepath.Dir(harness.Built(w.t, "libmcp_gateway.so")), internalSecret)
	c := harness.NewClient(w.t, w.URL)
	harness.Eventually(w.t, "first session", func() bool {
		r, err := c.Try(w.t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"`+
			harness.Revision+`","capabilities":{},"clientInfo":{"name":"k8s","version":"1"}}}`)
		return err == nil && r.Status == http.StatusOK
	})
}

// serve runs an MCP server as the only pod of a Service, on port 8080.
func (w *world) serve(namespace, name string, script mcpserver.Script) *mcpserver.Server {
	w.t.Helper()
	address := netns.PodAddress()
	s := mcpserver.StartAt(w.t, address+":8080", script)
	w.service(namespace, name, address)
	return s
}

// service makes a Service with one endpoint, as the controllers of a cluster would.
func (w *world) service(namespace, name, address string) {
	w.t.Helper()
	netns.Name(name+"."+namespace+".svc.cluster.local", address)
	w.Apply(fmt.Sprintf(`
{apiVersion: v1, kind: Service, metadata: {name: %[1]s, namespace: %[2]s}, spec: {ports: [{name: http, port: 8080}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [%[3]s], conditions: {ready: true}}]
`, name, namespace, address))
}

// namespace makes one. Names of Services are known to all tests, so each test has
// namespaces of its own; none is ever deleted, as nothing would clear it.
func (w *world) namespace(name string) string {
	w.t.Helper()
	name += "-" + unique()
	w.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
	return name
}

// names counts those that unique has ended.
var names atomic.Int32

// unique ends names that no other test is to have.
func unique() string { return fmt.Sprint(names.Add(1)) }

// route is an HTTPRoute to Services, "name" or "name=weight".
func route(namespace, name string, backends ...string) string {
	var refs []string
	for _, b := range backends {
		service, weight, found := strings.Cut(b, "=")
		if !found {
			weight = "1"
		}
		refs = append(refs, "{name: "+service+", port: 8080, weight: "+weight+"}")
	}
	return fmt.Sprintf("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s, namespace: %s}, spec: {hostnames: [%[1]s.mcp.example], rules: [{backendRefs: [%[3]s]}]}}",
		name, namespace, strings.Join(refs, ", "))
}

// server is an MCPServer of the gateway; spec is the rest of its spec.
func server(namespace, name, spec string) string {
	return fmt.Sprintf("{apiVersion: mcp-gateway.dev/v1alpha1, kind: MCPServer, metadata: {name: %s, namespace: %s}, spec: {gatewayRef: {name: mcp, namespace: default}, %s}}",
		name, namespace, spec)
}
