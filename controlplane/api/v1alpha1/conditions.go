package v1alpha1

// Types of conditions. Each has the generation that it speaks of.
const (
	// ConditionAccepted: valid, and part of a gateway.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs: all that is referred to exists and may be used.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionProgrammed: the brokers have it, and with them the filters.
	ConditionProgrammed = "Programmed"
	// ConditionReady: the server has answered and its lists were read; of a gateway,
	// a broker takes requests.
	ConditionReady = "Ready"
)

// Reasons of conditions that are true.
const (
	ReasonAccepted     = "Accepted"
	ReasonResolvedRefs = "ResolvedRefs"
	ReasonProgrammed   = "Programmed"
	ReasonListed       = "Listed"  // Ready of a server
	ReasonServing      = "Serving" // Ready of a gateway or virtual server
)

// Reasons why something is not accepted.
const (
	ReasonNoMatchingGateway = "NoMatchingGateway"
	ReasonNotAllowed        = "NotAllowedByGateway"
	ReasonPrefixConflict    = "PrefixConflict"
	ReasonNameConflict      = "NameConflict"
	ReasonUnsupportedValue  = "UnsupportedValue"
)

// Reasons why references are not resolved.
const (
	ReasonTargetNotFound        = "TargetNotFound"
	ReasonBackendNotFound       = "BackendNotFound"
	ReasonRefNotPermitted       = "RefNotPermitted"
	ReasonInvalidKind           = "InvalidKind"
	ReasonSecretNotFound        = "SecretNotFound"
	ReasonSecretNotReadable     = "SecretNotReadable"
	ReasonInvalidCertificateRef = "InvalidCertificateRef"
	ReasonServerNotFound        = "ServerNotFound"
)

// Reasons of Programmed and Ready besides those above.
const (
	ReasonPending          = "Pending"       // not yet
	ReasonNotServed        = "NotServed"     // not accepted, or references are not resolved
	ReasonDisabled         = "Disabled"      // spec.state
	ReasonInvalid          = "Invalid"       // the gateway as a whole cannot be served
	ReasonNoBroker         = "NoBroker"      // no broker tells
	ReasonModuleMissing    = "ModuleMissing" // the Gateway's pods do not say that they have the filter
	ReasonNotAttached      = "NotAttached"   // the filter is not in the Gateway's Envoys
	ReasonConnecting       = "Connecting"    // no answer yet
	ReasonUnreachable      = "Unreachable"   // no connection, no answer, or an answer of HTTP
	ReasonUnauthorized     = "Unauthorized"
	ReasonProtocolMismatch = "ProtocolMismatch"
	ReasonNotTrusted       = "NotTrusted" // blocked by what was trusted of it before
)
