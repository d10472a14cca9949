package kubernetes

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"mcp-gateway/controlplane/api/v1alpha1"
)

// older compares objects by age: whoever was first keeps what two want. The API
// server's clock has seconds, so names decide where that does not.
func older[T any, P object[T]](a, b *T) int {
	x, y := P(a), P(b)
	at, bt := x.GetCreationTimestamp(), y.GetCreationTimestamp()
	return cmp.Or(at.Compare(bt.Time), cmp.Compare(x.GetNamespace(), y.GetNamespace()), cmp.Compare(x.GetName(), y.GetName()))
}

// byAge returns pointers to the list's objects, oldest first.
func byAge[T any, P object[T]](list []T) []*T {
	out := make([]*T, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	slices.SortFunc(out, older[T, P])
	return out
}

// membership tells which gateway an object is part of. Every control plane comes
// to the same answer, so that exactly one of them says what has become of it.
type membership struct {
	*index
	oldest []*v1alpha1.MCPGateway
	byKey  map[key]*v1alpha1.MCPGateway
}

func newMembership(x *index) *membership {
	return &membership{index: x, oldest: byAge(x.MCPGateways), byKey: byKey[v1alpha1.MCPGateway](x.MCPGateways)}
}

// speaker is the gateway whose control plane tells of objects that are part of
// none.
func (m *membership) speaker(own key) key {
	if len(m.oldest) == 0 {
		return own
	}
	return client.ObjectKeyFromObject(m.oldest[0])
}

// named returns the gateway of a reference.
func (m *membership) named(ref v1alpha1.GatewayReference, namespace string) (*v1alpha1.MCPGateway, *finding) {
	at := key{Namespace: or(ref.Namespace, namespace), Name: ref.Name}
	g := m.byKey[at]
	if g == nil {
		return nil, refused(v1alpha1.ReasonNoMatchingGateway, "there is no MCPGateway %s", at)
	}
	if !m.allows(g, namespace) {
		return g, refused(v1alpha1.ReasonNotAllowed, "MCPGateway %s admits nothing from namespace %s (spec.allowedServers)", at, namespace)
	}
	return g, nil
}

// ofServer returns the gateway of a server: the one that it names, or the oldest
// whose Gateway its route is attached to.
func (m *membership) ofServer(s *v1alpha1.MCPServer) (*v1alpha1.MCPGateway, *finding) {
	if s.Spec.GatewayRef != nil {
		return m.named(*s.Spec.GatewayRef, s.Namespace)
	}
	at := routeKey(s)
	if !m.permits(fromServer(s), gatewayv1.GroupName, "HTTPRoute", at) {
		return nil, notPermitted("HTTPRoute", at) // before anything is told of it
	}
	route := m.routes[at]
	var barred *v1alpha1.MCPGateway
	for _, g := range m.oldest {
		if route == nil || g.Spec.TargetRef == nil || parent(route, g) == nil {
			continue
		}
		if m.allows(g, s.Namespace) {
			return g, nil
		}
		if barred == nil {
			barred = g
		}
	}
	switch {
	case barred != nil:
		return barred, refused(v1alpha1.ReasonNotAllowed, "MCPGateway %s/%s admits nothing from namespace %s (spec.allowedServers)", barred.Namespace, barred.Name, s.Namespace)
	case route == nil:
		return nil, refused(v1alpha1.ReasonNoMatchingGateway, "there is no HTTPRoute %s that would tell the gateway, and no gatewayRef", at)
	}
	return nil, refused(v1alpha1.ReasonNoMatchingGateway, "HTTPRoute %s is attached to no Gateway that is the targetRef of an MCPGateway, and there is no gatewayRef", at)
}

// allows reports whether servers of a namespace may join g.
func (m *membership) allows(g *v1alpha1.MCPGateway, namespace string) bool {
	if g.Spec.AllowedServers == nil {
		return namespace == g.Namespace
	}
	from := &g.Spec.AllowedServers.Namespaces
	switch from.From {
	case v1alpha1.FromAll:
		return true
	case v1alpha1.FromSelector:
		selector, err := metav1.LabelSelectorAsSelector(from.Selector)
		n := m.namespaces[namespace]
		return err == nil && n != nil && selector.Matches(labels.Set(n.Labels))
	}
	return namespace == g.Namespace
}

// parent returns the route's reference to g's Gateway, nil if there is none.
func parent(route *gatewayv1.HTTPRoute, g *v1alpha1.MCPGateway) *gatewayv1.ParentReference {
	for i := range route.Spec.ParentRefs {
		if p := &route.Spec.ParentRefs[i]; isParent(p, route.Namespace, g) {
			return p
		}
	}
	return nil
}

// isParent reports whether p, of a route in namespace, is the Gateway that g stands
// for: by whichever listener, as servers are mostly behind another than clients are.
func isParent(p *gatewayv1.ParentReference, namespace string, g *v1alpha1.MCPGateway) bool {
	t := g.Spec.TargetRef
	group, kind := gatewayv1.Group(gatewayv1.GroupName), gatewayv1.Kind("Gateway")
	if p.Group != nil {
		group = *p.Group
	}
	if p.Kind != nil {
		kind = *p.Kind
	}
	if p.Namespace != nil {
		namespace = string(*p.Namespace)
	}
	return group == gatewayv1.GroupName && kind == "Gateway" && namespace == g.Namespace && string(p.Name) == t.Name
}

// attached tells what keeps route from being one of g's Gateway.
func attached(route *gatewayv1.HTTPRoute, g *v1alpha1.MCPGateway) *finding {
	at := key{Namespace: route.Namespace, Name: route.Name}
	var barred *finding
	if parent(route, g) == nil {
		return refused(v1alpha1.ReasonNoMatchingGateway, "HTTPRoute %s names Gateway %s/%s as no parent", at, g.Namespace, g.Spec.TargetRef.Name)
	}
	for i := range route.Status.Parents {
		s := &route.Status.Parents[i]
		c := meta.FindStatusCondition(s.Conditions, string(gatewayv1.RouteConditionAccepted))
		if !isParent(&s.ParentRef, route.Namespace, g) || c == nil {
			continue
		}
		if c.Status == metav1.ConditionTrue {
			return nil
		}
		barred = refused(v1alpha1.ReasonNoMatchingGateway, "Gateway %s/%s does not accept HTTPRoute %s: %s", g.Namespace, g.Spec.TargetRef.Name, at, c.Reason)
	}
	if barred != nil {
		return barred
	}
	return refused(v1alpha1.ReasonPending, "Gateway %s/%s has not said yet whether it accepts HTTPRoute %s", g.Namespace, g.Spec.TargetRef.Name, at)
}

func routeKey(s *v1alpha1.MCPServer) key {
	if s.Spec.TargetRef == nil {
		return key{}
	}
	return key{Namespace: or(s.Spec.TargetRef.Namespace, s.Namespace), Name: s.Spec.TargetRef.Name}
}

func fromServer(s *v1alpha1.MCPServer) referrer {
	return referrer{v1alpha1.GroupVersion.Group, v1alpha1.KindServer, s.Namespace}
}

func notPermitted(kind string, to key) *finding {
	return unresolved(v1alpha1.ReasonRefNotPermitted, "no ReferenceGrant in namespace %s permits to refer to %s %s", to.Namespace, kind, to.Name)
}
