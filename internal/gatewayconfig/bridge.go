package gatewayconfig

import (
	"maps"
	"slices"
)

// PathBridge starts the paths under which the broker's public listener serves
// servers that Envoy cannot reach itself (stdio, HTTP+SSE) as Streamable HTTP:
// PathBridge + name. The filter sends nothing there but what it has routed.
const PathBridge = "/bridge/"

// BridgeAuthority is what requests to these paths name as host. No such host
// exists (RFC 6761 section 6.4), so that no web page can be served from it.
const BridgeAuthority = "bridge.invalid"

// Bridge says how the broker speaks to a server that Envoy cannot reach.
type Bridge struct {
	// Command is a program and its arguments, spoken to over stdio. Empty means
	// the HTTP+SSE transport of 2024-11-05 at the server's URL.
	Command []string `json:"command,omitempty"`
	// Env is added to the few variables that a process gets anyway. Values may be
	// secrets.
	Env map[string]string `json:"env,omitempty"`
	// Dir is the working directory where the broker runs; empty means the broker's.
	Dir string `json:"dir,omitempty"`
	// Shared runs one process for all sessions instead of one for each.
	Shared bool `json:"shared,omitempty"`
	// MaxProcesses bounds the processes that run at one time.
	MaxProcesses int `json:"maxProcesses,omitempty"`
	// ConnectTimeout bounds the opening of a connection to URL.
	ConnectTimeout Duration `json:"connectTimeout"`
	// ResponseLimit is the largest message of the server in bytes.
	ResponseLimit int64 `json:"responseLimit"`
}

// Equal reports whether two servers are reached through the same bridge, nil
// meaning none.
func (b *Bridge) Equal(other *Bridge) bool {
	if b == nil || other == nil {
		return b == other
	}
	return slices.Equal(b.Command, other.Command) && maps.Equal(b.Env, other.Env) && b.Dir == other.Dir &&
		b.Shared == other.Shared && b.MaxProcesses == other.MaxProcesses &&
		b.ConnectTimeout == other.ConnectTimeout && b.ResponseLimit == other.ResponseLimit
}
