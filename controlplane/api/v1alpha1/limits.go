package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// Limits are what clients and servers may use up. What is left out is as in a
// configuration file; of a number 0 is no bound where that is possible.
type Limits struct {
	// Body is the largest request.
	// +optional
	Body *resource.Quantity `json:"body,omitempty"`
	// Response is the largest JSON answer that is held back to label URIs in it.
	// +optional
	Response *resource.Quantity `json:"response,omitempty"`
	// Event is the largest event of a server's stream.
	// +optional
	Event *resource.Quantity `json:"event,omitempty"`
	// HeaderSize is that of all headers of a request, in whole KiB.
	// +optional
	HeaderSize *resource.Quantity `json:"headerSize,omitempty"`
	// Headers is how many a request may have.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Headers *int32 `json:"headers,omitempty"`
	// Depth is how deep the JSON of a request may be nested.
	// +kubebuilder:validation:Minimum=8
	// +kubebuilder:validation:Maximum=128
	// +optional
	Depth *int32 `json:"depth,omitempty"`
	// Sessions of clients, at all replicas together; of one principal; of those at one
	// address who send no credential.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Sessions *int32 `json:"sessions,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +optional
	SessionsPerPrincipal *int32 `json:"sessionsPerPrincipal,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +optional
	SessionsPerAddress *int32 `json:"sessionsPerAddress,omitempty"`
	// Streams are open event streams at each broker; of one principal; at one address.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Streams *int32 `json:"streams,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +optional
	StreamsPerPrincipal *int32 `json:"streamsPerPrincipal,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +optional
	StreamsPerAddress *int32 `json:"streamsPerAddress,omitempty"`
	// Servers of the gateway that are enabled.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Servers *int32 `json:"servers,omitempty"`
	// ItemsPerServer is how many tools a server may have, and as many prompts,
	// resources, templates.
	// +kubebuilder:validation:Minimum=1
	// +optional
	ItemsPerServer *int32 `json:"itemsPerServer,omitempty"`
	// Questions is how many requests in an Envoy may wait for a broker.
	// +kubebuilder:validation:Minimum=64
	// +optional
	Questions *int32 `json:"questions,omitempty"`
	// SSEClients are clients of HTTP+SSE, at each broker.
	// +kubebuilder:validation:Minimum=1
	// +optional
	SSEClients *int32 `json:"sseClients,omitempty"`
	// Calls are those of clients without sessions that a broker carries to servers with
	// some; WaitingCalls those of them that wait for input.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Calls *int32 `json:"calls,omitempty"`
	// +kubebuilder:validation:Minimum=1
	// +optional
	WaitingCalls *int32 `json:"waitingCalls,omitempty"`
	// PooledSessions are those that clients without sessions share, at each broker; of
	// one server.
	// +kubebuilder:validation:Minimum=1
	// +optional
	PooledSessions *int32 `json:"pooledSessions,omitempty"`
	// +kubebuilder:validation:Minimum=1
	// +optional
	PooledSessionsPerServer *int32 `json:"pooledSessionsPerServer,omitempty"`
	// BridgedSessions are those at a server over HTTP+SSE.
	// +kubebuilder:validation:Minimum=1
	// +optional
	BridgedSessions *int32 `json:"bridgedSessions,omitempty"`
	// Openings is how many sessions a broker opens at a server at one time;
	// WaitingOpenings how many wait for that.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Openings *int32 `json:"openings,omitempty"`
	// +kubebuilder:validation:Minimum=1
	// +optional
	WaitingOpenings *int32 `json:"waitingOpenings,omitempty"`
}
