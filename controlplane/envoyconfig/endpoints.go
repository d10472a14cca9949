package envoyconfig

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mcp-gateway/controlplane/gateway"
)

// declared gives c the endpoints that the gateway names, instead of its URL's host.
func declared(c *clusterv3.Cluster, s *gateway.Server) {
	hosts := make([]*endpointv3.LbEndpoint, 0, len(s.Endpoints))
	for _, e := range s.Endpoints {
		hosts = append(hosts, &endpointv3.LbEndpoint{
			HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: tcpAddress(e.Address, e.Port)}},
			LoadBalancingWeight: wrapperspb.UInt32(max(1, e.Weight)),
		})
	}
	c.DnsLookupFamily = clusterv3.Cluster_AUTO
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: c.Name,
		Endpoints:   []*endpointv3.LocalityLbEndpoints{{LbEndpoints: hosts}},
	}
}

// discovered has the endpoints of servers that name some come by EDS, and returns
// them: they change with every pod, and a cluster that is replaced loses its
// connections.
func discovered(g *gateway.Gateway, clusters []*clusterv3.Cluster) []*endpointv3.ClusterLoadAssignment {
	named := map[string]bool{}
	for _, s := range g.EnabledServers() {
		if s.Endpoints != nil {
			named[s.Cluster()] = true
		}
	}
	var out []*endpointv3.ClusterLoadAssignment
	for _, c := range clusters {
		if !named[c.Name] {
			continue
		}
		out = append(out, c.LoadAssignment)
		c.LoadAssignment = nil
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()}
	}
	return out
}
