// Package mcp names what the Model Context Protocol fixes: revisions, methods,
// headers and error codes. Constants and small pure rules only, so that every
// path of the gateway can share one spelling.
package mcp

// Revision is a protocol revision, a date as the specification writes it.
type Revision string

// The revisions with the initialize handshake that the gateway serves over
// Streamable HTTP, oldest first.
const (
	Revision20250326 Revision = "2025-03-26"
	Revision20250618 Revision = "2025-06-18"
	Revision20251125 Revision = "2025-11-25"
)

// Revision20241105 is the last one whose transport is HTTP+SSE. Over Streamable
// HTTP nobody negotiates it.
const Revision20241105 Revision = "2024-11-05"

// RevisionStateless is the first revision without sessions; it and every later
// one are called modern. Dates compare as strings.
const RevisionStateless Revision = "2026-07-28"

// Revision20260728 is the stateless revision that the gateway serves.
const Revision20260728 = RevisionStateless

// LatestLegacy is what the gateway offers a client whose own revision it does
// not know (specification 2025-11-25, basic/lifecycle, Version Negotiation).
const LatestLegacy = Revision20251125

// AssumedRevision holds for a request without MCP-Protocol-Version header
// (2025-11-25, basic/transports, Protocol Version Header).
const AssumedRevision = Revision20250326

// Supported lists the served revisions, newest first.
func Supported() []Revision { return append([]Revision{Revision20260728}, SupportedLegacy()...) }

// SupportedLegacy lists those with the initialize handshake, newest first.
func SupportedLegacy() []Revision {
	return []Revision{Revision20251125, Revision20250618, Revision20250326}
}

// ServedModern reports whether r is a served revision without sessions.
func ServedModern(r Revision) bool { return r == Revision20260728 }

// Served reports whether r is a served revision with the initialize handshake.
func Served(r Revision) bool {
	return r == Revision20251125 || r == Revision20250618 || r == Revision20250326
}

// Modern reports whether r is a stateless revision: well formed as a date and
// not older than RevisionStateless.
func Modern(r Revision) bool {
	return len(r) == len(RevisionStateless) && r[4] == '-' && r[7] == '-' && r >= RevisionStateless
}

// Header names, lower case as HTTP/2 and Envoy write them.
const (
	HeaderSession         = "mcp-session-id"
	HeaderProtocolVersion = "mcp-protocol-version"
	HeaderMethod          = "mcp-method" // modern revisions only
	HeaderName            = "mcp-name"   // modern revisions only
	HeaderParamPrefix     = "mcp-param-" // modern revisions only: mirrored arguments

	// HeaderCluster carries what the filter has chosen to Envoy's route table: the
	// cluster of a server, or the broker's for what Envoy must not end early. No
	// request of a client keeps it.
	HeaderCluster = "x-mcp-cluster"
	// HeaderLong marks a request on its way from the filter to the broker that
	// takes as long as a server takes, or a client listens.
	HeaderLong = "x-mcp-long"
	// HeaderAddress is what Envoy tells the broker of where a client's request
	// comes from: an IP address.
	HeaderAddress = "x-mcp-address"
	// HeaderClaims is the payload of a token that Envoy has verified, in base64url;
	// HeaderClient the owner of an API key that it knows. Envoy removes what a client
	// sends under these names, and the filter both before a server sees them.
	HeaderClaims = "x-mcp-claims"
	HeaderClient = "x-mcp-client"
	// HeaderFailed is what Envoy's jwt_authn says of a token that it has not
	// accepted, from Envoy to the filter.
	HeaderFailed = "x-mcp-failed"
	// HeaderProof shows the broker that a request comes from the gateway's own Envoy:
	// the bearer token of its internal API.
	HeaderProof = "x-mcp-proof"
	// HeaderFilter marks a request to the broker that the filter has let pass, where
	// Envoy might let requests pass without it.
	HeaderFilter = "x-mcp-filter"
	// HeaderOwnedPrefix starts every header that belongs to the gateway; a
	// client's headers with it are removed before routing.
	HeaderOwnedPrefix = "x-mcp-"
	// HeaderEnvoyPrefix starts the headers by which a client could steer
	// Envoy's router (retries, timeouts); they are removed, too.
	HeaderEnvoyPrefix = "x-envoy-"
)

// JSON-RPC and MCP error codes.
const (
	CodeParseError         = -32700
	CodeInvalidRequest     = -32600
	CodeMethodNotFound     = -32601
	CodeInvalidParams      = -32602
	CodeInternalError      = -32603
	CodeResourceNotFound   = -32002 // revisions up to 2025-11-25
	CodeHeaderMismatch     = -32020 // from 2026-07-28 on, like the next two
	CodeMissingCapability  = -32021
	CodeUnsupportedVersion = -32022
	CodeURLElicitation     = -32042 // 2025-11-25 only
)

// Methods that the gateway knows by name.
const (
	MethodInitialize           = "initialize"
	MethodPing                 = "ping"
	MethodToolsList            = "tools/list"
	MethodToolsCall            = "tools/call"
	MethodPromptsList          = "prompts/list"
	MethodPromptsGet           = "prompts/get"
	MethodResourcesList        = "resources/list"
	MethodResourcesTemplates   = "resources/templates/list"
	MethodResourcesRead        = "resources/read"
	MethodResourcesSubscribe   = "resources/subscribe"
	MethodResourcesUnsubscribe = "resources/unsubscribe"
	MethodComplete             = "completion/complete"
	MethodSetLevel             = "logging/setLevel"

	// From 2026-07-28 on; those of tasks are an extension's.
	MethodDiscover    = "server/discover"
	MethodListen      = "subscriptions/listen"
	MethodTasksGet    = "tasks/get"
	MethodTasksUpdate = "tasks/update"
	MethodTasksCancel = "tasks/cancel"

	// Requests of servers to clients.
	MethodCreateMessage = "sampling/createMessage"
	MethodElicit        = "elicitation/create"
	MethodRootsList     = "roots/list"

	MethodNotifyInitialized     = "notifications/initialized"
	MethodNotifyCancelled       = "notifications/cancelled"
	MethodNotifyProgress        = "notifications/progress"
	MethodNotifyMessage         = "notifications/message"
	MethodNotifyToolsChanged    = "notifications/tools/list_changed"
	MethodNotifyPromptsChanged  = "notifications/prompts/list_changed"
	MethodNotifyResourceChanged = "notifications/resources/list_changed"
	MethodNotifyResourceUpdated = "notifications/resources/updated"
	MethodNotifyRootsChanged    = "notifications/roots/list_changed"
	MethodNotifyAcknowledged    = "notifications/subscriptions/acknowledged"
	MethodNotifyTasks           = "notifications/tasks"
)

// Members of _meta that the protocol reserves, from 2026-07-28 on.
const (
	MetaProtocolVersion    = "io.modelcontextprotocol/protocolVersion"
	MetaClientInfo         = "io.modelcontextprotocol/clientInfo"
	MetaClientCapabilities = "io.modelcontextprotocol/clientCapabilities"
	MetaLogLevel           = "io.modelcontextprotocol/logLevel"
	MetaServerInfo         = "io.modelcontextprotocol/serverInfo"
	MetaSubscriptionID     = "io.modelcontextprotocol/subscriptionId"
)

// ExtensionTasks identifies the tasks extension among capabilities.extensions.
const ExtensionTasks = "io.modelcontextprotocol/tasks"
