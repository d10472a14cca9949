package envoyconfig

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"mcp-gateway/controlplane/gateway"
)

// maxClients bounds the open connections of clients; a file descriptor each,
// and mostly another one for the way on.
const maxClients = 50_000

// requestsAtOnce are the requests of one connection that a worker takes up before
// it looks at its other connections.
const requestsAtOnce = 16

// Bootstrap is the configuration of an Envoy that gets its resources from the
// control plane at p.ControlPlane.
func Bootstrap(p Params) (*bootstrapv3.Bootstrap, error) {
	p = p.withDefaults()
	b, err := base(p)
	if err != nil {
		return nil, err
	}
	controlPlane, err := localCluster(ClusterControlPlane, p.ControlPlane, http2())
	if err != nil {
		return nil, err
	}
	b.Node = &corev3.Node{Id: p.NodeID, Cluster: "mcp-gateway"}
	b.StaticResources = &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{controlPlane}}
	b.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:             corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: ClusterControlPlane},
			}}},
		},
		CdsConfig: ads(),
		LdsConfig: ads(),
	}
	return b, nil
}

// Static is the configuration of an Envoy without control plane: all of g in
// one file. A change of it needs a new Envoy.
func Static(g *gateway.Gateway, p Params) (*bootstrapv3.Bootstrap, error) {
	p = p.withDefaults()
	b, err := base(p)
	if err != nil {
		return nil, err
	}
	filter, err := filter(g, p)
	if err != nil {
		return nil, err
	}
	clusters, err := clusters(g, p)
	if err != nil {
		return nil, err
	}
	manager, err := connectionManager(g, p)
	if err != nil {
		return nil, err
	}
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes(g, p)}
	manager.HttpFilters = httpFilters(g, p, inlineFilter(filter), false)
	listener, err := listener(g, manager)
	if err != nil {
		return nil, err
	}
	b.StaticResources = &bootstrapv3.Bootstrap_StaticResources{
		Listeners: []*listenerv3.Listener{listener},
		Clusters:  clusters,
	}
	return b, nil
}

// Render is Static as YAML.
func Render(g *gateway.Gateway, p Params) ([]byte, error) {
	b, err := Static(g, p)
	if err != nil {
		return nil, err
	}
	return YAML(b)
}

// base is what every Envoy of the gateway has.
func base(p Params) (*bootstrapv3.Bootstrap, error) {
	if err := p.Host.check(); err != nil {
		return nil, err
	}
	b := &bootstrapv3.Bootstrap{
		StatsConfig: p.Host.stats(),
		OverloadManager: &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{{
			Name: "envoy.resource_monitors.global_downstream_max_connections",
			ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: pack(&connectionsv3.DownstreamConnectionsConfig{
				MaxActiveDownstreamConnections: maxClients,
			})},
		}}},
	}
	fairness, err := structpb.NewStruct(map[string]any{"http": map[string]any{"max_requests_per_io_cycle": requestsAtOnce}})
	if err != nil {
		return nil, fmt.Errorf("encode Envoy's runtime: %w", err)
	}
	b.LayeredRuntime = &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "mcp", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: fairness},
	}}}
	if p.Admin == "" {
		return b, nil
	}
	address, err := adminAddress(p.Admin)
	if err != nil {
		return nil, err
	}
	b.Admin = &bootstrapv3.Admin{Address: address}
	return b, nil
}

func adminAddress(s string) (*corev3.Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if err := checkSocket(path); err != nil {
			return nil, fmt.Errorf("admin address: %w", err)
		}
		address := pipe(path)
		address.GetPipe().Mode = 0o600
		return address, nil
	}
	host, port, err := net.SplitHostPort(s)
	if host == "localhost" {
		host = "127.0.0.1"
	}
	addr, addrErr := netip.ParseAddr(host)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || addrErr != nil || portErr != nil {
		return nil, fmt.Errorf("admin address: %q is neither unix:/path nor IP:port", s)
	}
	if !addr.IsLoopback() {
		return nil, fmt.Errorf("admin address: %s is not a loopback address; Envoy's admin interface has no access control", addr)
	}
	return tcpAddress(addr.String(), uint32(number)), nil
}

// http2 is gRPC's transport. The pings find a control plane that vanished.
func http2() *anypb.Any {
	return pack(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: &corev3.KeepaliveSettings{
						Interval: durationpb.New(30 * time.Second),
						Timeout:  durationpb.New(5 * time.Second),
					}},
				},
			},
		},
	})
}
