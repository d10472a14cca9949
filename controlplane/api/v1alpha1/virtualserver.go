package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MCPVirtualServer is a part of a gateway with an endpoint of its own, at the
// gateway's path, a slash and its endpoint name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcpvs,categories=mcp-gateway
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.path`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Refs",type=string,JSONPath=`.status.conditions[?(@.type=="ResolvedRefs")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Tools",type=integer,JSONPath=`.status.tools`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MCPVirtualServer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec MCPVirtualServerSpec `json:"spec"`
	// +optional
	Status MCPVirtualServerStatus `json:"status,omitempty"`
}

// MCPVirtualServerList is a list of them.
//
// +kubebuilder:object:root=true
type MCPVirtualServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MCPVirtualServer `json:"items"`
}

// MCPVirtualServerSpec is what is declared of a virtual server.
type MCPVirtualServerSpec struct {
	// GatewayRef is the gateway.
	GatewayRef GatewayReference `json:"gatewayRef"`
	// EndpointName is the last segment of the path; left out, the object's name. If
	// two virtual servers of a gateway want the same, the older has it.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`
	// +optional
	EndpointName string `json:"endpointName,omitempty"`
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Description string `json:"description,omitempty"`
	// Instructions take the place of the gateway's.
	// +kubebuilder:validation:MaxLength=16384
	// +optional
	Instructions string `json:"instructions,omitempty"`
	// Servers that it shows; left out, all of the gateway.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	// +optional
	Servers []ServerReference `json:"servers,omitempty"`
	// Tools and prompts go by exposed names, resources by URIs as clients see them.
	// +optional
	Tools *Rules `json:"tools,omitempty"`
	// +optional
	Prompts *Rules `json:"prompts,omitempty"`
	// +optional
	Resources *Rules `json:"resources,omitempty"`
}

// ServerReference names an MCPServer. Another namespace needs no ReferenceGrant:
// what a virtual server shows, the gateway shows already.
type ServerReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// MCPVirtualServerStatus is what has become of a virtual server.
type MCPVirtualServerStatus struct {
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Path of its endpoint.
	// +optional
	Path string `json:"path,omitempty"`
	// Counts of what its lists show.
	// +optional
	Tools *int32 `json:"tools,omitempty"`
	// +optional
	Prompts *int32 `json:"prompts,omitempty"`
	// +optional
	Resources *int32 `json:"resources,omitempty"`
}
