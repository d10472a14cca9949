package envoyconfig

import (
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// brokerIdle ends a stream of the broker on which nothing moves. The broker
// sends a comment every 20 s on an open event stream, so only a dead one does.
const brokerIdle = 5 * time.Minute

// brokerTimeout ends a request that a hanging broker does not answer; only
// event streams last longer.
const brokerTimeout = 10 * time.Second

// slack is the room that Envoy's limit leaves over the gateway's, so that the
// filter's answer to a large body comes before Envoy's.
const slack = 64 << 10

// bodyBuffer is what a stream may hold of a request body that the filter waits
// for, in bytes; it lifts connectionBuffer.
func bodyBuffer(g *gateway.Gateway) uint64 { return uint64(g.Limits.Body) + slack }

// routes is the route table. Envoy tries one route after the other, when a request
// comes and again when the filter has chosen, so what most requests meet stands in
// front: the broker for what nothing was chosen for, which has to answer in time, and
// one route for all servers that are alike.
func routes(g *gateway.Gateway, p Params) *routev3.RouteConfiguration {
	servers := g.EnabledServers()
	slices.SortFunc(servers, func(a, b gateway.Server) int { return strings.Compare(a.Name, b.Name) })
	unchosen := &routev3.Route{
		Name: "broker", Match: anyPath(append([]*routev3.HeaderMatcher{lacks(mcp.HeaderCluster)}, p.Host.mark()...)...),
		Action: toBroker(brokerTimeout), RequestHeadersToAdd: peerAddress(),
	}
	chosen := append(oldClientRoutes(g), carriedRoutes(servers)...)
	chosen = append(chosen,
		&routev3.Route{Name: "broker-streams", Match: anyPath(toCluster(exactly(ClusterBroker)), isGet()), Action: toBroker(0)},
		&routev3.Route{Name: "broker-long", Match: anyPath(toCluster(exactly(ClusterBroker))), Action: long(servers)})
	for _, r := range chosen {
		r.RequestHeadersToAdd = peerAddress()
		r.RequestHeadersToRemove = []string{mcp.HeaderCluster}
	}
	toServers := serverRoutes(servers)
	if len(g.EnvoyFilters) > 0 { // else the filter does it
		for _, r := range toServers {
			r.ResponseHeadersToRemove = gatewayconfig.Secrets[:]
		}
	}
	list := slices.Concat([]*routev3.Route{unchosen}, toServers, chosen, p.Host.refusedRoutes())
	return &routev3.RouteConfiguration{
		Name:             RouteConfigName,
		ValidateClusters: p.Host.validateClusters(),
		VirtualHosts: []*routev3.VirtualHost{{
			Name:                   "mcp",
			Domains:                []string{"*"},
			Routes:                 list,
			RequestBodyBufferLimit: wrapperspb.UInt64(bodyBuffer(g)),
			TypedPerFilterConfig:   cors(g),
		}},
	}
}

// oldClientRoutes have what an HTTP+SSE client posts reach the replica of the
// broker that holds its stream: both are chosen by the client's address.
func oldClientRoutes(g *gateway.Gateway) []*routev3.Route {
	path := g.StreamPath()
	if path == "" {
		return nil
	}
	route := func(name, path string, timeout time.Duration) *routev3.Route {
		action := toBroker(timeout)
		action.Route.HashPolicy = []*routev3.RouteAction_HashPolicy{{
			PolicySpecifier: &routev3.RouteAction_HashPolicy_ConnectionProperties_{
				ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
			},
		}}
		match := anyPath(toCluster(exactly(ClusterBroker)))
		match.PathSpecifier = &routev3.RouteMatch_Path{Path: path}
		return &routev3.Route{Name: name, Match: match, Action: action}
	}
	return []*routev3.Route{
		route("broker-sse", path, 0),
		route("broker-sse-messages", path+gatewayconfig.PathMessages, brokerTimeout),
	}
}

// peerAddress tells the broker whom a request is from, by which clients without
// credentials are told apart: who is connected to Envoy, or to the first of the
// gateway's proxies. Not what else X-Forwarded-For says: anybody can send that.
func peerAddress() []*corev3.HeaderValueOption {
	return []*corev3.HeaderValueOption{{
		Header:       &corev3.HeaderValue{Key: mcp.HeaderAddress, Value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}}
}

func toBroker(timeout time.Duration) *routev3.Route_Route {
	return &routev3.Route_Route{Route: &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: ClusterBroker},
		Timeout:          durationpb.New(timeout),
		RetryPolicy:      retries(),
	}}
}

