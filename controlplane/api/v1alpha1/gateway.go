package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MCPGateway is one endpoint in front of many MCP servers.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcpg,categories=mcp-gateway
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Servers",type=integer,JSONPath=`.status.servers`
// +kubebuilder:printcolumn:name="ServersReady",type=integer,JSONPath=`.status.serversReady`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Brokers",type=integer,JSONPath=`.status.brokers`,priority=1
type MCPGateway struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec MCPGatewaySpec `json:"spec"`
	// +optional
	Status MCPGatewayStatus `json:"status,omitempty"`
}

// MCPGatewayList is a list of them.
//
// +kubebuilder:object:root=true
type MCPGatewayList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MCPGateway `json:"items"`
}

// MCPGatewaySpec is what is declared of the endpoint. What is left out is as in a
// configuration file.
//
// +kubebuilder:validation:XValidation:rule="has(self.targetRef) || !has(self.internalHostnames) && !has(self.exposedHostnames)",message="internalHostnames and exposedHostnames belong to targetRef"
// +kubebuilder:validation:XValidation:rule="!has(self.port) || !has(self.targetRef)",message="port belongs to a gateway with an Envoy of its own; a listener has one"
type MCPGatewaySpec struct {
	// TargetRef is the Gateway that clients come in by, in the same namespace: routes
	// and policies are those of its implementation. Left out, the gateway has an Envoy
	// of its own, whose routes the control plane makes of the HTTPRoutes' rules.
	// +optional
	TargetRef *ListenerReference `json:"targetRef,omitempty"`
	// InternalHostnames are those that routes of servers have at the Gateway of
	// targetRef, *.mcp.local for all below mcp.local: a client that names one is refused,
	// as it would pass the gateway by. Left out, *.mcp.local.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	InternalHostnames []HostnamePattern `json:"internalHostnames,omitempty"`
	// ExposedHostnames are those that routes of servers may have besides, though clients
	// reach the servers by them past the gateway. Left out, none.
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	ExposedHostnames []HostnamePattern `json:"exposedHostnames,omitempty"`
	// Port that an Envoy of its own listens on; left out, 8888.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port *int32 `json:"port,omitempty"`
	// Hostnames that a request's Host may name; left out, those of the listener, or
	// any.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	// +optional
	Hostnames []string `json:"hostnames,omitempty"`
	// Path of the endpoint; left out, /mcp.
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^/[a-zA-Z0-9._~/-]*$`
	// +optional
	Path string `json:"path,omitempty"`
	// SSEPath is where clients of HTTP+SSE (2024-11-05) open their stream; left out,
	// the path and /sse; off, they are not served.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	SSEPath string `json:"ssePath,omitempty"`
	// InternalURL is the endpoint as the brokers reach it, for clients of HTTP+SSE and
	// for batches.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[!-~]+$`
	// +optional
	InternalURL string `json:"internalUrl,omitempty"`
	// AllowedOrigins are those of web pages that may call, besides the hostnames'.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +listType=set
	// +optional
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
	// Proxies is how many proxies of the operator's a request comes through before an
	// Envoy of its own; left out, none.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=16
	// +optional
	Proxies *int32 `json:"proxies,omitempty"`
	// AllowedServers says from where servers and virtual servers may join; left out,
	// from the gateway's own namespace.
	// +optional
	AllowedServers *AllowedServers `json:"allowedServers,omitempty"`

	// DisplayName is what the gateway calls itself to clients; left out, mcp-gateway.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Description string `json:"description,omitempty"`
	// Instructions are for models, put before those of the servers.
	// +kubebuilder:validation:MaxLength=16384
	// +optional
	Instructions string `json:"instructions,omitempty"`
	// NameLength is the longest name of a tool; 0 is no limit; left out, 64.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=256
	// +optional
	NameLength *int32 `json:"nameLength,omitempty"`
	// PageSize is how many items a page of a list has; 0 is all; left out, 1000.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	PageSize *int32 `json:"pageSize,omitempty"`
	// Partial is what lists do while a server fails; left out, Stale.
	// +kubebuilder:validation:Enum=Stale;Skip;Fail
	// +optional
	Partial string `json:"partial,omitempty"`
	// Sessionless is what becomes of requests without a session of revisions that have
	// some; left out, Refuse.
	// +kubebuilder:validation:Enum=Refuse;Pooled
	// +optional
	Sessionless string `json:"sessionless,omitempty"`
	// AccessLog of an Envoy of its own; left out, Off.
	// +kubebuilder:validation:Enum=Off;Stdout
	// +optional
	AccessLog string `json:"accessLog,omitempty"`
	// ServerStats counts answers by status, and latency, of each server in an Envoy of
	// its own.
	// +optional
	ServerStats bool `json:"serverStats,omitempty"`

	// +optional
	Sessions *Sessions `json:"sessions,omitempty"`
	// Auth says who may come in; left out, everybody who reaches the endpoint.
	// +optional
	Auth *Auth `json:"auth,omitempty"`
	// Authorization says who may use what; left out, everybody may use everything.
	// +optional
	Authorization *Authorization `json:"authorization,omitempty"`
	// +optional
	Limits *Limits `json:"limits,omitempty"`
	// +optional
	Integrity *Integrity `json:"integrity,omitempty"`
}

