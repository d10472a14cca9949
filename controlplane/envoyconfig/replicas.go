package envoyconfig

import (
	"net"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mcp-gateway/internal/gatewayconfig"
)

// How replicas of the broker are watched. One that says that it is not ready, as
// it does before it ends, gets nothing more within checkEvery; one that does not
// answer at all may only be slow, so it is given several chances.
const (
	checkEvery   = 500 * time.Millisecond
	checkTimeout = 2 * time.Second
	checkChances = 2
	// checkPanic is the share of healthy replicas, in percent, under which the
	// checks are not believed: only if they say that there is none at all.
	checkPanic = 1
)

// watchReplicas has Envoy ask the replicas behind one name whether they are
// ready, at the internal listener, which has the same name.
func watchReplicas(c *clusterv3.Cluster, p Params) {
	if c.GetType() != clusterv3.Cluster_STRICT_DNS {
		return
	}
	host, _, err := net.SplitHostPort(p.BrokerPublic)
	internalHost, port, internalErr := net.SplitHostPort(p.BrokerInternal)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || internalErr != nil || portErr != nil || host != internalHost {
		return // nobody knows which address of one name is which of the other
	}
	for _, locality := range c.LoadAssignment.Endpoints {
		for _, e := range locality.LbEndpoints {
			e.GetEndpoint().HealthCheckConfig = &endpointv3.Endpoint_HealthCheckConfig{PortValue: uint32(number)}
		}
	}
	c.HealthChecks = []*corev3.HealthCheck{{
		Timeout:            durationpb.New(checkTimeout),
		Interval:           durationpb.New(checkEvery),
		NoTrafficInterval:  durationpb.New(checkEvery),
		UnhealthyThreshold: wrapperspb.UInt32(checkChances),
		HealthyThreshold:   wrapperspb.UInt32(1),
		HealthChecker: &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &corev3.HealthCheck_HttpHealthCheck{
			Host: host, Path: gatewayconfig.PathReady,
		}},
	}}
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: checkPanic}}
}
