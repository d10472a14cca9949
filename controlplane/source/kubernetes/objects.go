package kubernetes

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	"mcp-gateway/controlplane/api/v1alpha1"
)

// Objects are what the API server has of everything that a gateway is made of.
// Translate reads them and changes none.
type Objects struct {
	MCPGateways       []v1alpha1.MCPGateway
	MCPServers        []v1alpha1.MCPServer
	MCPVirtualServers []v1alpha1.MCPVirtualServer

	Gateways        []gatewayv1.Gateway
	GatewayClasses  []gatewayv1.GatewayClass // empty where nothing is attached to Gateways
	HTTPRoutes      []gatewayv1.HTTPRoute
	ReferenceGrants []gatewayv1beta1.ReferenceGrant

	Namespaces     []corev1.Namespace
	Services       []corev1.Service
	EndpointSlices []discoveryv1.EndpointSlice
	// Pods are those of Gateways in the MCPGateway's namespace; empty as GatewayClasses.
	Pods []corev1.Pod
	// Secrets and ConfigMaps are those of the readable namespaces.
	Secrets    []corev1.Secret
	ConfigMaps []corev1.ConfigMap
}

// key is the name of an object within its kind.
type key = types.NamespacedName

// index finds objects by name.
type index struct {
	*Objects
	gateways   map[key]*gatewayv1.Gateway
	routes     map[key]*gatewayv1.HTTPRoute
	namespaces map[string]*corev1.Namespace
	services   map[key]*corev1.Service
	slices     map[key][]*discoveryv1.EndpointSlice // by service
	secrets    map[key]*corev1.Secret
	configMaps map[key]*corev1.ConfigMap
	grants     map[string][]*gatewayv1beta1.ReferenceGrant // by namespace
	readable   map[string]bool
	domain     string
}

func newIndex(o *Objects, readable []string) *index {
	x := &index{
		Objects:  o,
		gateways: byKey[gatewayv1.Gateway](o.Gateways), routes: byKey[gatewayv1.HTTPRoute](o.HTTPRoutes),
		services: byKey[corev1.Service](o.Services),
		secrets:  byKey[corev1.Secret](o.Secrets), configMaps: byKey[corev1.ConfigMap](o.ConfigMaps),
		namespaces: map[string]*corev1.Namespace{}, slices: map[key][]*discoveryv1.EndpointSlice{},
		grants: map[string][]*gatewayv1beta1.ReferenceGrant{}, readable: map[string]bool{},
	}
	for i := range o.Namespaces {
		x.namespaces[o.Namespaces[i].Name] = &o.Namespaces[i]
	}
	for i := range o.EndpointSlices {
		s := &o.EndpointSlices[i]
		of := key{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
		x.slices[of] = append(x.slices[of], s)
	}
	for i := range o.ReferenceGrants {
		g := &o.ReferenceGrants[i]
		x.grants[g.Namespace] = append(x.grants[g.Namespace], g)
	}
	for _, namespace := range readable {
		x.readable[namespace] = true
	}
	return x
}

// object is a pointer to T that is an object of the API.
type object[T any] interface {
	*T
	client.Object
}

func byKey[T any, P object[T]](list []T) map[key]*T {
	m := make(map[key]*T, len(list))
	for i := range list {
		m[client.ObjectKeyFromObject(P(&list[i]))] = &list[i]
	}
	return m
}

// referrer is the object that refers to another.
type referrer struct{ group, kind, namespace string }

// permits reports whether from may refer to an object of another namespace: some
// ReferenceGrant there says so.
func (x *index) permits(from referrer, group, kind string, to key) bool {
	if from.namespace == to.Namespace {
		return true
	}
	for _, grant := range x.grants[to.Namespace] {
		if grantsFrom(grant, from) && grantsTo(grant, group, kind, to.Name) {
			return true
		}
	}
	return false
}

func grantsFrom(g *gatewayv1beta1.ReferenceGrant, from referrer) bool {
	for _, f := range g.Spec.From {
		if string(f.Group) == from.group && string(f.Kind) == from.kind && string(f.Namespace) == from.namespace {
			return true
		}
	}
	return false
}

func grantsTo(g *gatewayv1beta1.ReferenceGrant, group, kind, name string) bool {
	for _, t := range g.Spec.To {
		if string(t.Group) == group && string(t.Kind) == kind && (t.Name == nil || string(*t.Name) == name) {
			return true
		}
	}
	return false
}

// or is value, or fallback if that is empty.
func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
