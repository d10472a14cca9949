package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MCPServer is an MCP server behind a gateway, reached through an HTTPRoute or at a
// URL.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcps,categories=mcp-gateway
// +kubebuilder:printcolumn:name="Prefix",type=string,JSONPath=`.spec.prefix`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Refs",type=string,JSONPath=`.status.conditions[?(@.type=="ResolvedRefs")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Tools",type=integer,JSONPath=`.status.tools`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Gateway",type=string,JSONPath=`.status.gateway.name`,priority=1
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.path`,priority=1
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
type MCPServer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec MCPServerSpec `json:"spec"`
	// +optional
	Status MCPServerStatus `json:"status,omitempty"`
}

// MCPServerList is a list of them.
//
// +kubebuilder:object:root=true
type MCPServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MCPServer `json:"items"`
}

// MCPServerSpec is what is declared of a server.
//
// +kubebuilder:validation:XValidation:rule="has(self.targetRef) != has(self.url)",message="set either targetRef or url"
// +kubebuilder:validation:XValidation:rule="!has(self.url) || has(self.gatewayRef)",message="a server with a url needs a gatewayRef: no route tells whose it is"
// +kubebuilder:validation:XValidation:rule="!has(self.path) || has(self.targetRef)",message="path belongs to targetRef; a url has its own"
// +kubebuilder:validation:XValidation:rule="has(self.prefix) == has(oldSelf.prefix)",message="prefix can be neither added nor removed: clients know the tools by it"
// +kubebuilder:validation:XValidation:rule="!has(self.oauth) || !has(self.credentialRef)",message="set either oauth or credentialRef: both say what the gateway sends for itself"
type MCPServerSpec struct {
	// GatewayRef is the gateway; left out, the oldest whose Gateway has accepted the
	// route.
	// +optional
	GatewayRef *GatewayReference `json:"gatewayRef,omitempty"`
	// TargetRef is the route that leads to the server.
	// +optional
	TargetRef *RouteReference `json:"targetRef,omitempty"`
	// URL is the endpoint of a server that has no route, http or https.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[!-~]+$`
	// +optional
	URL string `json:"url,omitempty"`
	// Path of the endpoint on the route's hostname; left out, /mcp.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/[!-"$->@-~]*$`
	// +optional
	Path string `json:"path,omitempty"`
	// Transport is what the server speaks.
	// +kubebuilder:default=StreamableHTTP
	// +kubebuilder:validation:Enum=StreamableHTTP;SSE
	// +optional
	Transport string `json:"transport,omitempty"`
	// State is Disabled for a server that is declared but not served. It keeps its
	// prefix.
	// +kubebuilder:default=Enabled
	// +kubebuilder:validation:Enum=Enabled;Disabled
	// +optional
	State string `json:"state,omitempty"`
	// Prefix goes before each tool and prompt name. If two servers of a gateway want
	// the same, the older has it.
	// +kubebuilder:validation:MaxLength=48
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9_.-]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="prefix is immutable: clients know the tools by it"
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// PrefixPolicy is when the prefix is used; left out, always.
	// +kubebuilder:validation:Enum=Always;OnConflict;Never
	// +optional
	PrefixPolicy string `json:"prefixPolicy,omitempty"`
	// Tools, prompts and resources say what of the server is offered, by the server's
	// own names and URIs.
	// +optional
	Tools *Items `json:"tools,omitempty"`
	// +optional
	Prompts *Items `json:"prompts,omitempty"`
	// +optional
	Resources *Rules `json:"resources,omitempty"`
	// Era is which revisions of the protocol the server is spoken to with: Legacy has
	// sessions, Modern (2026-07-28) has none.
	// +kubebuilder:default=Auto
	// +kubebuilder:validation:Enum=Auto;Legacy;Modern
	// +optional
	Era string `json:"era,omitempty"`
	// Partial is what lists do while the server fails: show what they had, leave it
	// out, or fail; left out, as the gateway says.
	// +kubebuilder:validation:Enum=Stale;Skip;Fail
	// +optional
	Partial string `json:"partial,omitempty"`
	// CACertificateRefs are ConfigMaps or Secrets of the same namespace with, under
	// ca.crt, authorities in PEM that the server's certificate is checked against; left
	// out, those of the system.
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	// +optional
	CACertificateRefs []CertificateReference `json:"caCertificateRefs,omitempty"`
	// +optional
	Timeouts *Timeouts `json:"timeouts,omitempty"`
	// Headers are sent with every request to the server.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Headers []Header `json:"headers,omitempty"`
	// ForwardHeaders are names of headers of the client that go on to the server.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +listType=set
	// +optional
	ForwardHeaders []string `json:"forwardHeaders,omitempty"`
	// CredentialRef is a whole Authorization value that only the broker sends, when it
	// reads the server's lists. Calls go without it.
	// +optional
	CredentialRef *SecretKeyReference `json:"credentialRef,omitempty"`
	// OAuth has requests to the server carry a token of the gateway's own; with
	// exchange only those that the broker makes for itself.
	// +optional
	OAuth *OAuth `json:"oauth,omitempty"`
	// Exchange has calls carry a token that was had in exchange for the client's.
	// +optional
	Exchange *OAuth `json:"exchange,omitempty"`
}

