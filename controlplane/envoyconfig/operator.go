package envoyconfig

import (
	"fmt"
	"net/url"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	setmetadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

func typed(c gateway.TypedConfig) *anypb.Any { return &anypb.Any{TypeUrl: c.TypeURL, Value: c.Value} }

// operatorFilters are the operator's filters between ours and the router, and
// after them a mark that a request has passed them all: an answer to one without
// it is theirs, not a server's.
func operatorFilters(g *gateway.Gateway) []*hcmv3.HttpFilter {
	if len(g.EnvoyFilters) == 0 {
		return nil
	}
	var list []*hcmv3.HttpFilter
	for _, f := range g.EnvoyFilters {
		list = append(list, &hcmv3.HttpFilter{Name: f.Name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(f.Config)}})
	}
	return append(list, &hcmv3.HttpFilter{
		Name: "mcp-passed",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&setmetadatav3.Config{Metadata: []*setmetadatav3.Metadata{{
			MetadataNamespace: gatewayconfig.MetadataPassed,
			Value:             &structpb.Struct{Fields: map[string]*structpb.Value{"to": structpb.NewStringValue("router")}},
		}}})},
	})
}

// perServer are the operator's filters as one server's calls meet them.
func perServer(s *gateway.Server) map[string]*anypb.Any {
	if len(s.EnvoyFilters) == 0 {
		return nil
	}
	all := make(map[string]*anypb.Any, len(s.EnvoyFilters))
	for _, f := range s.EnvoyFilters {
		all[f.Name] = typed(f.Config)
	}
	return all
}

// carriedRoutes are for calls that the broker makes at servers for which the
// operator's filters are configured: they meet the same.
func carriedRoutes(servers []gateway.Server) []*routev3.Route {
	var list []*routev3.Route
	for i := range servers {
		s := &servers[i]
		if len(s.EnvoyFilters) == 0 {
			continue
		}
		list = append(list, &routev3.Route{
			Name:                 "broker-long-" + s.Name,
			Match:                anyPath(toCluster(exactly(ClusterBroker)), header(mcp.HeaderLong, exactly(s.Name))),
			Action:               long(servers),
			TypedPerFilterConfig: perServer(s),
		})
	}
	return list
}

// operatorCluster is the service of c. Its certificate is checked for the host of
// its URL.
func operatorCluster(c *gateway.EnvoyCluster, p Params) (*clusterv3.Cluster, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: its url is no URL", c.Name)
	}
	grpc := u.Scheme == "grpc" || u.Scheme == "grpcs"
	secure := u.Scheme == "https" || u.Scheme == "grpcs"
	port := uint64(80)
	if secure {
		port = 443
	}
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return nil, fmt.Errorf("cluster %s: the port of its url is no port", c.Name)
		}
	}
	options, protocol := http1(serverKeep), "http/1.1"
	if grpc {
		options, protocol = grpcOptions(), "h2"
	}
	cluster := newCluster(c.Name, c.ConnectTimeout, serverStreams, options)
	place(cluster, u.Hostname(), uint32(port))
	if secure {
		cluster.TransportSocket = tls(u.Hostname(), inFile(p.TrustedCA), protocol)
	}
	return cluster, nil
}

// grpcOptions ask for HTTP/2 without pings: gRPC servers take those of an idle
// connection for an attack.
func grpcOptions() *anypb.Any {
	return pack(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		},
	})
}
