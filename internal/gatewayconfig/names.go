package gatewayconfig

import "mcp-gateway/internal/mcp"

// Rules admit what one of Allow matches, or everything without one, but for
// what one of Deny matches. Patterns are those of package glob.
type Rules struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// Items says which tools or prompts of a server are offered, and under which
// names.
type Items struct {
	Rules
	// Aliases maps exposed names to the server's own; they replace the names
	// with the prefix.
	Aliases map[string]string `json:"aliases,omitempty"`
}

// IsZero tells encoding/json to leave it out.
func (i Items) IsZero() bool { return len(i.Allow)+len(i.Deny)+len(i.Aliases) == 0 }

// View is a part of the gateway with an endpoint of its own.
type View struct {
	// Name is the last segment of the endpoint's path, and the name in its
	// serverInfo.
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Instructions take the place of the gateway's own.
	Instructions string `json:"instructions,omitempty"`
	// Servers are the names of those that it shows, and no others.
	Servers []string `json:"servers"`
	// Tools and Prompts go by exposed names, Resources by URIs with their label.
	Tools     Rules `json:"tools,omitzero"`
	Prompts   Rules `json:"prompts,omitzero"`
	Resources Rules `json:"resources,omitzero"`
}

// Partial says what lists do while a server fails.
type Partial string

const (
	// PartialStale shows the server's last good lists.
	PartialStale Partial = "stale"
	// PartialSkip leaves the server out of lists; calls still reach it.
	PartialSkip Partial = "skip"
	// PartialFail answers lists with an error that names the server.
	PartialFail Partial = "fail"
)

// Secrets are headers of a server's answer that are for the gateway alone. The filter
// takes them away, or with Filter.Policies the route, in front of the operator's filters.
var Secrets = [...]string{mcp.HeaderSession, "set-cookie", "www-authenticate"}

// ClusterBroker is Envoy's cluster of the broker's public listener.
const ClusterBroker = "mcp-broker"

// ServerClusters begins the names of Envoy's clusters of servers.
const ServerClusters = "mcp-server-"
