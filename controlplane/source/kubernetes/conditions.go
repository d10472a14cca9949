package kubernetes

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/internal/gatewayconfig"
)

// View is what the brokers of the gateway see.
type View struct {
	// Reports of those that answer.
	Reports []gatewayconfig.Report
	// Has reports whether the configuration with a digest has a server, or with an
	// empty name the gateway itself, as it is now.
	Has func(digest, server string) bool
	// Detached is what keeps the endpoint from being at its Gateway; nil for nothing.
	Detached *saying
}

// saying is one condition but for its time.
type saying struct {
	kind, reason, message string
	status                metav1.ConditionStatus
}

func yes(kind, reason, message string) saying {
	return saying{kind, reason, message, metav1.ConditionTrue}
}

func no(kind, reason, message string) saying {
	return saying{kind, reason, message, metav1.ConditionFalse}
}

func unknown(kind, reason, message string) saying {
	return saying{kind, reason, message, metav1.ConditionUnknown}
}

// conditions makes conditions of sayings: the time of what was said before is the
// same. Conditions of others are theirs.
func conditions(before []metav1.Condition, generation int64, sayings []saying) []metav1.Condition {
	out := make([]metav1.Condition, 0, len(sayings))
	for _, s := range sayings {
		at := metav1.Now().Rfc3339Copy()
		if b := meta.FindStatusCondition(before, s.kind); b != nil && b.Status == s.status {
			at = b.LastTransitionTime
		}
		out = append(out, metav1.Condition{
			Type: s.kind, Status: s.status, Reason: s.reason, Message: s.message, ObservedGeneration: generation, LastTransitionTime: at,
		})
	}
	return out
}

// sayings are those that are known before anything is served.
func (v *Verdict) sayings() []saying {
	accepted := yes(v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted, "")
	if v.Accepted != nil {
		accepted = no(v1alpha1.ConditionAccepted, v.Accepted.reason, v.Accepted.message)
	}
	resolved := yes(v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonResolvedRefs, "")
	if v.Resolved != nil {
		resolved = no(v1alpha1.ConditionResolvedRefs, v.Resolved.reason, v.Resolved.message)
	}
	return []saying{accepted, resolved}
}

// both are Programmed and Ready for one reason.
func both(of func(kind, reason, message string) saying, reason, message string) []saying {
	return []saying{of(v1alpha1.ConditionProgrammed, reason, message), of(v1alpha1.ConditionReady, reason, message)}
}

// programmed says whether the brokers have what has a name.
func (v *View) programmed(name string) saying {
	n := 0
	for i := range v.Reports {
		if v.Has(v.Reports[i].Config, name) {
			n++
		}
	}
	switch {
	case len(v.Reports) == 0:
		return unknown(v1alpha1.ConditionProgrammed, v1alpha1.ReasonNoBroker, "no broker answers")
	case n < len(v.Reports):
		return no(v1alpha1.ConditionProgrammed, v1alpha1.ReasonPending, fmt.Sprintf("%d of %d brokers have it", n, len(v.Reports)))
	}
	return yes(v1alpha1.ConditionProgrammed, v1alpha1.ReasonProgrammed, fmt.Sprintf("%d of %d brokers have it", n, n))
}

// serverStatus is what s has become, as the brokers in v see it, after the conditions
// before.
func (t *Translation) serverStatus(s *ServerResult, v *View, before []metav1.Condition) v1alpha1.MCPServerStatus {
	out := v1alpha1.MCPServerStatus{}
	says := s.sayings()
	switch {
	case !s.Served() || s.Model == nil:
		says = append(says, both(no, v1alpha1.ReasonNotServed, "see Accepted and ResolvedRefs")...)
	case !s.Model.Enabled:
		says = append(says, both(no, v1alpha1.ReasonDisabled, "spec.state is Disabled")...)
	case t.Gateway == nil:
		says = append(says, both(no, v1alpha1.ReasonInvalid, "the MCPGateway cannot be served as it is, see its conditions")...)
	default:
		says = append(says, v.programmed(s.Name), v.ready(s.Name, &out))
	}
	if s.Gateway != nil {
		out.Gateway = &v1alpha1.GatewayReference{Name: s.Gateway.Name, Namespace: s.Gateway.Namespace}
		out.ServerName = s.Name
	}
	out.Conditions = conditions(before, s.Object.Generation, says)
	return out
}

// ready says what the brokers see of a server, and takes the counts of the first
// that has them. All brokers have to agree: a client may meet any of them.
func (v *View) ready(name string, into *v1alpha1.MCPServerStatus) saying {
	var worst *gatewayconfig.ServerReport
	var good *gatewayconfig.ServerReport
	for i := range v.Reports {
		list := v.Reports[i].Servers
		j := slices.IndexFunc(list, func(s gatewayconfig.ServerReport) bool { return s.Name == name })
		switch {
		case j < 0: // it has another configuration, see Programmed
		case list[j].State == gatewayconfig.ServerReady:
			if good == nil {
				good = &list[j]
			}
		case worst == nil || worst.State == gatewayconfig.ServerConnecting:
			worst = &list[j]
		}
	}
	if seen := good; seen != nil || worst != nil {
		if seen == nil {
			seen = worst
		}
		if seen.Revision != "" { // it has answered once
			into.Tools, into.Prompts, into.Resources = count(seen.Tools), count(seen.Prompts), count(seen.Resources)
			into.Revision = seen.Revision
			into.ServerInfo = &v1alpha1.ServerInfo{Name: seen.ServerName, Version: seen.ServerVersion}
		}
	}
	switch {
	case worst != nil:
		return unready(worst)
	case good != nil:
		return yes(v1alpha1.ConditionReady, v1alpha1.ReasonListed,
			fmt.Sprintf("the server has answered: %d tools, %d prompts, %d resources", good.Tools, good.Prompts, good.Resources))
	case len(v.Reports) == 0:
		return unknown(v1alpha1.ConditionReady, v1alpha1.ReasonNoBroker, "no broker answers")
	}
	return no(v1alpha1.ConditionReady, v1alpha1.ReasonPending, "no broker has the server yet")
}