// AllowedServers says from where servers may join.
type AllowedServers struct {
	Namespaces NamespacesFrom `json:"namespaces"`
	// TokenExchange says whose servers may have clients' tokens exchanged: whoever may
	// gets them, at the token endpoint that he names. Left out, Same: those of the
	// gateway's own namespace.
	// +kubebuilder:validation:Enum=Same;All
	// +optional
	TokenExchange string `json:"tokenExchange,omitempty"`
}

// NamespacesFrom selects namespaces as a listener does.
//
// +kubebuilder:validation:XValidation:rule="(self.from == 'Selector') == has(self.selector)",message="a selector goes with from: Selector"
type NamespacesFrom struct {
	// +kubebuilder:validation:Enum=Same;All;Selector
	From string `json:"from"`
	// Selector of the namespaces' labels.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// Values of NamespacesFrom.From.
const (
	FromAll      = "All"
	FromSelector = "Selector"
)

// Auth says who may use the endpoint.
type Auth struct {
	// Resource is the URL of the endpoint as clients have it: the audience of tokens.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[!-~]+$`
	Resource string `json:"resource"`
	// Issuers whose tokens are accepted.
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=issuer
	// +optional
	Issuers []Issuer `json:"issuers,omitempty"`
	// Scopes that every token needs.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	// +listType=set
	// +optional
	Scopes []string `json:"scopes,omitempty"`
	// ScopesSupported is what clients are told; left out, scopes.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	// +listType=set
	// +optional
	ScopesSupported []string `json:"scopesSupported,omitempty"`
	// +optional
	APIKeys *APIKeys `json:"apiKeys,omitempty"`
	// KeysRefresh is how often the keys of issuers are fetched; left out, 5m.
	// +optional
	KeysRefresh *Duration `json:"keysRefresh,omitempty"`
}

// Issuer is an authorization server.
type Issuer struct {
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[!-~]+$`
	Issuer string `json:"issuer"`
	JWKS   JWKS   `json:"jwks"`
	// Audiences are accepted in place of the resource.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=2048
	// +listType=set
	// +optional
	Audiences []string `json:"audiences,omitempty"`
}

// JWKS is a key set, at a URL or in a ConfigMap.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.configMapRef)",message="set either url or configMapRef"
type JWKS struct {
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[!-~]+$`
	// +optional
	URL string `json:"url,omitempty"`
	// +optional
	ConfigMapRef *ConfigMapKeyReference `json:"configMapRef,omitempty"`
}

// APIKeys are keys for clients that cannot get tokens.
type APIKeys struct {
	// Header in which clients send their key; left out, x-api-key.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`
	// +optional
	Header string `json:"header,omitempty"`
	// SecretRef is a Secret with a client's key under the name of the client.
	SecretRef LocalReference `json:"secretRef"`
}

// Authorization says who may use what, in rules. A deny rule that applies overrides
// all others.
type Authorization struct {
	// Default is for what no rule applies to.
	// +kubebuilder:default=Deny
	// +kubebuilder:validation:Enum=Allow;Deny
	// +optional
	Default string `json:"default,omitempty"`
	// +kubebuilder:validation:MaxItems=128
	// +listType=map
	// +listMapKey=name
	// +optional
	Rules []AccessRule `json:"rules,omitempty"`
}

// AccessRule is one rule.
type AccessRule struct {
	// Name is for the access log.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// +kubebuilder:default=Allow
	// +kubebuilder:validation:Enum=Allow;Deny
	// +optional
	Effect string `json:"effect,omitempty"`
	// Servers as status.serverName has them, namespace and name with a dot; left out,
	// all.
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	// +optional
	Servers []string `json:"servers,omitempty"`
	// Tools, prompts and resources that the rule is about, by exposed names and URIs;
	// with none of the three, everything.
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Tools []Pattern `json:"tools,omitempty"`
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Prompts []Pattern `json:"prompts,omitempty"`
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Resources []Pattern `json:"resources,omitempty"`
	// When is an expression in CEL; left out, always.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	When string `json:"when,omitempty"`
	// Scopes are needed besides.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	// +listType=set
	// +optional
	Scopes []string `json:"scopes,omitempty"`
}

// Integrity says what is made of definitions that changed or look wrong.
type Integrity struct {
	// OnChange is for definitions that are not what they were; left out, Warn.
	// +kubebuilder:validation:Enum=Off;Warn;Quarantine;Block
	// +optional
	OnChange string `json:"onChange,omitempty"`
	// OnNew is for items that were not there; left out, as onChange.
	// +kubebuilder:validation:Enum=Trust;Warn;Quarantine;Block
	// +optional
	OnNew string `json:"onNew,omitempty"`
	// Scan is for what looks like an attack; left out, Warn.
	// +kubebuilder:validation:Enum=Off;Warn;Quarantine
	// +optional
	Scan string `json:"scan,omitempty"`
	// ScanAllow are checks of the scan whose findings are of no interest.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	// +listType=set
	// +optional
	ScanAllow []string `json:"scanAllow,omitempty"`
}

// MCPGatewayStatus is what has become of a gateway.
type MCPGatewayStatus struct {
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Servers is how many servers the gateway has, ServersReady how many of them are
	// ready.
	// +optional
	Servers *int32 `json:"servers,omitempty"`
	// +optional
	ServersReady *int32 `json:"serversReady,omitempty"`
	// Brokers is how many brokers answer.
	// +optional
	Brokers *int32 `json:"brokers,omitempty"`
}
