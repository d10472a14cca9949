package v1alpha1

// GatewayReference names an MCPGateway.
type GatewayReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Namespace of the MCPGateway; left out, the one that the reference is in.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// RouteReference names an HTTPRoute.
type RouteReference struct {
	// +kubebuilder:default=gateway.networking.k8s.io
	// +kubebuilder:validation:Enum=gateway.networking.k8s.io
	// +optional
	Group string `json:"group,omitempty"`
	// +kubebuilder:default=HTTPRoute
	// +kubebuilder:validation:Enum=HTTPRoute
	// +optional
	Kind string `json:"kind,omitempty"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Namespace of the route; left out, the one that the reference is in. Another one
	// has to permit it with a ReferenceGrant.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// SectionName is the name of the route's rule that leads to the server; left out,
	// the rule that matches a POST to the path.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SectionName string `json:"sectionName,omitempty"`
}

// ListenerReference names a Gateway, or one of its listeners, in the same
// namespace.
type ListenerReference struct {
	// +kubebuilder:default=gateway.networking.k8s.io
	// +kubebuilder:validation:Enum=gateway.networking.k8s.io
	// +optional
	Group string `json:"group,omitempty"`
	// +kubebuilder:default=Gateway
	// +kubebuilder:validation:Enum=Gateway
	// +optional
	Kind string `json:"kind,omitempty"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// SectionName is the name of the listener; left out, all of them.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SectionName string `json:"sectionName,omitempty"`
}

// SecretKeyReference names a value of a Secret. The controller reads Secrets only
// in the namespaces that it was started with.
type SecretKeyReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Namespace of the Secret; left out, the one that the reference is in. Another one
	// has to permit it with a ReferenceGrant.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Key of the Secret's data.
	// +kubebuilder:default=token
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Key string `json:"key,omitempty"`
}

// LocalReference names an object of the same namespace.
type LocalReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// CertificateReference names a ConfigMap or Secret of the same namespace.
type CertificateReference struct {
	// +kubebuilder:validation:Enum=""
	// +optional
	Group string `json:"group,omitempty"`
	// +kubebuilder:validation:Enum=ConfigMap;Secret
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ConfigMapKeyReference names a value of a ConfigMap of the same namespace.
type ConfigMapKeyReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// Duration is a time with its unit as Gateway API writes one, "30s", "1m30s".
// +kubebuilder:validation:MaxLength=24
// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(h|m|s|ms)){1,4}$`
type Duration string

// HostnamePattern is a hostname in lower case, or all below one, as *.mcp.local.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
type HostnamePattern string

// Pattern is a name or a URI in which * is any run of characters.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
type Pattern string

// Rules admit what one of allow matches, everything if it is left out, but for what
// one of deny matches. What is not admitted is in no list and in no call.
// +kubebuilder:validation:XValidation:rule="has(self.allow) || has(self.deny)",message="set allow or deny"
type Rules struct {
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Allow []Pattern `json:"allow,omitempty"`
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Deny []Pattern `json:"deny,omitempty"`
}

// Items are Rules for the tools or prompts of a server, and names that take the
// place of the usual ones.
// +kubebuilder:validation:XValidation:rule="has(self.allow) || has(self.deny) || has(self.aliases)",message="set allow, deny or aliases"
type Items struct {
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Allow []Pattern `json:"allow,omitempty"`
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Deny []Pattern `json:"deny,omitempty"`
	// Aliases map exposed names to the server's own.
	// +kubebuilder:validation:MaxProperties=256
	// +optional
	Aliases map[string]string `json:"aliases,omitempty"`
}
