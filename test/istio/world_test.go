package istio

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
	"mcp-gateway/test/k8s/netns"
	"mcp-gateway/test/mcpserver"
)

// Addresses of pods, as those of a cluster's network.
const (
	proxyAddress  = "10.250.0.10"
	oldAddress    = "10.250.0.11"
	brokerAddress = "10.250.0.20"
	controlPlane  = "10.250.0.30"
	broker        = "mcp-broker.gw.svc.cluster.local"
)

// Names that lead to the proxy: the endpoint's, a server's, and those of others.
const (
	endpoint = "http://mcp.example.com:8080/mcp"
	admin    = "127.0.0.1:15000"
)

// internalSecret guards what broker, control plane and filter tell each other.
const internalSecret = gatewayconfig.SecretEnv + "=only-for-tests"

// The MCPGateway gw/mcp, and what is written for it.
const (
	gatewayObject = "{apiVersion: mcp-gateway.dev/v1alpha1, kind: MCPGateway, metadata: {name: mcp, namespace: gw}}"
	filterObject  = "{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: mcp-gateway-mcp, namespace: gw}}"
	routeObject   = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: mcp-gateway-mcp, namespace: gw}}"
)

// world is a cluster with Istio, a Gateway gw/edge and the gateway at it. There is no
// kubelet: what it would run are processes, and their pods are written by the test.
type world struct {
	*cluster.Cluster
	// t is the stage that runs, whole the test that it is part of.
	t, whole      *testing.T
	istiod, envoy *harness.Process
	dir           string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Cluster: cluster.Start(t), t: t, whole: t, dir: t.TempDir()}
	istiod := cluster.Istiod(t)
	w.InstallCRDs(cluster.GatewayAPI(t))
	w.InstallCRDs(filepath.Join(filepath.Dir(istiod), "crds.yaml"))
	w.InstallCRDs(harness.Root(t) + "/controlplane/api/crds/*.yaml")
	manifests, err := os.ReadFile("testdata/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.Apply(string(manifests))
	w.Apply(cluster.Chart(t, "gw", "--values", harness.Root(t)+"/test/istio/testdata/values.yaml"))
	w.slice("gw", "mcp-broker", brokerAddress, "{name: http, port: 8890}", "{name: http-internal, port: 8891}")
	for _, host := range []string{"mcp.example.com", "shop.example.com", "weather.mcp.local"} {
		netns.Name(host, proxyAddress)
	}
	w.startIstiod(istiod)
	w.envoy = w.startEnvoy("edge-0", proxyAddress, "1.31.0", admin)
	w.startGateway()
	return w
}

// startIstiod runs istiod for a proxy without Istio's own filters and without an agent
// that would get it certificates.
func (w *world) startIstiod(program string) {
	w.t.Helper()
	mesh := filepath.Join(w.dir, "mesh.yaml")
	w.write(mesh, "enableAutoMtls: false\n")
	w.istiod = harness.Start(w.t, "istiod", program, []string{
		"discovery", "--kubeconfig=" + w.Kubeconfig, "--meshConfig=" + mesh, "--httpAddr=127.0.0.1:18080", "--httpsAddr=",
		"--grpcAddr=127.0.0.1:15010", "--secureGRPCAddr=", "--monitoringAddr=127.0.0.1:15014", "--ctrlz_port=0",
	}, "POD_NAMESPACE=istio-system", "POD_NAME=istiod-0", "PILOT_ENABLE_ALPN_FILTER=false", "PILOT_ENABLE_METADATA_EXCHANGE=false",
		"PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER=false", "PILOT_ENABLE_GATEWAY_API_GATEWAYCLASS_CONTROLLER=false")
	harness.Eventually(w.t, "istiod", func() bool { return get("http://127.0.0.1:18080/ready").Status == http.StatusOK })
}