// reasons of failures.
var reasons = map[gatewayconfig.Failure]string{
	gatewayconfig.FailureUnreachable:  v1alpha1.ReasonUnreachable,
	gatewayconfig.FailureUnauthorized: v1alpha1.ReasonUnauthorized,
	gatewayconfig.FailureProtocol:     v1alpha1.ReasonProtocolMismatch,
}

func unready(s *gatewayconfig.ServerReport) saying {
	switch s.State {
	case gatewayconfig.ServerBlocked:
		return no(v1alpha1.ConditionReady, v1alpha1.ReasonNotTrusted, "its definitions are not those that were trusted: mcp-gateway diff shows them")
	case gatewayconfig.ServerFailed:
		return no(v1alpha1.ConditionReady, or(reasons[s.Failure], v1alpha1.ReasonUnreachable), s.Error)
	}
	return no(v1alpha1.ConditionReady, v1alpha1.ReasonConnecting, "the server has not answered yet")
}

// gatewayStatus is what the gateway has become.
func (t *Translation) gatewayStatus(v *View, before []metav1.Condition) v1alpha1.MCPGatewayStatus {
	out := v1alpha1.MCPGatewayStatus{Brokers: count(len(v.Reports))}
	served, ready := 0, 0
	for i := range t.Servers {
		s := &t.Servers[i]
		if s.Model == nil || !s.Model.Enabled {
			continue
		}
		served++
		if v.ready(s.Name, &v1alpha1.MCPServerStatus{}).status == metav1.ConditionTrue {
			ready++
		}
	}
	out.Servers, out.ServersReady = count(served), count(ready)
	says := t.Endpoint.sayings()
	if t.Gateway == nil {
		says = append(says, both(no, v1alpha1.ReasonInvalid, "what was served before stays: see Accepted and ResolvedRefs")...)
	} else {
		programmed := v.programmed("")
		if v.Detached != nil {
			programmed = *v.Detached
		}
		says = append(says, programmed, v.serving())
	}
	out.Conditions = conditions(before, t.Object.Generation, says)
	return out
}

// serving says whether there is a broker that takes requests.
func (v *View) serving() saying {
	n := 0
	for i := range v.Reports {
		if v.Reports[i].Ready {
			n++
		}
	}
	switch {
	case len(v.Reports) == 0:
		return no(v1alpha1.ConditionReady, v1alpha1.ReasonNoBroker, "no broker answers")
	case n == 0:
		return no(v1alpha1.ConditionReady, v1alpha1.ReasonPending, "the brokers have not tried all servers yet")
	}
	return yes(v1alpha1.ConditionReady, v1alpha1.ReasonServing, fmt.Sprintf("%d of %d brokers take requests", n, len(v.Reports)))
}

// virtualServerStatus is what a virtual server has become.
func (t *Translation) virtualServerStatus(s *VirtualServerResult, v *View, before []metav1.Condition) v1alpha1.MCPVirtualServerStatus {
	out := v1alpha1.MCPVirtualServerStatus{}
	says := s.sayings()
	switch {
	case s.Model == nil:
		says = append(says, both(no, v1alpha1.ReasonNotServed, "see Accepted and ResolvedRefs")...)
	case t.Gateway == nil:
		says = append(says, both(no, v1alpha1.ReasonInvalid, "the MCPGateway cannot be served as it is, see its conditions")...)
	default:
		out.Path = endpointPath(t.Gateway.Path, s.Name)
		says = append(says, v.programmed("/"+s.Name), v.shown(out.Path, &out))
	}
	out.Conditions = conditions(before, s.Object.Generation, says)
	return out
}

// shown says whether the brokers have the endpoint, and what it shows.
func (v *View) shown(path string, into *v1alpha1.MCPVirtualServerStatus) saying {
	for i := range v.Reports {
		for _, e := range v.Reports[i].Endpoints {
			if e.Path == path {
				into.Tools, into.Prompts, into.Resources = count(e.Tools), count(e.Prompts), count(e.Resources)
				return yes(v1alpha1.ConditionReady, v1alpha1.ReasonServing, fmt.Sprintf("%d tools, %d prompts, %d resources", e.Tools, e.Prompts, e.Resources))
			}
		}
	}
	if len(v.Reports) == 0 {
		return unknown(v1alpha1.ConditionReady, v1alpha1.ReasonNoBroker, "no broker answers")
	}
	return no(v1alpha1.ConditionReady, v1alpha1.ReasonPending, "no broker has the endpoint yet")
}

func count(n int) *int32 {
	c := int32(n)
	return &c
}

// keyOf is the name of an object.
func keyOf(o client.Object) key { return client.ObjectKeyFromObject(o) }
