package envoyconfig_test

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
)

// Endpoints change with every pod: a cluster that stays the same keeps its
// connections, so they come apart from it.
func TestEndpointsComeApartFromTheirCluster(t *testing.T) {
	t.Parallel()
	build := func(endpoints ...gateway.Endpoint) *envoyconfig.Resources {
		g := parse(t, `servers: [{name: a, url: "http://a.team.svc.cluster.local:8080/mcp"}, {name: b, url: "http://b/mcp"}]`)
		g.Servers[0].Endpoints = append([]gateway.Endpoint{}, endpoints...)
		r, err := envoyconfig.Build(g, params)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	cluster := func(r *envoyconfig.Resources, name string) *clusterv3.Cluster {
		for _, c := range r.Clusters {
			if c.Name == name {
				return c
			}
		}
		t.Fatalf("no cluster %s", name)
		return nil
	}
	before := build(gateway.Endpoint{Address: "10.0.0.1", Port: 80, Weight: 900}, gateway.Endpoint{Address: "10.0.0.2", Port: 81, Weight: 100})
	after := build()
	a := cluster(before, "mcp-server-a@http://a.team.svc.cluster.local:8080")
	if a.GetType() != clusterv3.Cluster_EDS || a.LoadAssignment != nil {
		t.Errorf("the cluster has its endpoints in it: %v", a)
	}
	if !proto.Equal(a, cluster(after, "mcp-server-a@http://a.team.svc.cluster.local:8080")) {
		t.Error("the cluster changed with its endpoints")
	}
	if b := cluster(before, "mcp-server-b@http://b"); b.GetType() != clusterv3.Cluster_STRICT_DNS {
		t.Errorf("a server without endpoints of its own has type %v", b.GetType())
	}
	if len(before.Endpoints) != 1 || len(after.Endpoints) != 1 {
		t.Fatalf("%d and %d assignments", len(before.Endpoints), len(after.Endpoints))
	}
	assignment := before.Endpoints[0]
	hosts := assignment.Endpoints[0].LbEndpoints
	if assignment.ClusterName != "mcp-server-a@http://a.team.svc.cluster.local:8080" || len(hosts) != 2 ||
		hosts[0].GetEndpoint().GetAddress().GetSocketAddress().GetAddress() != "10.0.0.1" ||
		hosts[1].GetLoadBalancingWeight().GetValue() != 100 {
		t.Errorf("the assignment is %v", assignment)
	}
	if n := len(after.Endpoints[0].Endpoints[0].LbEndpoints); n != 0 {
		t.Errorf("%d endpoints are left of none", n)
	}
}
