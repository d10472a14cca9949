// Package gateway is what an operator declared, in one validated value: the
// endpoint, its servers, its sessions. Every source fills it, everything after
// it (Envoy's resources, the broker's and the filter's configuration) is
// computed from it. It knows neither YAML nor Envoy nor Kubernetes.
package gateway

import (
	"net/url"
	"time"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/toolname"
)

// Gateway is one endpoint in front of many MCP servers. Start from Default.
type Gateway struct {
	// Listen is the public address, an IP or "localhost" with a port. An empty
	// host means all IPv4 addresses.
	Listen string
	// Path of the endpoint, "/mcp".
	Path string
	// SSEPath is where clients of HTTP+SSE (2024-11-05) open their stream: empty
	// means Path + "/sse", SSEPathOff that they are not served.
	SSEPath string
	// InternalURL is the endpoint as the broker reaches it; empty means at
	// Listen, which is right on one machine.
	InternalURL string
	// Hostnames that a request's Host may name: lower case, no port, no
	// wildcards. Empty allows any, on a loopback address the usual local names.
	Hostnames []string
	// AllowedOrigins are full origins ("https://app.example") allowed besides
	// those of Hostnames. A request without Origin is allowed.
	AllowedOrigins []string
	// Proxies is how many proxies of the operator's a request comes through, each of
	// which adds to X-Forwarded-For whom it has it from. With none nothing of what a
	// request says of where it comes from counts.
	Proxies int
	// Name and Description are the gateway's serverInfo; Instructions are its
	// own, put before those of the servers.
	Name         string
	Description  string
	Instructions string
	// NameLength is the longest name of a tool or prompt, 0 for no limit: longer
	// ones and those with characters that models refuse are changed.
	NameLength int
	// PageSize is how many items a page of a list has, 0 for all.
	PageSize int
	// Partial is what lists do while a server fails.
	Partial gatewayconfig.Partial
	// Sessionless is what becomes of a request without a session that should have
	// one: SessionlessRefuse or SessionlessPooled.
	Sessionless string
	// AccessLog is AccessLogOff, AccessLogStdout or the absolute path of a file, as
	// Envoy sees it.
	AccessLog string
	// ServerStats has Envoy count answers by status and measure latency for each
	// server, which costs some microseconds a call.
	ServerStats bool
	// Servers in the order in which lists show them.
	Servers []Server
	// VirtualServers are parts of the gateway with endpoints of their own.
	VirtualServers []VirtualServer
	// EnvoyFilters are the operator's own HTTP filters of Envoy, in the order in
	// which requests pass them; EnvoyClusters what they ask.
	EnvoyFilters  []EnvoyFilter
	EnvoyClusters []EnvoyCluster
	Sessions      Sessions
	Limits        Limits
	// Auth says who may use the endpoint; nil lets in everybody.
	Auth      *Auth
	Integrity Integrity
	// Authorization says who may use what; nil lets everybody use everything.
	Authorization *gatewayconfig.Authorization
}

// SSEPathOff is the value of Gateway.SSEPath for no HTTP+SSE.
const SSEPathOff = "off"

// Values of Gateway.Sessionless.
const (
	SessionlessRefuse = "refuse"
	SessionlessPooled = "pooled" // answered in sessions that clients share
)

// Values of Gateway.AccessLog; anything else is the path of a file.
const (
	AccessLogOff    = "off"
	AccessLogStdout = "stdout"
)

// Server is one MCP server behind the gateway. Start from DefaultServer.
type Server struct {
	// Name identifies the server everywhere: ^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$.
	Name string
	// URL is the endpoint, http or https; empty for a server with a Command.
	URL string
	// Transport is TransportStreamable or TransportSSE, what the URL speaks; empty
	// means the former.
	Transport string
	// Command is a program and its arguments that the broker runs and speaks to
	// over stdio, instead of a URL.
	Command []string
	// Env is added to the few variables that every process gets. Values are
	// secrets: never log them.
	Env map[string]string
	// Dir is the working directory of the process, absolute; empty means the
	// broker's.
	Dir string
	// Process is ProcessSession or ProcessServer: one process for each session or
	// one for all; empty means the former.
	Process string
	// MaxProcesses bounds the processes of a server; 0 means DefaultProcesses.
	MaxProcesses int
	// Host replaces the Host header that the URL implies; empty keeps it.
	Host string
	// Endpoints are where Envoy finds the server, in place of the URL's host; nil for
	// that one. The broker goes by the URL all the same.
	Endpoints []Endpoint
	// Route is how an Envoy whose routes are not the gateway's finds the server; nil
	// where they are.
	Route *Route
	// CACert is the certificate authorities, in PEM, that an https URL is checked
	// against in place of the system's; empty means those.
	CACert string
	// Prefix goes before each tool and prompt name; empty means none, unless
	// PrefixPolicy asks for one.
	Prefix string
	// PrefixPolicy is when the prefix is used; empty is always for a server that
	// has one.
	PrefixPolicy PrefixPolicy
	// Tools, Prompts and Resources say what of the server is offered, by the
	// server's own names and URIs.
	Tools     Items
	Prompts   Items
	Resources Rules
	// Era is which revisions the server is spoken to with; empty is EraAuto. A
	// server with a Command or TransportSSE has those with sessions only.
	Era gatewayconfig.Era
	// Partial is what lists do while the server fails; empty is the gateway's.
	Partial gatewayconfig.Partial
	// Enabled is false for a server that is declared but not served.
	Enabled bool
	// Timeout bounds a call from its last request byte to its last answer
	// byte; 0 means no bound.
	Timeout time.Duration
	// IdleTimeout ends a call on which nothing moves; 0 means never.
	IdleTimeout time.Duration
	// ConnectTimeout bounds the opening of a connection.
	ConnectTimeout time.Duration
	// ListTimeout bounds one request of the broker for a list.
	ListTimeout time.Duration
	// Headers are sent with every request to the server, by name. Values are
	// secrets: never log them.
	Headers map[string]string
	// ForwardHeaders are names of headers of the client that go on to the server.
	ForwardHeaders []string
	// Credential is an Authorization value that only the broker sends, when it
	// reads the server's lists; calls go without it. Not with TransportSSE. A
	// secret.
	Credential string
	// EnvoyFilters configure filters of Gateway.EnvoyFilters otherwise for calls of
	// this server.
	EnvoyFilters []EnvoyFilter
	// OAuth has requests to the server carry a token of the gateway's own; nil for
	// none. With Exchange only those that the broker makes for itself.
	OAuth *gatewayconfig.OAuth
	// Exchange has requests of a client carry a token that was had in exchange for
	// the client's; nil for none.
	Exchange *gatewayconfig.OAuth
}

