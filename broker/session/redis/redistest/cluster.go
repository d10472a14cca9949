package redistest

import (
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/test/freeport"
)

// slots is how many a cluster has.
const slots = 16384

// StartCluster runs a Redis Cluster of two nodes, each with half of the slots,
// until the test ends.
func StartCluster(tb testing.TB) []*Server {
	tb.Helper()
	return startCluster(tb, 2, calm)
}

// StartClusterWithReplica runs a Redis Cluster of three nodes and a replica of the
// first, the last of the four, until the test ends. It takes some seconds for the
// replica to replace the first node once that is gone.
func StartClusterWithReplica(tb testing.TB) []*Server {
	tb.Helper()
	nodes := startCluster(tb, 3, alert)
	bus := fmt.Sprint(freeport.Port(tb))
	replica := startNode(tb, bus, alert)
	nodes[0].Must("CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(replica.port), bus)
	id := nodes[0].Command("CLUSTER", "MYID")
	replica.Await(func(answer string) bool { return answer == "+OK" }, "CLUSTER", "REPLICATE", id)
	replica.Await(func(info string) bool { return strings.Contains(info, "master_link_status:up") }, "INFO", "replication")
	for _, n := range nodes {
		n.Await(func(known string) bool { return strings.Count(known, " slave ") == 1 }, "CLUSTER", "NODES")
	}
	return append(nodes, replica)
}

// How many ms a node may be silent. A busy machine takes its time.
const (
	calm  = "30000"
	alert = "3000"
)

func startNode(tb testing.TB, bus, timeout string) *Server {
	return Start(tb, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", timeout)
}

func startCluster(tb testing.TB, n int, timeout string) []*Server {
	tb.Helper()
	nodes := make([]*Server, n)
	for i := range nodes {
		bus := fmt.Sprint(freeport.Port(tb))
		nodes[i] = startNode(tb, bus, timeout)
		nodes[i].Must("CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*slots/n), fmt.Sprint((i+1)*slots/n-1))
		if i > 0 {
			nodes[0].Must("CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(nodes[i].port), bus)
		}
	}
	for _, node := range nodes {
		node.Await(func(info string) bool {
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384")
		}, "CLUSTER", "INFO")
	}
	return nodes
}
