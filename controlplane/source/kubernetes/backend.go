package kubernetes

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/gateway"
)

// backend is one of those that a rule shares requests out to.
type backend struct {
	weight int32
	secure bool
	host   string // the name by which the broker reaches it
	port   int32
	// endpoints are a Service's pods; byName is true for what has none but a name.
	endpoints []gateway.Endpoint
	byName    bool
}

// url is where the broker reaches it.
func (b *backend) url(path string) string {
	scheme := "http"
	if b.secure {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(b.host, strconv.Itoa(int(b.port))) + path
}

// istioGroup and kindHostname are Istio's way to say that a backend is a host
// outside.
const (
	istioGroup   = "networking.istio.io"
	kindHostname = "Hostname"
)

// backends resolves those of a rule that get anything, in their order.
func (x *index) backends(route *gatewayv1.HTTPRoute, rule *gatewayv1.HTTPRouteRule, foreign bool) ([]backend, *finding) {
	var out []backend
	for i := range rule.BackendRefs {
		ref := &rule.BackendRefs[i]
		weight := int32(1)
		if ref.Weight != nil {
			weight = *ref.Weight
		}
		if weight == 0 {
			continue
		}
		if len(ref.Filters) > 0 && !foreign {
			return nil, unsupported("filters of a backend")
		}
		b, wrong := x.backend(route, &ref.BackendObjectReference)
		if wrong != nil {
			return nil, wrong
		}
		b.weight = weight
		out = append(out, *b)
	}
	if len(out) == 0 {
		return nil, unresolved(v1alpha1.ReasonBackendNotFound, "the rule of HTTPRoute %s/%s has no backend with a weight", route.Namespace, route.Name)
	}
	for i := range out {
		switch {
		case foreign || len(out) == 1:
		case out[i].byName:
			return nil, unsupported("a backend outside the cluster beside others")
		case out[i].secure != out[0].secure:
			return nil, unsupported("backends with TLS beside others without")
		}
	}
	return out, nil
}

func (x *index) backend(route *gatewayv1.HTTPRoute, ref *gatewayv1.BackendObjectReference) (*backend, *finding) {
	group, kind := "", "Service"
	at := key{Namespace: route.Namespace, Name: string(ref.Name)}
	if ref.Group != nil {
		group = string(*ref.Group)
	}
	if ref.Kind != nil {
		kind = string(*ref.Kind)
	}
	if ref.Namespace != nil {
		at.Namespace = string(*ref.Namespace)
	}
	switch {
	case group == istioGroup && kind == kindHostname:
		port := int32(443)
		if ref.Port != nil {
			port = int32(*ref.Port)
		}
		return &backend{host: at.Name, port: port, secure: port == 443, byName: true}, nil
	case group != "" || kind != "Service":
		return nil, unresolved(v1alpha1.ReasonInvalidKind, "backend %s is of kind %s in group %q: want Service", at.Name, kind, group)
	case !x.permits(referrer{gatewayv1.GroupName, "HTTPRoute", route.Namespace}, group, kind, at):
		return nil, notPermitted(kind, at)
	case ref.Port == nil:
		return nil, unresolved(v1alpha1.ReasonBackendNotFound, "the reference to Service %s names no port", at)
	}
	return x.service(at, int32(*ref.Port))
}

func (x *index) service(at key, number int32) (*backend, *finding) {
	s := x.services[at]
	if s == nil {
		return nil, unresolved(v1alpha1.ReasonBackendNotFound, "there is no Service %s", at)
	}
	b := &backend{host: fmt.Sprintf("%s.%s.svc.%s", at.Name, at.Namespace, x.domain), port: number}
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == number })
	external := s.Spec.Type == corev1.ServiceTypeExternalName
	if i < 0 && !external {
		return nil, unresolved(v1alpha1.ReasonBackendNotFound, "Service %s has no port %d", at, number)
	}
	if i >= 0 {
		p := &s.Spec.Ports[i]
		b.secure = p.Name == "https" || p.AppProtocol != nil && strings.EqualFold(*p.AppProtocol, "https")
		b.endpoints = endpointsOf(x.slices[at], p.Name)
	}
	if external {
		b.host, b.byName, b.endpoints = s.Spec.ExternalName, true, nil
		b.secure = b.secure || number == 443
	}
	return b, nil
}

// endpointsOf are the addresses that are ready, sorted, behind a port of a Service.
func endpointsOf(of []*discoveryv1.EndpointSlice, name string) []gateway.Endpoint {
	out := []gateway.Endpoint{}
	for _, s := range of {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, p := range s.Ports {
			if p.Port == nil || (p.Name == nil && name != "") || (p.Name != nil && *p.Name != name) {
				continue
			}
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
					continue
				}
				// The others are the same endpoint once more, as its documentation says.
				out = append(out, gateway.Endpoint{Address: e.Addresses[0], Port: uint32(*p.Port)})
			}
		}
	}
	slices.SortFunc(out, func(a, b gateway.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
	})
	return slices.CompactFunc(out, func(a, b gateway.Endpoint) bool { return a == b })
}

// shares is what all endpoints of a rule have together: so finely are its weights
// shared out.
const shares = 1_000_000

// spread returns the endpoints of all backends, each with its part of the backend's
// weight; nil if they have none but names. What has no endpoint that is ready gets
// nothing. An endpoint of two backends has the parts of both.
func spread(backends []backend) []gateway.Endpoint {
	if backends[0].byName {
		return nil
	}
	total := int64(0)
	for i := range backends {
		if len(backends[i].endpoints) > 0 {
			total += int64(backends[i].weight)
		}
	}
	out := []gateway.Endpoint{}
	for i := range backends {
		b := &backends[i]
		for _, e := range b.endpoints {
			weight := uint32(max(1, shares*int64(b.weight)/total/int64(len(b.endpoints))))
			j := slices.IndexFunc(out, func(o gateway.Endpoint) bool { return o.Address == e.Address && o.Port == e.Port })
			if j < 0 {
				out, j = append(out, e), len(out)
			}
			out[j].Weight += weight
		}
	}
	return out
}

// heaviest is the backend that the broker speaks to: the first of those with the
// greatest weight.
func heaviest(backends []backend) *backend {
	best := &backends[0]
	for i := range backends {
		if backends[i].weight > best.weight {
			best = &backends[i]
		}
	}
	return best
}