// Values of MCPServerSpec.
const (
	StateDisabled    = "Disabled"
	TransportSSE     = "SSE"
	PolicyAlways     = "Always"
	PolicyOnConflict = "OnConflict"
	PolicyNever      = "Never"
)

// Timeouts bound what a server may take.
type Timeouts struct {
	// Call is the whole of a call; left out or 0s, there is no bound.
	// +optional
	Call *Duration `json:"call,omitempty"`
	// Idle ends a call on which nothing moves; left out, 5m; 0s is never.
	// +optional
	Idle *Duration `json:"idle,omitempty"`
	// Connect is the opening of a connection; left out, 5s.
	// +optional
	Connect *Duration `json:"connect,omitempty"`
	// List is one request for the server's lists; left out, 10s.
	// +optional
	List *Duration `json:"list,omitempty"`
}

// Header is a header with its value, or with where that is.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.secretRef)",message="set either value or secretRef"
type Header struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Value string `json:"value,omitempty"`
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`
}

// OAuth is how tokens are had at a token endpoint.
type OAuth struct {
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[!-~]+$`
	TokenURL string `json:"tokenUrl"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	ClientID        string             `json:"clientId"`
	ClientSecretRef SecretKeyReference `json:"clientSecretRef"`
	// ClientAuth is where the two stand: in the Authorization header or in the body.
	// +kubebuilder:default=Basic
	// +kubebuilder:validation:Enum=Basic;Post
	// +optional
	ClientAuth string `json:"clientAuth,omitempty"`
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	// +listType=set
	// +optional
	Scopes []string `json:"scopes,omitempty"`
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Audience string `json:"audience,omitempty"`
	// Resource (RFC 8707) is what the token is for; left out, the server's URL; off,
	// nothing is said.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Resource string `json:"resource,omitempty"`
}

// MCPServerStatus is what has become of a server.
type MCPServerStatus struct {
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Gateway is the MCPGateway that the server is part of.
	// +optional
	Gateway *GatewayReference `json:"gateway,omitempty"`
	// ServerName is what the server is called in rules, logs and metrics.
	// +optional
	ServerName string `json:"serverName,omitempty"`
	// Counts of what the server lists.
	// +optional
	Tools *int32 `json:"tools,omitempty"`
	// +optional
	Prompts *int32 `json:"prompts,omitempty"`
	// +optional
	Resources *int32 `json:"resources,omitempty"`
	// Revision of the protocol that its lists were read with.
	// +optional
	Revision string `json:"revision,omitempty"`
	// +optional
	ServerInfo *ServerInfo `json:"serverInfo,omitempty"`
}

// ServerInfo is what a server calls itself.
type ServerInfo struct {
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	Version string `json:"version,omitempty"`
}
