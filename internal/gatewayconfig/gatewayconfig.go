// Package gatewayconfig is the contract between the three paths of the gateway:
// what the control plane tells the broker (Broker), what it puts into the
// filter's static configuration (Filter), and what the broker tells the filter
// while traffic flows (Table, ResolveRequest, ResolveResponse). JSON on the
// wire, decoded strictly; free of Envoy and Kubernetes types.
package gatewayconfig

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"mcp-gateway/internal/mcp"
)

// Paths of the broker's internal API. It listens apart from the public
// endpoint: on a unix socket, or on TCP guarded by a shared secret.
const (
	PathReady   = "/readyz"     // GET; 200 while the broker takes requests
	PathTable   = "/v1/table"   // GET, ETag and If-None-Match; answers Table
	PathResolve = "/v1/resolve" // POST ResolveRequest; answers ResolveResponse
	PathReplay  = "/v1/replay"  // POST ResolveRequest, newline, message; answers as the server, or 202
	// GET and POST of operators, see broker/integrity.
	PathIntegrity = "/v1/integrity"
	PathApprove   = "/v1/integrity/approve"

	PathReport = "/v1/report" // GET of the control plane; answers Report

	PathConfig = "/v1/config" // GET on the control plane; answers Broker
)

// PathMessages follows the path of an HTTP+SSE stream: where its client posts.
const PathMessages = "/messages"

// SecretEnv names the environment variable that holds the shared secret of the
// internal API, sent as "authorization: Bearer <secret>". Read from the
// environment so that no config dump shows it. Unset means no check, which is
// right for a unix socket only.
const SecretEnv = "MCP_GATEWAY_INTERNAL_SECRET"

// Broker is the whole configuration of a broker. A new one replaces the old one.
type Broker struct {
	// Digest is of all the rest: the broker names it in its Report.
	Digest string `json:"digest,omitempty"`
	// Name and Version are the gateway's serverInfo.
	Name    string `json:"name"`
	Version string `json:"version"`
	// Description is the gateway's, for its serverInfo.
	Description string `json:"description,omitempty"`
	// Instructions are the gateway's own, put before those of the servers.
	Instructions string `json:"instructions,omitempty"`
	// Path is the endpoint's; a view is served at Path + "/" + its name.
	Path string `json:"path"`
	// Servers in the order in which lists show them.
	Servers []Server `json:"servers"`
	Views   []View   `json:"views,omitempty"`
	// NameLimit is the longest exposed name in bytes, see toolname.Fit; 0 means
	// that names stay as they are. PageSize is how many items a page of a list
	// has; 0 means all.
	NameLimit int      `json:"nameLimit"`
	PageSize  int      `json:"pageSize"`
	Sessions  Sessions `json:"sessions"`
	Limits    Limits   `json:"limits"`
	// Integrity says how what servers say of themselves is watched.
	Integrity Integrity `json:"integrity,omitzero"`
	// Endpoint is the URL of the gateway's own endpoint, as the broker reaches
	// it: what clients of older forms send goes there message by message.
	Endpoint string `json:"endpoint,omitempty"`
	// SSEPath is where clients of HTTP+SSE open their stream; they post to
	// SSEPath + PathMessages. Empty means that they are not served.
	SSEPath string `json:"ssePath,omitempty"`
	// Sessionless has requests served that name no session although their revision
	// has some.
	Sessionless bool `json:"sessionless,omitempty"`
	// Auth has nobody served who has not proved who it is: each request carries that
	// as principal.FromHeaders reads it. Sessions, and what else is a client's, are
	// bound to the principal.
	Auth bool `json:"auth,omitempty"`
	// Issuers and KeyClients are who is let in, with Auth: by tokens of these issuers,
	// and by the API keys of these clients. What others have open ends.
	Issuers    []string `json:"issuers,omitempty"`
	KeyClients []string `json:"keyClients,omitempty"`
	// Authorization says who may use what; nil lets everybody use everything.
	Authorization *Authorization `json:"authorization,omitempty"`
}

