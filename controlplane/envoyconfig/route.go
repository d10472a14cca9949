package envoyconfig

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/mcp"
)

// brokerIdle ends a stream of the broker on which nothing moves. The broker
// sends a comment every 20 s on an open event stream, so only a dead one does.
const brokerIdle = 5 * time.Minute

// slack is the room that Envoy's limit leaves over the gateway's, so that the
// filter's answer to a large body comes before Envoy's.
const slack = 64 << 10

// bodyBuffer is what a stream may hold of a request body that the filter waits
// for, in bytes; it lifts connectionBuffer.
func bodyBuffer(g *gateway.Gateway) uint64 { return uint64(g.BodyLimit) + slack }

// routes is the route table: one route per server, chosen by the filter with
// x-mcp-server, and the broker for all the rest.
func routes(g *gateway.Gateway) *routev3.RouteConfiguration {
	servers := g.EnabledServers()
	slices.SortFunc(servers, func(a, b gateway.Server) int { return strings.Compare(a.Name, b.Name) })
	var list []*routev3.Route
	for i := range servers {
		list = append(list, serverRoute(&servers[i]))
	}
	list = append(list,
		// The filter may know a server a moment longer than Envoy. Its call must
		// not end at the broker.
		&routev3.Route{
			Name:  "no-such-server",
			Match: anyPath(&routev3.HeaderMatcher{Name: mcp.HeaderServer, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
				Status: 404,
				Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "no such server"}},
			}},
		},
		&routev3.Route{
			Name:  "broker",
			Match: anyPath(),
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: ClusterBroker},
				Timeout:          durationpb.New(0),
				IdleTimeout:      durationpb.New(brokerIdle),
				RetryPolicy:      retries(),
			}},
		})
	return &routev3.RouteConfiguration{
		Name: RouteConfigName,
		VirtualHosts: []*routev3.VirtualHost{{
			Name:                   "mcp",
			Domains:                []string{"*"},
			Routes:                 list,
			RequestBodyBufferLimit: wrapperspb.UInt64(bodyBuffer(g)),
		}},
	}
}

func anyPath(headers ...*routev3.HeaderMatcher) *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}, Headers: headers}
}

func serverRoute(s *gateway.Server) *routev3.Route {
	return &routev3.Route{
		Name: ServerCluster(s.Name),
		Match: anyPath(&routev3.HeaderMatcher{
			Name: mcp.HeaderServer,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s.Name},
			}},
		}),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: ServerCluster(s.Name)},
			Timeout:          durationpb.New(s.Timeout),
			IdleTimeout:      durationpb.New(s.IdleTimeout),
			// No retries: a tool must not run twice, and the mere possibility has
			// Envoy keep a copy of every body.
		}},
		// What a client proved to the gateway is not the server's to have. Gone
		// before the server's own headers are added. Without accept-encoding
		// answers come in the clear: the filter must read the URIs in them.
		RequestHeadersToRemove:  []string{"accept-encoding", "authorization", "cookie", "proxy-authorization", mcp.HeaderServer},
		RequestHeadersToAdd:     serverHeaders(s.Headers),
		ResponseHeadersToRemove: []string{mcp.HeaderSession, "set-cookie"},
	}
}

func serverHeaders(headers map[string]string) []*corev3.HeaderValueOption {
	var options []*corev3.HeaderValueOption
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		options = append(options, &corev3.HeaderValueOption{
			// Envoy reads %...% as a variable.
			Header:       &corev3.HeaderValue{Key: name, Value: strings.ReplaceAll(headers[name], "%", "%%")},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return options
}

// retries repeats what cannot have reached the broker.
func retries() *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:    "connect-failure,refused-stream,reset-before-request",
		NumRetries: wrapperspb.UInt32(2),
	}
}
