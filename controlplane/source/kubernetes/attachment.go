package kubernetes

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/attach"
)

// AttachOptions say that the filter is brought into the Envoys of the Gateway that an
// MCPGateway is at.
type AttachOptions struct {
	// Broker is where the broker answers clients, Internal where it answers filters.
	Broker, Internal attach.Service
	// TrustedCA is as attach.Target has it.
	TrustedCA string
}

// Attachment is what brings the filter into the Envoys of a Gateway.
type Attachment struct {
	// Objects in the order in which they are written; none where nothing is to be there.
	Objects []attach.Object
	// Missing is why they are not written where they are not there yet, as when the
	// Envoys would refuse them; empty if nothing is. Reason goes with it.
	Missing, Reason string
	// Proxies tell the same where the implementation is Envoy Gateway; nil elsewhere.
	Proxies *Proxies
	// Impossible is why there are none, though there is a Gateway.
	Impossible string
}

// An implementation makes the objects for Gateways of the classes of one controller.
var implementations = map[gatewayv1.GatewayController]func(*attach.Target) (attach.Object, error){
	attach.IstioController:        attach.Istio,
	attach.EnvoyGatewayController: attach.EnvoyGateway,
}

// attachment says what is to be there for t; nil to leave it as it is.
func (x *index) attachment(t *Translation, o *AttachOptions) *Attachment {
	switch {
	case o == nil || t.Object == nil: // what was there for an object that is gone goes with it
		return nil
	case t.Object.Spec.TargetRef == nil:
		return &Attachment{}
	case t.Gateway == nil:
		return nil
	}
	at := key{Namespace: t.Object.Namespace, Name: t.Object.Spec.TargetRef.Name}
	className := string(x.gateways[at].Spec.GatewayClassName)
	class := x.class(className)
	implementation := implementations[class.Spec.ControllerName]
	if implementation == nil {
		return &Attachment{Impossible: fmt.Sprintf("GatewayClass %s is of controller %q, whose Envoys the filter is not brought into", className, class.Spec.ControllerName)}
	}
	target := &attach.Target{
		Name: attachedName(t.Object.Name), Namespace: at.Namespace, Gateway: at.Name, Listener: t.Object.Spec.TargetRef.SectionName,
		Endpoint: t.Gateway, InternalHostnames: internalHostnames(t.Object), Broker: o.Broker, Internal: o.Internal, TrustedCA: o.TrustedCA,
	}
	filter, err := implementation(target)
	if err != nil {
		return &Attachment{Impossible: err.Error()}
	}
	// The filter first: without it nothing is to reach the broker.
	objects := []attach.Object{filter, attach.Route(target)}
	for _, object := range objects {
		metadata, _ := object["metadata"].(attach.Object)
		metadata["ownerReferences"] = []any{attach.Object{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": v1alpha1.KindGateway,
			"name": t.Object.Name, "uid": string(t.Object.UID), "controller": true,
		}}
	}
	if first := x.firstAt(t.Object); first != t.Object.Name {
		return &Attachment{Objects: objects, Reason: v1alpha1.ReasonNotAttached,
			Missing: fmt.Sprintf("MCPGateway %s is older, and at Gateway %s already, whose Envoys take the filter for one", first, at)}
	}
	if class.Spec.ControllerName == attach.EnvoyGatewayController {
		return &Attachment{Objects: objects, Proxies: proxies(x.gateways[at], class, &o.Internal), Reason: v1alpha1.ReasonModuleMissing}
	}
	return &Attachment{Objects: objects, Missing: x.missing(at), Reason: v1alpha1.ReasonModuleMissing}
}

// firstAt is the oldest MCPGateway at the Gateway of m. An Envoy has the filter for that
// alone: of two the second would see what the first has aimed at a server, as a request
// past the gateway.
func (x *index) firstAt(m *v1alpha1.MCPGateway) string {
	for _, g := range byAge(x.MCPGateways) {
		if ref := g.Spec.TargetRef; g.Namespace == m.Namespace && ref != nil && ref.Name == m.Spec.TargetRef.Name {
			return g.Name
		}
	}
	return m.Name
}

// class is the GatewayClass of a name; an empty one if it is not known.
func (x *index) class(name string) *gatewayv1.GatewayClass {
	for i := range x.GatewayClasses {
		if x.GatewayClasses[i].Name == name {
			return &x.GatewayClasses[i]
		}
	}
	return &gatewayv1.GatewayClass{}
}

// attachedName is what the objects for an MCPGateway are called.
func attachedName(gateway string) string { return name + "-" + gateway }

// missing says which pods of a Gateway do not say that they have the filter's library.
// An Envoy that is told of a library that it has not refuses the listener: one that runs
// keeps what it had, a new one has no listener at all.
func (x *index) missing(gateway key) string {
	pods, without := 0, []string{}
	for i := range x.Pods {
		p := &x.Pods[i]
		if p.Namespace != gateway.Namespace || p.Labels[labelGateway] != gateway.Name || p.DeletionTimestamp != nil ||
			p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		if pods++; p.Annotations[v1alpha1.AnnotationFilter] == "" {
			without = append(without, p.Name)
		}
	}
	slices.Sort(without)
	switch {
	case pods == 0:
		return fmt.Sprintf("Gateway %s has no pods yet (label %s)", gateway, labelGateway)
	case len(without) > 0:
		return fmt.Sprintf("%d of %d pods of Gateway %s do not say that they have the filter (annotation %s), as %s",
			len(without), pods, gateway, v1alpha1.AnnotationFilter, without[0])
	}
	return ""
}

// labelGateway has the name of the Gateway that a pod is of (GEP-1762).
const labelGateway = "gateway.networking.k8s.io/gateway-name"

// internalHostnames are those of servers' routes that no client may name.
func internalHostnames(m *v1alpha1.MCPGateway) []string {
	if len(m.Spec.InternalHostnames) == 0 {
		return []string{"*.mcp.local"}
	}
	var out []string
	for _, h := range m.Spec.InternalHostnames {
		out = append(out, string(h))
	}
	slices.Sort(out)
	return out
}

// hidden tells what keeps the hostnames of a server's route from being its only for the
// gateway: by each of them clients find the server.
func hidden(route *gatewayv1.HTTPRoute, m *v1alpha1.MCPGateway, endpoint []string) *finding {
	patterns := internalHostnames(m)
	for _, h := range m.Spec.ExposedHostnames {
		patterns = append(patterns, string(h))
	}
	for _, h := range route.Spec.Hostnames {
		switch host := strings.ToLower(string(h)); {
		case slices.ContainsFunc(endpoint, func(own string) bool { return covers(host, own) }):
			return refused(v1alpha1.ReasonUnsupportedValue, "hostname %s of HTTPRoute %s is that of the endpoint", h, keyOf(route))
		case !slices.ContainsFunc(patterns, func(pattern string) bool { return covers(pattern, host) }):
			return refused(v1alpha1.ReasonUnsupportedValue,
				"by hostname %s of HTTPRoute %s clients would reach the server past the gateway: it is neither in spec.internalHostnames nor in spec.exposedHostnames of MCPGateway %s",
				h, keyOf(route), keyOf(m))
		}
	}
	return nil
}

// covers reports whether all hosts of a hostname, which may be a pattern itself, are
// those of a pattern.
func covers(pattern, host string) bool {
	suffix, ok := strings.CutPrefix(pattern, "*")
	return pattern == host || ok && len(host) > len(suffix) && strings.HasSuffix(host, suffix)
}
