package gatewayconfig

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"mcp-gateway/internal/mcp"
)

// Sends is what a request to a server carries besides what every one does.
type Sends struct {
	// Headers are the server's own, by names in lower case. Secrets.
	Headers map[string]string `json:"headers,omitempty"`
	// Forward are names, in lower case, of headers of the client that go on to the
	// server.
	Forward []string `json:"forward,omitempty"`
	// Token is whose token goes as Authorization; it is had by PathResolve.
	Token TokenOf `json:"token,omitempty"`
	// Tokens tells tokens that are got in one way from those got in another, after a
	// change of the configuration.
	Tokens string `json:"tokens,omitempty"`
}

// TokenOf says whose token a server is sent.
type TokenOf string

// The owners of tokens; empty for a server that is sent none.
const (
	TokenGateway TokenOf = "gateway" // one for all requests
	TokenCaller  TokenOf = "caller"  // one for each caller, in exchange for the caller's own
)

// Empty reports whether nothing is sent.
func (s *Sends) Empty() bool {
	return len(s.Headers) == 0 && len(s.Forward) == 0 && s.Token == ""
}

// Equal reports whether two servers are sent the same, nil meaning nothing.
func (s *Sends) Equal(other *Sends) bool {
	if s == nil || other == nil {
		return s == other
	}
	return maps.Equal(s.Headers, other.Headers) && slices.Equal(s.Forward, other.Forward) && s.Token == other.Token && s.Tokens == other.Tokens
}

// MayForward reports whether a header of clients may go on to servers at all. Not
// what a client proves itself by to the gateway, nor what steers HTTP, Envoy or
// the protocol.
func MayForward(name string) bool {
	switch name {
	case "", "authorization", "cookie", "proxy-authorization", // the client's secrets
		"host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect",
		"content-length", "content-type", "content-encoding", "accept", "accept-encoding", "last-event-id":
		return false
	}
	for _, prefix := range []string{":", mcp.HeaderOwnedPrefix, mcp.HeaderEnvoyPrefix, "mcp-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

// OAuth is how tokens for a server are had at a token endpoint (RFC 6749 section
// 3.2): by client credentials, or in exchange for a client's token (RFC 8693).
type OAuth struct {
	// TokenURL is the endpoint. The client's secret is sent nowhere else.
	TokenURL string `json:"tokenUrl"`
	ClientID string `json:"clientId"`
	// ClientSecret is a secret.
	ClientSecret string `json:"clientSecret"`
	// ClientAuth is how both are sent; empty is ClientAuthBasic.
	ClientAuth ClientAuth `json:"clientAuth,omitempty"`
	// Scopes, Audience and Resource (RFC 8707) are what is asked for; empty for
	// nothing.
	Scopes   []string `json:"scopes,omitempty"`
	Audience string   `json:"audience,omitempty"`
	Resource string   `json:"resource,omitempty"`
}

// ClientAuth is how a client proves itself at a token endpoint (RFC 6749 section
// 2.3.1).
type ClientAuth string

// The ways that there are.
const (
	ClientAuthBasic ClientAuth = "basic" // in the Authorization header
	ClientAuthPost  ClientAuth = "post"  // in the body
)

// Equal reports whether two are the same, nil meaning none.
func (o *OAuth) Equal(other *OAuth) bool {
	if o == nil || other == nil {
		return o == other
	}
	return reflect.DeepEqual(o, other)
}
