package kubernetes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
)

// served is a gateway with the servers a and b, and the endpoint part.
func served(t *testing.T) *Translation {
	t.Helper()
	o := &Objects{
		MCPGateways: []v1alpha1.MCPGateway{{ObjectMeta: metav1.ObjectMeta{Namespace: "infra", Name: "main"}}},
		MCPVirtualServers: []v1alpha1.MCPVirtualServer{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "infra", Name: "part"},
			Spec:       v1alpha1.MCPVirtualServerSpec{GatewayRef: v1alpha1.GatewayReference{Name: "main"}},
		}},
	}
	for _, name := range []string{"a", "b"} {
		o.MCPServers = append(o.MCPServers, v1alpha1.MCPServer{
			ObjectMeta: metav1.ObjectMeta{Namespace: "infra", Name: name, Generation: 3},
			Spec:       v1alpha1.MCPServerSpec{GatewayRef: &v1alpha1.GatewayReference{Name: "main"}, URL: "http://" + name + ".example/mcp"},
		})
	}
	tr := Translate(o, options)
	if tr.Gateway == nil || len(tr.Gateway.Servers) != 2 || len(tr.Gateway.VirtualServers) != 1 {
		t.Fatal("nothing is served")
	}
	return tr
}

func seen(state gatewayconfig.ServerState, failure gatewayconfig.Failure) gatewayconfig.ServerReport {
	s := gatewayconfig.ServerReport{Name: "infra.a", State: state, Failure: failure}
	switch state {
	case gatewayconfig.ServerReady:
		s.Revision, s.ServerName, s.ServerVersion, s.Tools = "2025-11-25", "demo", "1", 4
	case gatewayconfig.ServerFailed:
		s.Error = "why"
	}
	return s
}

// Ready is what all brokers see, and Programmed what all of them have.
func TestStatusIsWhatTheBrokersSee(t *testing.T) {
	t.Parallel()
	tr := served(t)
	h := history{}.with(record{digest: "old"}).with(recordOf("now", tr.Gateway))
	report := func(digest string, servers ...gatewayconfig.ServerReport) gatewayconfig.Report {
		return gatewayconfig.Report{Config: digest, Ready: true, Servers: servers}
	}
	ready, connecting := seen(gatewayconfig.ServerReady, ""), seen(gatewayconfig.ServerConnecting, "")
	for name, test := range map[string]struct {
		reports []gatewayconfig.Report
		want    string
	}{
		"no broker":         {nil, "Programmed Unknown NoBroker, Ready Unknown NoBroker"},
		"not yet there":     {[]gatewayconfig.Report{report("old")}, "Programmed False Pending, Ready False Pending"},
		"not yet answered":  {[]gatewayconfig.Report{report("now", connecting)}, "Programmed True Programmed, Ready False Connecting"},
		"answered":          {[]gatewayconfig.Report{report("now", ready)}, "Programmed True Programmed, Ready True Listed"},
		"of another digest": {[]gatewayconfig.Report{report("unheard of", ready)}, "Programmed False Pending, Ready True Listed"},
		"one of two has it": {[]gatewayconfig.Report{report("now", ready), report("old")}, "Programmed False Pending, Ready True Listed"},
		"one of two fails": {[]gatewayconfig.Report{report("now", ready), report("now", seen(gatewayconfig.ServerFailed, gatewayconfig.FailureUnreachable))},
			"Programmed True Programmed, Ready False Unreachable"},
		"one fails, one is slow": {[]gatewayconfig.Report{report("now", connecting), report("now", seen(gatewayconfig.ServerFailed, gatewayconfig.FailureProtocol))},
			"Programmed True Programmed, Ready False ProtocolMismatch"},
		"unauthorized": {[]gatewayconfig.Report{report("now", seen(gatewayconfig.ServerFailed, gatewayconfig.FailureUnauthorized))},
			"Programmed True Programmed, Ready False Unauthorized"},
		"blocked": {[]gatewayconfig.Report{report("now", seen(gatewayconfig.ServerBlocked, ""))}, "Programmed True Programmed, Ready False NotTrusted"},
	} {
		status := tr.serverStatus(&tr.Servers[0], &View{Reports: test.reports, Has: h.has}, nil)
		var got []string
		for _, c := range status.Conditions[2:] {
			got = append(got, fmt.Sprintf("%s %s %s", c.Type, c.Status, c.Reason))
			if c.ObservedGeneration != 3 {
				t.Errorf("%s: %s is of generation %d", name, c.Type, c.ObservedGeneration)
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		counted := status.Tools != nil && *status.Tools == 4 && status.Revision == "2025-11-25" && status.ServerInfo.Name == "demo"
		if answered := strings.Contains(name, "answered") && name != "not yet answered"; answered && !counted {
			t.Errorf("%s: the status is %+v", name, status)
		}
	}
	of := tr.gatewayStatus(&View{Reports: []gatewayconfig.Report{report("now", ready)}, Has: h.has}, nil)
	if *of.Servers != 2 || *of.ServersReady != 1 || *of.Brokers != 1 || of.Conditions[3].Reason != v1alpha1.ReasonServing {
		t.Errorf("the gateway's status is %+v", of)
	}
	with := report("now", ready)
	with.Endpoints = []gatewayconfig.EndpointReport{{Path: "/mcp/part", Tools: 4}}
	part := tr.virtualServerStatus(&tr.VirtualServers[0], &View{Reports: []gatewayconfig.Report{with}, Has: h.has}, nil)
	if part.Path != "/mcp/part" || *part.Tools != 4 || part.Conditions[2].Status != metav1.ConditionTrue || part.Conditions[3].Status != metav1.ConditionTrue {
		t.Errorf("the virtual server's status is %+v", part)
	}
}

// A broker that has an older configuration has a server that has not changed since.
func TestHistoryKnowsWhatHasNotChanged(t *testing.T) {
	t.Parallel()
	one := gateway.Default()
	one.Servers = []gateway.Server{{Name: "a", URL: "http://a/mcp"}}
	two := one
	two.Servers = []gateway.Server{{Name: "a", URL: "http://a/mcp", Endpoints: []gateway.Endpoint{{Address: "10.0.0.1", Port: 80}}}, {Name: "b", URL: "http://b/mcp"}}
	three := two
	three.Servers = []gateway.Server{two.Servers[0], {Name: "b", URL: "http://other/mcp"}}
	h := history{}.with(recordOf("1", &one)).with(recordOf("2", &two)).with(recordOf("3", &three))
	for _, test := range []struct {
		digest, part string
		want         bool
	}{
		{"1", "a", true}, {"2", "a", true}, {"3", "a", true},
		{"1", "b", false}, {"2", "b", false}, {"3", "b", true},
		{"1", "", true}, {"3", "c", false}, {"0", "a", false}, {"", "a", false},
	} {
		if got := h.has(test.digest, test.part); got != test.want {
			t.Errorf("configuration %q has %q: %v", test.digest, test.part, got)
		}
	}
	for i := range 2 * mostRecords {
		h = h.with(record{digest: fmt.Sprint("x", i)})
	}
	if len(h) != mostRecords || h[len(h)-1].digest != fmt.Sprint("x", 2*mostRecords-1) {
		t.Errorf("%d records are kept, the last is %s", len(h), h[len(h)-1].digest)
	}
}