// Server is one MCP server as the broker reaches it.
type Server struct {
	Name string `json:"name"`
	// URL is the Streamable HTTP endpoint, http or https, with its path and query;
	// of a server with a Bridge its event stream, empty if the bridge runs a
	// command.
	URL string `json:"url"`
	// Bridge is set for a server that speaks no Streamable HTTP: the broker serves
	// it at PathBridge.
	Bridge *Bridge `json:"bridge,omitempty"`
	// Host overrides the Host header; empty means the URL's.
	Host string `json:"host,omitempty"`
	// CACert is the certificate authorities, in PEM, that an https URL is checked
	// against; empty means the system's.
	CACert string `json:"caCert,omitempty"`
	// Cluster is Envoy's cluster of the server, another one for each address. Empty
	// where no Envoy is to reach it.
	Cluster string `json:"cluster"`
	// Route has the filter set authority and path by which Envoy finds the server,
	// where those are not what the server itself gets.
	Route *Route `json:"route,omitempty"`
	// Prefix goes before each tool and prompt name; empty means none.
	Prefix string `json:"prefix,omitempty"`
	// OnConflict has Prefix go only before names that another server exposes too.
	OnConflict bool `json:"onConflict,omitempty"`
	// Tools, Prompts and Resources say what of the server is offered, by the
	// names and URIs that the server knows.
	Tools     Items `json:"tools,omitzero"`
	Prompts   Items `json:"prompts,omitzero"`
	Resources Rules `json:"resources,omitzero"`
	// Era is which revisions the server is spoken to with; empty is EraAuto.
	Era Era `json:"era,omitempty"`
	// Partial says what lists do while the server fails; empty is PartialStale.
	Partial Partial `json:"partial,omitempty"`
	// Label goes before resource URIs as "label+uri"; empty with a single
	// server, whose URIs stay as they are.
	Label string `json:"label,omitempty"`
	// Headers are sent with every request that the broker makes to the server.
	Headers map[string]string `json:"headers,omitempty"`
	// ForwardHeaders are names, in lower case, of headers of the client that go on
	// to the server with each of its requests.
	ForwardHeaders []string `json:"forwardHeaders,omitempty"`
	// Credential is an Authorization value that goes with them where the broker
	// speaks for itself, as when it reads lists, and not where it speaks for a
	// client. A secret.
	Credential string `json:"credential,omitempty"`
	// OAuth has every request carry a token of the gateway's own; with Exchange only
	// those where the broker speaks for itself.
	OAuth *OAuth `json:"oauth,omitempty"`
	// Exchange has what is sent for a client carry a token that was had in exchange
	// for the client's.
	Exchange *OAuth `json:"exchange,omitempty"`
	// ListTimeout bounds one discovery request.
	ListTimeout Duration `json:"listTimeout"`
	// CallTimeout bounds a call; 0 means that only the caller's patience does.
	CallTimeout Duration `json:"callTimeout,omitempty"`
}

// Route is how Envoy finds a server.
type Route struct {
	Authority string `json:"authority"`
	Path      string `json:"path"`
}

// Sessions says where client sessions live and how long.
type Sessions struct {
	// Store is "memory", "token" or the address of a Redis, see redisaddr.Forms.
	Store string `json:"store"`
	// Redis is what there is to say of a Redis besides its address.
	Redis Redis `json:"redis,omitzero"`
	// IdleTimeout ends a session that was not used so long; Lifetime ends any.
	IdleTimeout Duration `json:"idleTimeout"`
	Lifetime    Duration `json:"lifetime"`
	// Keys seal what a Redis keeps, or the ids of "token": the first seals, all
	// open. Empty for a Redis that keeps everything as it is. Secrets.
	Keys []string `json:"keys,omitempty"`
}

// Redis says how to log in to a Redis, and how to speak TLS to it.
type Redis struct {
	// Username and Password are those of an ACL user, in place of any in the
	// address. Sentinels have users of their own. Secrets.
	Username         string `json:"username,omitempty"`
	Password         string `json:"password,omitempty"`
	SentinelUsername string `json:"sentinelUsername,omitempty"`
	SentinelPassword string `json:"sentinelPassword,omitempty"`

	TLS RedisTLS `json:"tls,omitzero"`
}

// RedisTLS has the fields of redisaddr.TLS.
type RedisTLS struct {
	CA          string `json:"ca,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"` // a secret
	ServerName  string `json:"serverName,omitempty"`
	SkipVerify  bool   `json:"skipVerify,omitempty"`
}

// MetadataPassed is the namespace of the dynamic metadata that a request has once
// it has passed the operator's filters, see Filter.Policies.
const MetadataPassed = "mcp.passed"