// long is for calls that the broker makes on behalf of a client: nothing may
// move on them for as long as any server's idleTimeout allows.
func long(servers []gateway.Server) *routev3.Route_Route {
	idle := brokerIdle
	for i := range servers {
		if idle == 0 || servers[i].IdleTimeout == 0 {
			idle = 0
		} else {
			idle = max(idle, servers[i].IdleTimeout)
		}
	}
	action := toBroker(0)
	if idle != brokerIdle {
		action.Route.IdleTimeout = durationpb.New(idle)
	}
	return action
}

func header(name string, value *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: value}}
}

func exactly(value string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value}}
}

func isGet() *routev3.HeaderMatcher { return header(":method", exactly("GET")) }

// toCluster matches what the filter has chosen.
func toCluster(name *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	return header(mcp.HeaderCluster, name)
}

func lacks(name string) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: false}}
}

func anyPath(headers ...*routev3.HeaderMatcher) *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}, Headers: headers}
}

// serverRoutes are one for each server that has settings of its own, and one for
// all others. The filter may know a server a moment longer than Envoy: that is 404.
func serverRoutes(servers []gateway.Server) []*routev3.Route {
	usual := usualLimits(servers)
	var list []*routev3.Route
	for i := range servers {
		s := &servers[i]
		if l := limitsOf(s); l != usual || s.Bridged() || len(s.EnvoyFilters) > 0 {
			name := s.Cluster()
			r := serverRoute(name, exactly(name), l)
			r.GetRoute().ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: clusterOf(s)}
			r.TypedPerFilterConfig = perServer(s)
			list = append(list, r)
		}
	}
	// A server's, not any cluster that a header could name.
	own := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: gatewayconfig.ServerClusters}}
	r := serverRoute("mcp-servers", own, usual)
	r.GetRoute().ClusterSpecifier = &routev3.RouteAction_ClusterHeader{ClusterHeader: mcp.HeaderCluster}
	r.GetRoute().ClusterNotFoundResponseCode = routev3.RouteAction_NOT_FOUND
	return append(list, r)
}

// limits are how long a request to a server may take, and rest.
type limits struct{ timeout, idle time.Duration }

func limitsOf(s *gateway.Server) limits { return limits{s.Timeout, s.IdleTimeout} }

// usualLimits are those that most servers have.
func usualLimits(servers []gateway.Server) limits {
	count := map[limits]int{}
	var most limits
	for i := range servers {
		l := limitsOf(&servers[i])
		if count[l]++; count[l] > count[most] {
			most = l
		}
	}
	return most
}

// serverRoute is a route for the clusters that match; where to is still to be said.
func serverRoute(name string, cluster *matcherv3.StringMatcher, l limits) *routev3.Route {
	action := &routev3.RouteAction{
		Timeout: durationpb.New(l.timeout),
		// No retries: a tool must not run twice, and the mere possibility has
		// Envoy keep a copy of every body.
	}
	if l.idle != brokerIdle { // else it is the listener's, already running
		action.IdleTimeout = durationpb.New(l.idle)
	}
	return &routev3.Route{
		Name:   name,
		Match:  anyPath(toCluster(cluster)),
		Action: &routev3.Route_Route{Route: action},
		// The client's credentials are gone by now, and the server's are there: both
		// is the filter's to do, as what stands here can be read in /config_dump.
		RequestHeadersToRemove: []string{mcp.HeaderCluster},
	}
}

// clusterOf is where calls of a server go: a server that Envoy cannot reach is
// served by the broker.
func clusterOf(s *gateway.Server) string {
	if s.Bridged() {
		return ClusterBroker
	}
	return s.Cluster()
}

// retries repeats what cannot have reached the broker, at another replica if
// there is one.
func retries() *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:    "connect-failure,refused-stream,reset-before-request",
		NumRetries: wrapperspb.UInt32(2),
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name: "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
				TypedConfig: pack(&previoushostsv3.PreviousHostsPredicate{}),
			},
		}},
		HostSelectionRetryMaxAttempts: 5,
	}
}
