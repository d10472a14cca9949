// Package principal is who sends a request, as Envoy's authentication filters
// found: the subject of a token that jwt_authn verified, or the owner of an API
// key. It verifies nothing itself: what it reads must come from headers that no
// client can set (mcp.HeaderClaims, mcp.HeaderClient).
package principal

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Principal is a client that has proved who it is. It is never changed once it
// is made, so many requests may share one.
type Principal struct {
	// Issuer and Subject identify it together. The owner of an API key has no
	// issuer.
	Issuer  string
	Subject string
	// Client is the OAuth client (client_id, or azp), or the owner of the API key.
	Client string
	// Scopes are those of the token, in its order: "scope" of RFC 9068 section
	// 2.2.3, a string, or "scp", a string or a list.
	Scopes []string
	// Audience is whom the token is meant for: "aud", a string or a list of strings
	// (RFC 7519 section 4.1.3); nil for an API key.
	Audience []string
	// Claims are all claims of the token, as encoding/json decodes them; nil for an
	// API key.
	Claims map[string]any
	id     string
}

// Errors of FromClaims.
var (
	errClaims  = errors.New("the claims are no JSON object in base64url")
	errIssuer  = errors.New("the token names no issuer")
	errSubject = errors.New("the token names neither a subject nor a client")

	errCharacters = errors.New("the issuer or subject of the token is no valid text")
)

// FromClaims reads the payload of a verified token, a JSON object in base64url
// with or without padding (RFC 7515 section 2). A token of a client that acts for
// itself may lack a subject: then the client is it.
func FromClaims(payload string) (*Principal, error) {
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(payload, "="))
	if err != nil {
		return nil, errClaims
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil || claims == nil {
		return nil, errClaims
	}
	p := &Principal{Issuer: claim(claims, "iss"), Subject: claim(claims, "sub"), Client: claim(claims, "client_id"), Claims: claims}
	if p.Client == "" {
		p.Client = claim(claims, "azp")
	}
	kind := "subject"
	if p.Subject == "" {
		kind, p.Subject = "client", p.Client
	}
	switch {
	case p.Issuer == "":
		return nil, errIssuer
	case p.Subject == "":
		return nil, errSubject
	case strings.ContainsRune(p.Issuer+p.Subject, utf8.RuneError):
		// What stands for a byte or a surrogate that is no character: names that
		// differ in it would be one.
		return nil, errCharacters
	}
	p.Scopes, p.Audience = scopes(claims), audience(claims)
	p.id = digest(kind, p.Issuer, p.Subject)
	return p, nil
}

// FromKey is the owner of an API key, by the name that the configuration gives.
func FromKey(client string) *Principal {
	return &Principal{Subject: client, Client: client, id: digest("key", "", client)}
}

// ID is a digest of who it is, 64 hexadecimal digits: equal for all tokens of one
// subject of one issuer. It may be stored and compared, and tells nobody a name.
func (p *Principal) ID() string { return p.id }

// HasScopes reports whether the token has all of them.
func (p *Principal) HasScopes(all []string) bool {
	for _, s := range all {
		if !slices.Contains(p.Scopes, s) {
			return false
		}
	}
	return true
}

// Expires is when its token does (RFC 7519 section 4.1.4); zero for one that never
// does, and for the owner of an API key.
func (p *Principal) Expires() time.Time {
	seconds, ok := p.Claims["exp"].(float64)
	if !ok || seconds < 0 || seconds > math.MaxInt32*1e3 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

func claim(claims map[string]any, name string) string {
	s, _ := claims[name].(string)
	return s
}

func scopes(claims map[string]any) []string {
	var found []string
	for _, name := range []string{"scope", "scp"} {
		switch v := claims[name].(type) {
		case string:
			found = append(found, strings.Fields(v)...)
		case []any:
			for _, one := range v {
				if s, ok := one.(string); ok {
					found = append(found, s)
				}
			}
		}
	}
	return found
}

func audience(claims map[string]any) []string {
	switch v := claims["aud"].(type) {
	case string:
		return []string{v}
	case []any:
		var found []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				found = append(found, s)
			}
		}
		return found
	}
	return nil
}

// digest hashes parts such that no two lists of them look alike.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return hex.EncodeToString(h.Sum(nil))
}
