package envoygateway

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
	"mcp-gateway/test/k8s/netns"
	"mcp-gateway/test/mcpserver"
)

// world is a cluster with Envoy Gateway, a Gateway of its, default/eg, and an MCPGateway
// at it, default/mcp: all that an installation runs, as processes, each at the address
// of a pod.
type world struct {
	*cluster.Cluster
	t *testing.T
	// URL is that of the Gateway's listener, with the endpoint's path.
	URL                         string
	EnvoyGateway, Broker, Envoy *harness.Process
	shop                        *shop
	// chart is what Helm has made.
	chart string
}

const (
	host     = "mcp.example"
	listener = "127.0.0.1:8888"
	admin    = "127.0.0.1:19000"
)

// manifests are those of the user of Envoy Gateway, besides the chart's.
const manifests = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: eg, namespace: default}
spec:
  gatewayClassName: eg
  infrastructure: {parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: mcp-proxy}}
  listeners:
    - {name: http, port: 8888, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
    - {name: servers, port: 8888, protocol: HTTP, hostname: "*.mcp.local", allowedRoutes: {namespaces: {from: All}}}
`

// chart is what Helm makes for the Gateway, for pods that have the library where it was
// built.
func chart(t *testing.T) string {
	t.Helper()
	text := cluster.Chart(t, "default", "--set",
		"envoyGateway.library=InitContainer,gateway.spec.targetRef.name=eg,gateway.spec.targetRef.sectionName=http,gateway.spec.hostnames={"+host+"}")
	return strings.ReplaceAll(text, "/filter/libmcp_gateway.so", harness.Built(t, "libmcp_gateway.so"))
}

// unlisted is the chart's text with another name for the module.
func unlisted(chart string) string {
	return strings.Replace(chart, "- name: mcp-gateway\n      # A Go runtime", "- name: another\n      # A Go runtime", 1)
}

// gateway is the MCPGateway; spec is what it has besides hostnames.
func gateway(spec string) string {
	return "{apiVersion: mcp-gateway.dev/v1alpha1, kind: MCPGateway, metadata: {name: mcp, namespace: default}, spec: {hostnames: [" + host + "]" + spec + "}}"
}

// What the controller writes for it.
const (
	policy   = "{apiVersion: gateway.envoyproxy.io/v1alpha1, kind: EnvoyExtensionPolicy, metadata: {name: mcp-gateway-mcp, namespace: default}}"
	endpoint = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: mcp-gateway-mcp, namespace: default}}"
)

// newWorld is a Gateway whose Envoy has no endpoint yet, as its EnvoyProxy lists no
// module.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Cluster: cluster.Start(t), t: t, URL: "http://" + listener + "/mcp"}
	w.InstallCRDs(cluster.GatewayAPI(t))
	w.InstallCRDs(harness.Root(t) + "/controlplane/api/crds/*.yaml")
	w.InstallCRDs(filepath.Join(filepath.Dir(cluster.EnvoyGateway(t)), "crds/*.yaml"))
	w.startEnvoyGateway()
	w.chart = chart(t)
	w.Apply(manifests + "---\n" + unlisted(w.chart))

	at, secret := netns.PodAddress(), gatewayconfig.SecretEnv+"="+w.secret("default", "mcp-internal")["secret"]
	netns.Name("mcp-controlplane.default.svc.cluster.local", at)
	broker := netns.PodAddress()
	w.endpoints("default", "mcp-broker", "{name: http, port: 8890}, {name: http-internal, port: 8891}", broker)
	harness.Start(t, "controlplane", harness.Built(t, "mcp-gateway"), []string{"controlplane", "--kubernetes", "--gateway", "default/mcp", "--attach",
		"--kubeconfig", w.AccountKubeconfig("default", "mcp-controlplane"), "--xds-listen", at + ":18100", "--config-listen", at + ":18101",
		"--broker", "mcp-broker.default.svc:8890", "--broker-internal", "mcp-broker.default.svc:8891"}, secret)
	w.Broker = harness.Start(t, "broker", harness.Built(t, "mcp-gateway"), []string{"broker",
		"--control-plane", "http://mcp-controlplane.default.svc.cluster.local:18101", "--listen", broker + ":8890", "--internal-listen", broker + ":8891"}, secret)
	w.startProxy("eg")
	return w
}

// part has what follows be of a part of the test.
func (w *world) part(t *testing.T) { w.t, w.Cluster = t, w.For(t) }

// client is one of the endpoint, without a session.
func (w *world) client() *harness.Client {
	w.t.Helper()
	return harness.NewClient(w.t, w.URL).With("Host: " + host)
}

// connect is a client with a session.
func (w *world) connect() *harness.Client {
	w.t.Helper()
	c := w.client()
	c.Initialize()
	return c
}

// serve runs an MCP server as the only pod of a Service, on port 9001.
func (w *world) serve(namespace, name string, script mcpserver.Script) *mcpserver.Server {
	w.t.Helper()
	address := netns.PodAddress()
	s := mcpserver.StartAt(w.t, address+":9001", script)
	w.service(namespace, name, "{name: http, port: 9001}", address)
	return s
}

// service makes a Service with one endpoint.
func (w *world) service(namespace, name, ports, address string) {
	w.t.Helper()
	w.Apply(fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {ports: [%s]}}", name, namespace, ports))
	w.endpoints(namespace, name, ports, address)
}

// endpoints makes one of a Service, as the controllers of a cluster would, and its name.
func (w *world) endpoints(namespace, name, ports, address string) {
	w.t.Helper()
	netns.Name(name+"."+namespace+".svc.cluster.local", address)
	netns.Name(name+"."+namespace+".svc", address)
	w.Apply(fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [%[3]s]
endpoints: [{addresses: [%[4]s], conditions: {ready: true}}]
`, name, namespace, ports, address))
}

// route is an HTTPRoute of the Gateway, to Services as "name" or "name=weight". It names its
// listener: of one at two listeners of a port Envoy Gateway makes what Envoy refuses.
func route(name, hostname string, backends ...string) string {
	var refs []string
	for _, b := range backends {
		service, weight, found := strings.Cut(b, "=")
		if !found {
			weight = "1"
		}
		refs = append(refs, "{name: "+service+", port: 9001, weight: "+weight+"}")
	}
	section := "http"
	if strings.HasSuffix(hostname, ".mcp.local") {
		section = "servers"
	}
	return fmt.Sprintf("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s, namespace: default}, spec: {parentRefs: [{name: eg, sectionName: %s}], hostnames: [%s], rules: [{backendRefs: [%s]}]}}",
		name, section, hostname, strings.Join(refs, ", "))
}

// server is an MCPServer whose tools have the server's name as their prefix.
func server(name string) string {
	return fmt.Sprintf("{apiVersion: mcp-gateway.dev/v1alpha1, kind: MCPServer, metadata: {name: %[1]s, namespace: default}, spec: {gatewayRef: {name: mcp}, targetRef: {name: %[1]s}, prefix: %[1]s_}}", name)
}
