// Package v1alpha1 is how a gateway is declared in Kubernetes: MCPGateway is the
// endpoint, MCPServer a server behind it, MCPVirtualServer a part with an endpoint
// of its own. Types and their rules only; what becomes of them is package
// kubernetes' business. The definitions in controlplane/api/crds are generated.
//
// +kubebuilder:object:generate=true
// +groupName=mcp-gateway.dev
package v1alpha1

//go:generate go tool -modfile=../../../tools/go.mod controller-gen object crd:maxDescLen=400 paths=. output:crd:dir=../crds

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of all kinds here.
var GroupVersion = schema.GroupVersion{Group: "mcp-gateway.dev", Version: "v1alpha1"}

// Names of the kinds.
const (
	KindServer        = "MCPServer"
	KindGateway       = "MCPGateway"
	KindVirtualServer = "MCPVirtualServer"
)

// AnnotationFilter is on pods of a Gateway that have the filter's library: which one,
// "module" or "golang".
const AnnotationFilter = "mcp-gateway.dev/filter"

// AddToScheme makes the kinds known to s.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&MCPServer{}, &MCPServerList{}, &MCPGateway{}, &MCPGatewayList{}, &MCPVirtualServer{}, &MCPVirtualServerList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
