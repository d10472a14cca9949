package localenv

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
	"mcp-gateway/test/k8s/netns"
)

// istiodStandIn has the real istiod leave out what a stock Envoy lacks: Istio's own
// filters. agentStandIn takes the place of Istio's agent, in an image that has Istio's
// Envoy: it runs a stock one, with no certificates, by what the Deployment tells it.
const (
	istiodStandIn = `#!/bin/sh
echo "enableAutoMtls: false" >"$TMPDIR/mesh.yaml"
PILOT_ENABLE_ALPN_FILTER=false PILOT_ENABLE_METADATA_EXCHANGE=false exec istiod "$@" --meshConfig="$TMPDIR/mesh.yaml"
`
	agentStandIn = `#!/bin/sh
cat >"$TMPDIR/envoy.yaml" <<TEXT
node:
  id: router~$INSTANCE_IP~$POD_NAME.$POD_NAMESPACE~$POD_NAMESPACE.svc.cluster.local
  cluster: $ISTIO_META_WORKLOAD_NAME.$POD_NAMESPACE
  metadata:
    CLUSTER_ID: $ISTIO_META_CLUSTER_ID
    NAMESPACE: $POD_NAMESPACE
    ISTIO_VERSION: "1.31.1"
    SERVICE_ACCOUNT: $SERVICE_ACCOUNT
    INSTANCE_IPS: "$INSTANCE_IP"
    LABELS: {gateway.networking.k8s.io/gateway-name: edge}
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 15000}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  listeners:
    - address: {socket_address: {address: $INSTANCE_IP, port_value: 15021}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: agent
                route_config:
                  virtual_hosts: [{name: agent, domains: ["*"], routes: [{match: {path: /healthz/ready}, route: {cluster: admin, prefix_rewrite: /ready}}]}]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: admin
      load_assignment:
        cluster_name: admin
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}}]}]
    - name: xds-grpc
      type: STRICT_DNS
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
      load_assignment:
        cluster_name: xds-grpc
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: istiod.istio-system.svc, port_value: 15010}}}}]}]
TEXT
exec envoy -c "$TMPDIR/envoy.yaml" --disable-hot-restart --log-level warning --concurrency 2
`
)

// services are the addresses that the API server gives to Services.
var services = netip.MustParsePrefix("10.96.0.0/16")

// The same at a Gateway of Istio's, with Istio's own charts and the real istiod, which
// deploys the Gateway's proxies and their Service by the chart's ConfigMap.
func TestLocalEnvIstio(t *testing.T) {
	charts, programs := t.TempDir(), t.TempDir()
	source := filepath.Join(istioSource(t), "manifests/charts")
	for link, path := range map[string]string{
		filepath.Join(charts, "base"):     filepath.Join(source, "base"),
		filepath.Join(charts, "istiod"):   filepath.Join(source, "istio-control/istio-discovery"),
		filepath.Join(programs, "istiod"): cluster.Istiod(t),
	} {
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(programs, "pilot-discovery"), istiodStandIn)
	write(t, filepath.Join(programs, "pilot-agent"), agentStandIn)
	if err := netns.Local(services); err != nil {
		t.Fatal(err)
	}
	l := newLocal(t, programs, "GATEWAY=istio", "ISTIO_CHARTS="+charts)
	l.setUp()
	got := harness.Connect(t, "http://localhost:8888/mcp").Names("tools/list")
	if !slices.Contains(got, "weather_get_weather") || !slices.Contains(got, "cal_add_event") {
		t.Errorf("tools %v", got)
	}
	var s corev1.Service
	u := l.Get("{apiVersion: v1, kind: Service, metadata: {name: edge-istio, namespace: mcp}}")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &s); err != nil {
		t.Fatal(err)
	}
	isKinds := func(p corev1.ServicePort) bool { return p.Port == 8888 && p.NodePort == 30888 }
	if s.Spec.Type != corev1.ServiceTypeNodePort || !slices.ContainsFunc(s.Spec.Ports, isKinds) {
		t.Errorf("the Gateway's Service is not at the node's port 30888: %+v", s.Spec)
	}
}

// istioSource is the folder of Istio's source, as tools/istiod pins it.
func istioSource(t *testing.T) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "istio.io/istio")
	c.Dir = filepath.Join(harness.Root(t), "tools/istiod")
	out, err := c.Output()
	if err != nil || len(out) == 0 {
		t.Fatalf("where istio.io/istio is: %v", err)
	}
	return strings.TrimSpace(string(out))
}
