package gatewayconfig

import "time"

// ClockSkew is how far clocks may be apart: so long a token is good beyond its
// expiry, to Envoy and to the streams that it has opened.
const ClockSkew = 30 * time.Second

// Auth says whom the filter lets in, and what it tells who is not.
//
// Tokens are verified in front of the filter: signature, issuer and expiry by
// Envoy, which passes their claims on in the header mcp.HeaderClaims. The filter
// checks what depends on the endpoint, and the keys.
type Auth struct {
	// Resource is the canonical URI of the endpoint (RFC 8707 section 2; 2025-11-25,
	// basic/authorization): the audience of its tokens. That of a view is Resource +
	// "/" + its name.
	Resource string `json:"resource"`
	// Issuers are whose tokens are accepted.
	Issuers []Issuer `json:"issuers,omitempty"`
	// Scopes are those that every token needs.
	Scopes []string `json:"scopes,omitempty"`
	// ScopesSupported is what the metadata say of scopes (RFC 9728 section 2).
	ScopesSupported []string `json:"scopesSupported,omitempty"`
	// KeyHeader is where clients send an API key, in lower case; empty for none.
	KeyHeader string `json:"keyHeader,omitempty"`
	Keys      []Key  `json:"keys,omitempty"`
}

// Issuer is an authorization server.
type Issuer struct {
	// Issuer is its "iss", compared byte for byte (RFC 8414 section 3.3).
	Issuer string `json:"issuer"`
	// Audiences are accepted at every endpoint, in place of the endpoint's own; empty
	// for that one.
	Audiences []string `json:"audiences,omitempty"`
}

// Key is an API key.
type Key struct {
	// Client is its owner, who may have several.
	Client string `json:"client"`
	// Digest is the key's SHA-256 in hexadecimal digits.
	Digest string `json:"sha256"`
}