// Filter is the static configuration of the filter in Envoy. It changes only
// with the endpoint itself, never with a server.
type Filter struct {
	// Path is the endpoint's path, "/mcp".
	Path string `json:"path"`
	// SSEPath is that of HTTP+SSE clients, as in Broker; empty means none.
	SSEPath string `json:"ssePath,omitempty"`
	// Hostnames that a request's Host may name, without port, lower case; empty
	// allows any.
	Hostnames []string `json:"hostnames,omitempty"`
	// AllowedOrigins are full origins ("https://app.example"), besides those
	// whose host is in Hostnames. A request without Origin passes.
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
	// BodyLimit is the largest request body in bytes; ResponseLimit the largest
	// JSON answer that is held back to rewrite resource URIs in it.
	BodyLimit     int `json:"bodyLimit"`
	ResponseLimit int `json:"responseLimit"`
	// EventLimit is the largest event of a server's stream in bytes; 0 means
	// ResponseLimit. Depth is how deep a request's JSON may be nested; 0 means
	// jsonrpc.MaxDepth.
	EventLimit int `json:"eventLimit,omitempty"`
	Depth      int `json:"depth,omitempty"`
	// Questions is how many streams may wait for an answer of the broker at one
	// time; 0 means any number.
	Questions int `json:"questions,omitempty"`
	// InternalCluster is Envoy's cluster of the broker's internal API; InternalAddress
	// is where that listens, "unix:/path" or "host:port", for a host of the filter
	// that cannot send to clusters.
	InternalCluster string `json:"internalCluster,omitempty"`
	InternalAddress string `json:"internalAddress,omitempty"`
	// AskTimeout bounds one question to the broker.
	AskTimeout Duration `json:"askTimeout"`
	// Sessionless is that of Broker: such requests are the broker's.
	Sessionless bool `json:"sessionless,omitempty"`
	// Metadata sets dynamic metadata "mcp" (server, method, name, error) on
	// every call, for access logs and policies; it costs some microseconds.
	Metadata bool `json:"metadata,omitempty"`
	// Auth says who may use the endpoint; nil lets in everybody.
	Auth *Auth `json:"auth,omitempty"`
	// Policies tells that filters of the operator's stand between ours and Envoy's
	// router: an answer of theirs is told from one of a server, and a request on
	// its way to the broker carries the name of the server that it is for.
	Policies bool `json:"policies,omitempty"`
	// Shared is set in an Envoy that has traffic of others, too.
	Shared *Shared `json:"shared,omitempty"`
	// Table is a routing table for a gateway without broker questions.
	Table *Table `json:"table,omitempty"`
}

// Shared says how to tell the endpoint's traffic from that of others: what is for
// another hostname than the Filter's, or another path, stays as it is. In such an
// Envoy the routes of servers are found by their hostnames.
type Shared struct {
	// InternalHostnames are hostnames of servers' routes, or all below one as
	// "*.mcp.local": a client that names one is refused.
	InternalHostnames []string `json:"internalHostnames,omitempty"`
	// Tokens tells that filters in front verify tokens, and take what clients send under
	// the names of what those filters say. Without it no claims are believed.
	Tokens bool `json:"tokens,omitempty"`
}

// ResolveRequest asks for the backend session of (client session, server),
// opened if need be. Stale names a backend session that the server has
// forgotten (it answered 404), so that the broker opens a new one. Without a
// server the question is only whether the client session exists.
type ResolveRequest struct {
	Session string `json:"session"`
	Server  string `json:"server"`
	// Cluster is that of the server as the filter knows it, which may be of an address
	// that the server has left.
	Cluster string `json:"cluster,omitempty"`
	// Endpoint is the view that the request was sent to, empty for the gateway's
	// own endpoint. A session of another endpoint is not found.
	Endpoint string `json:"endpoint,omitempty"`
	Stale    string `json:"stale,omitempty"`
	// Principal is the ID of who sends the request (package principal), empty where
	// nobody has to prove that. A session of another one is not found.
	Principal string `json:"principal,omitempty"`
	// Bare asks for no session, only for what the server is sent as Authorization;
	// with PathReplay it has the message sent without one.
	Bare bool `json:"bare,omitempty"`
	// Token is the client's own, verified; empty unless the server is sent one in
	// exchange for it. Refused is what the server has answered 401 to. Secrets.
	Token   string `json:"token,omitempty"`
	Refused string `json:"refused,omitempty"`
	// Headers are those of the client that go on to the server, in lower case. Their
	// values are bytes: not all are UTF-8 (RFC 9110 section 5.5), and JSON text is.
	Headers map[string][][]byte `json:"headerBytes,omitempty"`
}

// ResolveResponse answers with HTTP 200. Other statuses: 404 no such client
// session, 409 the server speaks stateless revisions only, 410 no such server,
// 421 the server is at another address than the one asked about (Cluster),
// 424 there is no credential for the server, 429 too many sessions are being opened
// at the server, 502 the server could not be reached or refused initialize, 503 the
// session store is away; of a replay also 401, the server refuses the credential.
type ResolveResponse struct {
	// Session is the backend's session id; empty for a server without sessions.
	Session string `json:"session"`
	// Version is the revision negotiated with the backend.
	Version mcp.Revision `json:"version"`
	// TTLMillis is how long the answer may be cached.
	TTLMillis int64 `json:"ttlMs"`
	// Authorization is what goes with requests to the server, and how long; empty for
	// a server that is sent no token. A secret.
	Authorization          string `json:"authorization,omitempty"`
	AuthorizationTTLMillis int64  `json:"authorizationTtlMs,omitempty"`
}

// Place is what is kept by that is for the server at this address alone, as sessions
// at it are.
func (s *Server) Place() string { return cmp.Or(s.Cluster, s.Name) }

// Duration is a time.Duration written as Go writes one, "30s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("duration %q: want a number with a unit, as 30s or 5m", b)
	}
	*d = Duration(v)
	return nil
}

// Decode reads one JSON document into v and refuses unknown members and
// anything after it.
func Decode(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the document")
	}
	return nil
}
