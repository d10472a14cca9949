package gatewayconfig

// Report is what a broker tells the control plane of itself and of the servers. It
// holds no addresses.
type Report struct {
	// Config is the Digest of the configuration in force; empty before the first.
	Config string `json:"config"`
	// Ready is what PathReady says.
	Ready   bool           `json:"ready"`
	Servers []ServerReport `json:"servers"`
	// Endpoints are what clients see, by path.
	Endpoints []EndpointReport `json:"endpoints"`
}

// ServerReport is one server as a broker sees it.
type ServerReport struct {
	Name  string      `json:"name"`
	State ServerState `json:"state"`
	// Failure and Error are why State is failed.
	Failure Failure `json:"failure,omitempty"`
	Error   string  `json:"error,omitempty"`
	// Revision was used to read its lists; ServerName and ServerVersion are its
	// serverInfo.
	Revision      string `json:"revision,omitempty"`
	ServerName    string `json:"serverName,omitempty"`
	ServerVersion string `json:"serverVersion,omitempty"`
	// Counts are of what it lists.
	Tools     int `json:"tools"`
	Prompts   int `json:"prompts"`
	Resources int `json:"resources"`
}

// EndpointReport is what one endpoint shows.
type EndpointReport struct {
	Path      string `json:"path"`
	Tools     int    `json:"tools"`
	Prompts   int    `json:"prompts"`
	Resources int    `json:"resources"`
}

// ServerState is where a server is in its life.
type ServerState string

// The states. ServerBlocked is one that the gateway does not trust any more.
const (
	ServerConnecting ServerState = "connecting" // no answer yet
	ServerReady      ServerState = "ready"      // it has answered, and its lists were read
	ServerFailed     ServerState = "failed"
	ServerBlocked    ServerState = "blocked"
)

// Failure is what kind of failure keeps a server from being ready.
type Failure string

// The kinds.
const (
	FailureUnreachable  Failure = "unreachable"  // no connection, no answer, or one of something in between
	FailureUnauthorized Failure = "unauthorized" // it does not take what it is sent, or there is nothing to send
	FailureProtocol     Failure = "protocol"     // it answers, but not as the protocol says
)
