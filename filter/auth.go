package filter

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/principal"
)

// auth is gatewayconfig.Auth as requests are held against it.
type auth struct {
	cfg gatewayconfig.Auth
	// resource is the endpoint's own, as the names of views go behind it.
	resource string
	// metadata is the URL of the metadata of resource (RFC 9728 section 3.1).
	metadata string
	keys     map[[sha256.Size]byte]*principal.Principal
}

func newAuth(cfg *gatewayconfig.Auth) (*auth, error) {
	if cfg == nil {
		return nil, nil
	}
	u, err := url.Parse(cfg.Resource)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return nil, errors.New("auth.resource: want the URL of the endpoint")
	}
	if len(cfg.Issuers) == 0 && len(cfg.Keys) == 0 {
		return nil, errors.New("auth: neither issuers nor keys: nobody could ever come in")
	}
	if len(cfg.Keys) > 0 && (cfg.KeyHeader == "" || cfg.KeyHeader != strings.ToLower(cfg.KeyHeader)) {
		return nil, errors.New("auth.keyHeader: want the name of a header in lower case")
	}
	a := &auth{
		cfg: *cfg, resource: strings.TrimSuffix(cfg.Resource, "/"),
		metadata: u.Scheme + "://" + u.Host + pathMetadata + strings.TrimSuffix(u.EscapedPath(), "/"),
		keys:     make(map[[sha256.Size]byte]*principal.Principal, len(cfg.Keys)),
	}
	for i, k := range cfg.Keys {
		digest, err := hex.DecodeString(k.Digest)
		if err != nil || len(digest) != sha256.Size || k.Client == "" {
			return nil, fmt.Errorf("auth.keys[%d]: want a client and 64 hexadecimal digits", i)
		}
		a.keys[[sha256.Size]byte(digest)] = principal.FromKey(k.Client)
	}
	return a, nil
}

// credentials are what a request says of who sends it. Strings are the host's.
type credentials struct {
	authorization, claims, failed, key    string
	authorizations, claimsCount, keyCount int
}

// take collects a header; false for one that is nothing more than what it is to
// everybody. Names are in lower case.
func (s *Stream) take(c *credentials, h *Header) bool {
	a := s.g.auth
	switch {
	case h.Name == mcp.HeaderClaims && len(a.cfg.Issuers) > 0:
		c.claims = h.Value
		c.claimsCount++
	case a.cfg.KeyHeader != "" && h.Name == a.cfg.KeyHeader:
		s.hasKey = true
		c.key = h.Value
		c.keyCount++
	case h.Name == "authorization":
		c.authorization = h.Value
		c.authorizations++
		return false
	case h.Name == mcp.HeaderFailed:
		c.failed = join(c.failed, h.Value) // one of each issuer
		return false                       // nobody else is to see it
	default:
		return false
	}
	return true
}

// hidePrincipal keeps from a server by what its client has proved who it is,
// whatever else the server is sent of the client's headers.
func (s *Stream) hidePrincipal() {
	if s.hasKey {
		s.remove(s.g.auth.cfg.KeyHeader)
	}
	if s.principal != nil && s.principal.Claims != nil {
		s.remove(mcp.HeaderClaims)
	}
}

// authenticate sets s.principal, or refuses a request of nobody (2025-11-25,
// basic/authorization, Access Token Usage and Error Handling; RFC 6750 section 3).
// A token decides alone: a key beside one that is not valid does not help.
func (s *Stream) authenticate(c *credentials) *Decision {
	a := s.g.auth
	token, bearer := "", false
	if len(a.cfg.Issuers) > 0 {
		token, bearer = bearerToken(c.authorization)
	}
	switch {
	case c.claimsCount > 1 || c.keyCount > 1 || c.authorizations > 1, bearer && isList(token):
		return s.refuse(400, mcp.CodeInvalidRequest, "more than one credential", "credentials")
	case c.claimsCount == 1 && (bearer || c.authorizations == 0): // not of a scheme that only ends like ours
		s.bearer = append(s.bearer[:0], token...)
		return s.tokenPrincipal(c.claims)
	case bearer && strings.Contains(c.failed, keysAway):
		return s.fail("jwks", "tokens cannot be verified now: try again soon")
	case bearer:
		return s.unauthorized(invalidToken, "the token is not valid here", "invalid_token")
	case c.keyCount == 1:
		// Digests are compared, so that the time tells nothing about a key.
		s.scratch = append(s.scratch[:0], c.key...)
		if s.principal = a.keys[sha256.Sum256(s.scratch)]; s.principal == nil {
			return s.unauthorized(invalidToken, "the API key is not valid here", "invalid_key")
		}
		return nil
	}
	return s.unauthorized("", "authentication required", "no_token")
}

// isList reports whether a token is several. Each character is searched for by itself,
// which is many times as fast as all in one go.
func isList(token string) bool {
	return strings.IndexByte(token, ',') >= 0 || strings.IndexByte(token, ' ') >= 0 || strings.IndexByte(token, '\t') >= 0
}

// tokenPrincipal is authenticate for the claims of a token that was verified.
func (s *Stream) tokenPrincipal(claims string) *Decision {
	a := s.g.auth
	p, err := principal.Known(claims)
	if err != nil || !s.meant(p) {
		return s.unauthorized(invalidToken, "the token is not valid here", "invalid_token")
	}
	s.principal = p
	if !p.HasScopes(a.cfg.Scopes) {
		return s.insufficientScope(nil)
	}
	return nil
}

// meant reports whether a token is of a known issuer and for this endpoint
// (2025-11-25, basic/authorization, Token Handling). One for a view is good
// nowhere else, nor is one for the gateway's own endpoint at a view.
func (s *Stream) meant(p *principal.Principal) bool {
	a := s.g.auth
	for i := range a.cfg.Issuers {
		issuer := &a.cfg.Issuers[i]
		if issuer.Issuer != p.Issuer {
			continue
		}
		for _, audience := range p.Audience {
			if len(issuer.Audiences) > 0 && slices.Contains(issuer.Audiences, audience) ||
				len(issuer.Audiences) == 0 && a.names(audience, s.endpoint) {
				return true
			}
		}
	}
	return false
}

// names reports whether the audience is an endpoint: the view's, or the gateway's
// own for an empty view.
func (a *auth) names(audience string, view []byte) bool {
	rest, ok := strings.CutPrefix(audience, a.resource)
	switch {
	case !ok:
		return false
	case len(view) == 0:
		return rest == "" || rest == "/" && a.cfg.Resource != a.resource
	}
	return len(rest) == len(view)+1 && rest[0] == '/' && rest[1:] == string(view)
}

// bearerToken returns the token of an Authorization value (RFC 6750 section 2.1).
func bearerToken(authorization string) (token string, ok bool) {
	const scheme = "bearer "
	if len(authorization) < len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return "", false
	}
	return trim(authorization[len(scheme):]), true
}

// keysAway is what Envoy's jwt_authn says of a token whose issuer's keys it cannot
// get; its words for any other fault do not hold this.
const keysAway = "Jwks remote fetch is failed"