// Endpoint is an address of a server, which gets a part of its requests.
type Endpoint struct {
	Address string // an IP
	Port    uint32
	// Weight is the endpoint's part of the sum of all; 0 counts as 1.
	Weight uint32
}

// Route is what a request has to look like to be routed to a server.
type Route struct{ Authority, Path string }

// Values of Server.Transport and Server.Process.
const (
	TransportStreamable = "streamable-http"
	TransportSSE        = "sse" // HTTP+SSE of 2024-11-05
	ProcessSession      = "session"
	ProcessServer       = "server"
)

// DefaultProcesses is how many processes of one server run at most, if it does
// not say.
const DefaultProcesses = 64

// Bridged reports whether Envoy reaches the server through the broker, as it
// speaks no Streamable HTTP.
func (s *Server) Bridged() bool { return len(s.Command) > 0 || s.Transport == TransportSSE }

// Cluster is Envoy's cluster of the server. Another address has another one: what a
// filter sends does not reach the wrong one of two when it hears of a change a moment
// before Envoy or after it, with credentials that are for the other.
func (s *Server) Cluster() string {
	at := "broker"
	if u, err := url.Parse(s.URL); err == nil && !s.Bridged() {
		at = u.Scheme + "://" + u.Host
	}
	return gatewayconfig.ServerClusters + s.Name + "@" + at
}

// Sessions says where client sessions live and how long.
type Sessions struct {
	// Store is StoreMemory, StoreToken or the address of a Redis, see redisaddr.Forms. It may
	// hold a password: never log it.
	Store string
	// Redis is what there is to say of a Redis besides its address. Secrets.
	Redis gatewayconfig.Redis
	// IdleTimeout ends a session that was not used so long, Lifetime any.
	IdleTimeout time.Duration
	Lifetime    time.Duration
	// Keys seal what a Redis keeps, and the ids of StoreToken: the first seals, all
	// open; none leaves a Redis readable. Secrets: never log them.
	Keys []string
}

// Values of Sessions.Store besides addresses.
const (
	StoreMemory = "memory" // in the broker's memory
	StoreToken  = "token"  // in the sessions' own ids, see package token of the broker
)

// Default is a gateway without servers, with every default in place.
func Default() Gateway {
	return Gateway{
		Listen:      "127.0.0.1:8888",
		Path:        "/mcp",
		Name:        "mcp-gateway",
		NameLength:  toolname.DefaultLimit,
		PageSize:    1000,
		Partial:     gatewayconfig.PartialStale,
		Sessionless: SessionlessRefuse,
		AccessLog:   AccessLogOff,
		Limits:      DefaultLimits(),
		Integrity:   Integrity{Pins: Pins{OnChange: gatewayconfig.ReactWarn}, Scan: gatewayconfig.ReactWarn},
		Sessions: Sessions{
			Store:       StoreMemory,
			IdleTimeout: 24 * time.Hour,
			Lifetime:    7 * 24 * time.Hour,
		},
	}
}

// CommandListTimeout is the default of Server.ListTimeout for a server with a
// Command: it bounds its start, too, and what npx has to fetch first.
const CommandListTimeout = time.Minute

// DefaultServer is a server without name and URL, with every default in place.
func DefaultServer() Server {
	return Server{
		Enabled:        true,
		IdleTimeout:    5 * time.Minute,
		ConnectTimeout: 5 * time.Second,
		ListTimeout:    10 * time.Second,
	}
}

// EnabledServers are the servers that are served, in order.
func (g *Gateway) EnabledServers() []Server {
	var enabled []Server
	for _, s := range g.Servers {
		if s.Enabled {
			enabled = append(enabled, s)
		}
	}
	return enabled
}
