package envoyconfig

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
)

const (
	brokerConnectTimeout = 2 * time.Second
	// serverKeep closes a server's idle connections before the server does:
	// common servers wait 5 s, and a request that meets their close is lost,
	// for it must not be sent twice. brokerKeep has only our own broker to beat.
	serverKeep = 4 * time.Second
	brokerKeep = 30 * time.Second

	// An open event stream holds a connection and a request for as long as it
	// lives, so Envoy's default of 1024 would be the number of streams. Those of
	// the clients' own GETs all go to the broker.
	serverStreams = 16 << 10
	brokerStreams = 64 << 10
	maxRetries    = 64 // at one time and cluster
)

func clusters(g *gateway.Gateway, p Params) ([]*clusterv3.Cluster, error) {
	list := []*clusterv3.Cluster{}
	for _, b := range []struct{ name, address string }{{ClusterBroker, p.BrokerPublic}, {ClusterInternal, p.BrokerInternal}} {
		c, err := localCluster(b.name, b.address, http1(brokerKeep))
		if err != nil {
			return nil, err
		}
		if b.name == ClusterBroker && c.GetType() == clusterv3.Cluster_STRICT_DNS {
			// Several replicas behind one name: routes that hash find the same one
			// again, for all others the choice is random.
			c.LbPolicy = clusterv3.Cluster_RING_HASH
		}
		watchReplicas(c, p)
		list = append(list, c)
	}
	for _, s := range g.EnabledServers() {
		if s.Bridged() {
			continue // its calls go to the broker
		}
		c, err := serverCluster(&s, p)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	keys, err := keysClusters(g, p)
	if err != nil {
		return nil, err
	}
	list = append(list, keys...)
	for i := range g.EnvoyClusters {
		c, err := operatorCluster(&g.EnvoyClusters[i], p)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *clusterv3.Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// localCluster is one of our own processes, by "unix:/path" or "host:port".
func localCluster(name, address string, options *anypb.Any) (*clusterv3.Cluster, error) {
	c := newCluster(name, brokerConnectTimeout, brokerStreams, options)
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if err := checkSocket(path); err != nil {
			return nil, fmt.Errorf("address of %s: %w", name, err)
		}
		endpoint(c, clusterv3.Cluster_STATIC, pipe(path))
		c.UpstreamConnectionOptions = nil // keep-alive is TCP's
		return c, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %q is neither unix:/path nor host:port", name, address)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || host == "" {
		return nil, fmt.Errorf("address of %s: %q is neither unix:/path nor host:port", name, address)
	}
	place(c, host, uint32(number))
	return c, nil
}

func serverCluster(s *gateway.Server, p Params) (*clusterv3.Cluster, error) {
	c := newCluster(s.Cluster(), s.ConnectTimeout, serverStreams, http1(serverKeep))
	c.AltStatName = gatewayconfig.ServerClusters + s.Name // for statistics and logs, at whatever address
	trusted := inFile(p.TrustedCA)
	if s.CACert != "" {
		trusted = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s.CACert}}
	}
	if err := remote(c, s.URL, trusted); err != nil {
		return nil, fmt.Errorf("server %s: its url %w", s.Name, err)
	}
	if s.Endpoints != nil {
		declared(c, s)
	}
	return c, nil
}

// remote has c reach the host of a URL, by TLS for https, whose certificate one of
// the trusted authorities has to have signed.
func remote(c *clusterv3.Cluster, at string, trusted *corev3.DataSource) error {
	u, err := url.Parse(at)
	if err != nil {
		return errors.New("is no URL") // the error of url.Parse quotes it, secrets and all
	}
	port, secure := uint32(80), u.Scheme == "https"
	if secure {
		port = 443
	}
	if u.Port() != "" {
		number, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return errors.New("has a port that is none")
		}
		port = uint32(number)
	}
	place(c, u.Hostname(), port)
	if secure {
		c.TransportSocket = tls(u.Hostname(), trusted, "http/1.1")
	}
	return nil
}

func newCluster(name string, connect time.Duration, streams uint32, options *anypb.Any) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:           name,
		ConnectTimeout: durationpb.New(connect),
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections:     wrapperspb.UInt32(streams),
			MaxPendingRequests: wrapperspb.UInt32(streams),
			MaxRequests:        wrapperspb.UInt32(streams),
			MaxRetries:         wrapperspb.UInt32(maxRetries),
		}}},
		// A peer that vanished under an idle stream is found out.
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
			KeepaliveTime:     wrapperspb.UInt32(60),
			KeepaliveInterval: wrapperspb.UInt32(20),
			KeepaliveProbes:   wrapperspb.UInt32(3),
		}},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
	}
}

// place sets where c's only host is: an IP address as it is, localhost at both
// loopback addresses (a server listens on one of them, which one is chance),
// any other name by DNS.
func place(c *clusterv3.Cluster, host string, port uint32) {
	if addr, err := netip.ParseAddr(host); err == nil {
		endpoint(c, clusterv3.Cluster_STATIC, tcpAddress(addr.String(), port))
		return
	}
	if strings.EqualFold(host, "localhost") {
		endpoint(c, clusterv3.Cluster_STATIC, tcpAddress("127.0.0.1", port), tcpAddress("::1", port))
		return
	}
	c.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	endpoint(c, clusterv3.Cluster_STRICT_DNS, tcpAddress(host, port))
}

// endpoint gives c its only host; others are further addresses of that host,
// tried when the first does not answer.
func endpoint(c *clusterv3.Cluster, kind clusterv3.Cluster_DiscoveryType, address *corev3.Address, others ...*corev3.Address) {
	host := &endpointv3.Endpoint{Address: address}
	for _, other := range others {
		host.AdditionalAddresses = append(host.AdditionalAddresses, &endpointv3.Endpoint_AdditionalAddress{Address: other})
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: kind}
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: c.Name,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: host}}},
		}},
	}
}

func http1(keep time.Duration) *anypb.Any {
	return pack(&httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(keep)},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{},
			},
		},
	})
}

// tls checks the server's certificate for the host of its URL, whatever Host
// header it is sent. protocol is the one that is offered (ALPN).
func tls(host string, trusted *corev3.DataSource, protocol string) *corev3.TransportSocket {
	san := &tlsv3.SubjectAltNameMatcher{
		SanType: tlsv3.SubjectAltNameMatcher_DNS,
		Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: host}},
	}
	sni := host
	if addr, err := netip.ParseAddr(host); err == nil {
		sni = "" // RFC 6066 section 3: no addresses
		san.SanType = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
		san.Matcher.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: addr.String()}
	}
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(&tlsv3.UpstreamTlsContext{
			Sni: sni,
			CommonTlsContext: &tlsv3.CommonTlsContext{
				AlpnProtocols: []string{protocol},
				ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
					TrustedCa:                 trusted,
					MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{san},
				}},
			},
		})},
	}
}

// inFile is a file as Envoy sees it.
func inFile(name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
}

func tcpAddress(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// checkSocket refuses a socket path that no process could bind.
func checkSocket(path string) error {
	const longest = 107 // sun_path of unix(7), without its end mark
	switch {
	case path == "":
		return errors.New("the path after unix: is missing")
	case len(path) > longest:
		return fmt.Errorf("socket path of %d bytes: at most %d are possible: %s", len(path), longest, path)
	}
	return nil
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
}