// startEnvoy runs a stock Envoy as Istio's agent would, as a pod of the Gateway.
func (w *world) startEnvoy(pod, address, version, admin string) *harness.Process {
	w.t.Helper()
	text, err := os.ReadFile("testdata/bootstrap.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.dir, pod+".yaml")
	w.write(file, strings.NewReplacer("@POD@", pod, "@ADDRESS@", address, "@VERSION@", version, "@ADMIN_PORT@", admin[strings.IndexByte(admin, ':')+1:]).Replace(string(text)))
	return harness.Start(w.t, pod, harness.EnvoyPath(w.t), []string{"-c", file, "--disable-hot-restart", "--log-level", "warning", "--concurrency", "2"},
		"ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+filepath.Dir(harness.Built(w.t, "libmcp_gateway.so")), internalSecret)
}

// startGateway runs a broker and, with the rights of the chart's ServiceAccount, the
// control plane.
func (w *world) startGateway() {
	w.t.Helper()
	netns.Name(broker, brokerAddress)
	netns.Name("mcp-controlplane.gw.svc", controlPlane)
	program := harness.Built(w.t, "mcp-gateway")
	p := harness.Start(w.t, "controlplane", program, []string{
		"controlplane", "--kubernetes", "--gateway", "gw/mcp", "--attach", "--kubeconfig", w.AccountKubeconfig("gw", "mcp-controlplane"),
		"--xds-listen", controlPlane + ":18000", "--config-listen", controlPlane + ":18001", "--broker", broker + ":8890", "--broker-internal", broker + ":8891",
	}, internalSecret)
	w.t.Cleanup(func() {
		for _, line := range strings.Split(p.Stderr().Tail(1000), "\n") {
			if strings.Contains(strings.ToLower(line), "forbidden") {
				w.t.Errorf("the control plane wants more than it may: %s", line)
			}
		}
	})
	harness.Start(w.t, "broker", program, []string{
		"broker", "--control-plane", "http://mcp-controlplane.gw.svc:18001", "--listen", brokerAddress + ":8890", "--internal-listen", brokerAddress + ":8891",
	}, internalSecret)
}

func (w *world) write(file, text string) {
	w.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// slice says where a Service is, as a cluster's controller would.
func (w *world) slice(namespace, name, address string, ports ...string) {
	w.t.Helper()
	w.Apply(fmt.Sprintf("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-1, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}, addressType: IPv4, ports: [%[3]s], endpoints: [{addresses: [%[4]s], conditions: {ready: true}}]}",
		name, namespace, strings.Join(ports, ", "), address))
}

// serve runs an MCP server as the only pod of a Service of team-a.
func (w *world) serve(name string, script mcpserver.Script) *mcpserver.Server {
	w.t.Helper()
	address := netns.PodAddress()
	s := mcpserver.StartAt(w.whole, address+":9000", script)
	w.service(name, address)
	return s
}

func (w *world) service(name, address string) {
	w.t.Helper()
	netns.Name(name+".team-a.svc.cluster.local", address)
	w.Apply("{apiVersion: v1, kind: Service, metadata: {name: " + name + ", namespace: team-a}, spec: {ports: [{name: http, port: 9000}]}}")
	w.slice("team-a", name, address, "{name: http, port: 9000}")
}

// route is an HTTPRoute of team-a at the Gateway; rule is its only rule.
func route(name, hostname, rule string) string {
	return fmt.Sprintf("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s, namespace: team-a}, spec: {parentRefs: [{name: edge, namespace: gw}], hostnames: [%s], rules: [%s]}}",
		name, hostname, rule)
}

// server is an MCPServer of team-a, with the route of the same name.
func server(name string) string {
	return fmt.Sprintf("{apiVersion: mcp-gateway.dev/v1alpha1, kind: MCPServer, metadata: {name: %s, namespace: team-a}, spec: {targetRef: {name: %[1]s}, prefix: %[1]s_}}", name)
}

// get reads a URL; the zero Response if there is no answer.
func get(url string) harness.Response {
	resp, err := http.Get(url)
	if err != nil {
		return harness.Response{}
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return harness.Response{}
	}
	return harness.Response{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
}

// tools is a server with these tools that keeps no sessions and speaks all revisions.
func tools(name string, names ...string) mcpserver.Script {
	s := mcpserver.Tools(name, names...)
	s.Stateless, s.Era = true, mcpserver.Dual
	return s
}
