package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"mcp-gateway/internal/gatewayconfig"
)

// Auth says who may use the endpoint: who brings a token of one of the issuers, or
// one of the API keys.
type Auth struct {
	// Resource is the canonical URI of the endpoint (RFC 8707 section 2): its URL as
	// clients have it. It is the audience of tokens; that of a virtual server is
	// Resource + "/" + its name.
	Resource string
	Issuers  []Issuer
	// Scopes are those that every token needs.
	Scopes []string
	// ScopesSupported is what the endpoint's metadata say of scopes; nil means Scopes.
	ScopesSupported []string
	APIKeys         APIKeys
	// KeysRefresh is how often issuers' keys are fetched, and so how long one may
	// count that was withdrawn. Zero means DefaultKeysRefresh.
	KeysRefresh time.Duration
}

// Bounds of Auth.KeysRefresh.
const (
	DefaultKeysRefresh  = 5 * time.Minute
	leastKeysRefresh    = time.Second
	greatestKeysRefresh = 24 * time.Hour
)

// KeysEvery is KeysRefresh, or its default.
func (a *Auth) KeysEvery() time.Duration { return cmp.Or(a.KeysRefresh, DefaultKeysRefresh) }

// KeySets are the URLs of the issuers' keys, each once; nil where there are none.
func (a *Auth) KeySets() (urls []string) {
	if a == nil {
		return nil
	}
	for _, i := range a.Issuers {
		if i.JWKS.URL != "" {
			urls = append(urls, i.JWKS.URL)
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

// Issuer is an authorization server whose tokens are accepted.
type Issuer struct {
	// Issuer is its "iss", the URL by which clients find its metadata.
	Issuer string
	JWKS   JWKS
	// Audiences are accepted in place of the endpoint's own; empty for that one.
	Audiences []string
}

// JWKS is a key set (RFC 7517): where it is, or its text.
type JWKS struct {
	URL  string
	Text string
}

// APIKeys are keys for clients that cannot get tokens.
type APIKeys struct {
	// Header is where clients send their key; empty means DefaultKeyHeader.
	Header string
	// Clients are the keys' owners. One may have several.
	Clients []KeyClient
}

// KeyClient is the owner of an API key.
type KeyClient struct {
	Name string
	// Key is a secret: never log it.
	Key string
}

// DefaultKeyHeader is where clients send an API key.
const DefaultKeyHeader = "x-api-key"

// KeyHeader is where clients send an API key, in lower case; empty if there are
// none.
func (a *Auth) KeyHeader() string {
	switch {
	case a == nil || len(a.APIKeys.Clients) == 0:
		return ""
	case a.APIKeys.Header == "":
		return DefaultKeyHeader
	}
	return strings.ToLower(a.APIKeys.Header)
}

// admitted are whom it lets in: issuers of tokens, and owners of keys.
func (a *Auth) admitted() (issuers, clients []string) {
	if a == nil {
		return nil, nil
	}
	for _, i := range a.Issuers {
		issuers = append(issuers, i.Issuer)
	}
	for _, c := range a.APIKeys.Clients {
		clients = append(clients, c.Name)
	}
	slices.Sort(clients)
	return issuers, slices.Compact(clients)
}

// project is what the filter has to know; nil where everybody is let in.
func (a *Auth) project() *gatewayconfig.Auth {
	if a == nil {
		return nil
	}
	out := &gatewayconfig.Auth{
		Resource: a.Resource, KeyHeader: a.KeyHeader(),
		Scopes: slices.Clone(a.Scopes), ScopesSupported: slices.Clone(a.ScopesSupported),
	}
	if a.ScopesSupported == nil {
		out.ScopesSupported = slices.Clone(a.Scopes)
	}
	for _, i := range a.Issuers {
		out.Issuers = append(out.Issuers, gatewayconfig.Issuer{Issuer: i.Issuer, Audiences: slices.Clone(i.Audiences)})
	}
	for _, c := range a.APIKeys.Clients {
		digest := sha256.Sum256([]byte(c.Key))
		out.Keys = append(out.Keys, gatewayconfig.Key{Client: c.Name, Digest: hex.EncodeToString(digest[:])})
	}
	return out
}
