// Package envoyconfig turns a gateway into Envoy's configuration: resources
// for xDS, the bootstrap that asks for them, or one static file with all of
// it. Pure functions with sorted output: equal input gives equal bytes. It
// neither serves nor writes anything.
//
// A change of a server touches clusters and the route table, never the
// listener or the filter: a replaced listener drains its connections and cuts
// open event streams.
package envoyconfig

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
)

// Names of resources that other parts rely on.
const (
	ListenerName    = "mcp"
	RouteConfigName = "mcp"
	FilterName      = "mcp-gateway"
	// ClusterBroker is the broker's public listener, ClusterInternal its
	// internal API, which the filter asks.
	ClusterBroker   = gatewayconfig.ClusterBroker
	ClusterInternal = "mcp-broker-internal"
	// ClusterControlPlane is where Envoy gets its resources from.
	ClusterControlPlane = "mcp-controlplane"
)

// Params are what Envoy must know besides the gateway. An address is
// "unix:/path" or "host:port".
type Params struct {
	// BrokerPublic and BrokerInternal are the broker's listeners.
	BrokerPublic   string
	BrokerInternal string
	// ControlPlane is the xDS server; Bootstrap alone needs it.
	ControlPlane string
	// Admin is where Envoy's admin interface listens; empty for none. Whoever
	// reaches it can read the configuration and stop Envoy: a unix socket or a
	// loopback address only.
	Admin string
	// NodeID names this Envoy to the control plane; default "mcp-gateway".
	NodeID string
	// Host is which filter of Envoy's runs ours; default HostModule.
	Host Host
	// Module is the name of the dynamic module; default "mcp_gateway", which
	// Envoy loads from libmcp_gateway.so.
	Module string
	// Library is the file of the library for HostGolang, as Envoy sees it; default
	// that of the image.
	Library string
	// TrustedCA is the file of the certificate authorities that https servers
	// are checked against, as Envoy sees it; default that of Debian.
	TrustedCA string
	// Keys are digests of the key sets of issuers, by their URLs, as far as they are
	// known. With another one Envoy forgets what it has verified by the one before.
	Keys map[string]string
}

func (p Params) withDefaults() Params {
	p.NodeID = or(p.NodeID, "mcp-gateway")
	p.Host = Host(or(string(p.Host), string(HostModule)))
	p.Module = or(p.Module, "mcp_gateway")
	p.Library = or(p.Library, "/usr/local/lib/mcp-gateway/libmcp_gateway_golang.so")
	p.TrustedCA = or(p.TrustedCA, "/etc/ssl/certs/ca-certificates.crt")
	return p
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// Resources are what Envoy gets by xDS, each list sorted by name.
type Resources struct {
	Listeners  []*listenerv3.Listener
	Routes     []*routev3.RouteConfiguration
	Clusters   []*clusterv3.Cluster
	Endpoints  []*endpointv3.ClusterLoadAssignment
	Extensions []*corev3.TypedExtensionConfig
}

// Type URLs of the resources, the keys of ByType.
const (
	TypeListener  = "type.googleapis.com/envoy.config.listener.v3.Listener"
	TypeRoute     = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	TypeCluster   = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	TypeEndpoint  = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	TypeExtension = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
)

// ByType returns the resources by type URL.
func (r *Resources) ByType() map[string][]proto.Message {
	return map[string][]proto.Message{
		TypeListener:  messages(r.Listeners),
		TypeRoute:     messages(r.Routes),
		TypeCluster:   messages(r.Clusters),
		TypeEndpoint:  messages(r.Endpoints),
		TypeExtension: messages(r.Extensions),
	}
}

func messages[M proto.Message](from []M) []proto.Message {
	to := make([]proto.Message, len(from))
	for i, m := range from {
		to[i] = m
	}
	return to
}

// Build computes the resources for a valid gateway. Its errors are faults of
// p's addresses.
func Build(g *gateway.Gateway, p Params) (*Resources, error) {
	p = p.withDefaults()
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
	manager.RouteSpecifier = discoveredRoutes()
	manager.HttpFilters = httpFilters(g, p, discoveredFilter(p), true)
	listener, err := listener(g, manager)
	if err != nil {
		return nil, err
	}
	return &Resources{
		Listeners:  []*listenerv3.Listener{listener},
		Routes:     []*routev3.RouteConfiguration{routes(g, p)},
		Clusters:   clusters,
		Endpoints:  discovered(g, clusters),
		Extensions: append([]*corev3.TypedExtensionConfig{{Name: FilterName, TypedConfig: filter}}, tokenFilters(g, p)...),
	}, nil
}

// pack wraps m; equal messages give equal bytes. It fails for no message that
// this package builds: their strings are valid UTF-8, the only thing checked.
func pack(m proto.Message) *anypb.Any {
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(fmt.Sprintf("envoyconfig: pack %T: %v", m, err))
	}
	return a
}
