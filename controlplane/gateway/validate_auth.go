package gateway

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"mcp-gateway/internal/mcp"
)

// minAPIKey is how long an API key must be, in characters: of base64, 18 bytes of
// chance. What Envoy is told of a key is its digest, which must not be guessed.
const minAPIKey = 24

var (
	scopeToken = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`) // RFC 6749 section 3.3
	clientName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,126}$`)
)

func (v *validation) auth(g *Gateway) {
	a := g.Auth
	if a == nil {
		if at, err := SplitListen(g.Listen); err == nil && !at.Addr().IsLoopback() {
			v.warnf("gateway.listen", "%s can be reached from other machines, and everybody who reaches it may use all servers: configure auth", g.Listen)
		}
		return
	}
	v.resource(g)
	if len(a.Issuers) == 0 && len(a.APIKeys.Clients) == 0 {
		v.errorf("auth", "names neither issuers nor apiKeys: nobody could ever come in")
	}
	seen := map[string]bool{}
	for i := range a.Issuers {
		at := index("auth.issuers", i)
		v.issuer(&a.Issuers[i], at)
		if seen[a.Issuers[i].Issuer] {
			v.errorf(at+".issuer", "is there already")
		}
		seen[a.Issuers[i].Issuer] = true
	}
	if every := a.KeysEvery(); every < leastKeysRefresh || every > greatestKeysRefresh {
		v.errorf("auth.keysRefresh", "want %v to %v", leastKeysRefresh, greatestKeysRefresh)
	}
	v.scopes("auth.scopes", a.Scopes)
	v.scopes("auth.scopesSupported", a.ScopesSupported)
	if len(a.Scopes) > 0 && len(a.Issuers) == 0 {
		v.warnf("auth.scopes", "have no effect: only tokens have scopes")
	}
	v.apiKeys(g)
}

func (v *validation) scopes(at string, scopes []string) {
	for i, s := range scopes {
		switch {
		case !scopeToken.MatchString(s):
			v.errorf(index(at, i), "%q is no scope", s)
		case slices.Contains(scopes[:i], s):
			v.errorf(index(at, i), "%q is there already", s)
		case s == "offline_access":
			v.warnf(index(at, i), "is between a client and its authorization server, and nothing that this endpoint needs")
		}
	}
}

// resource holds the canonical URI against what the endpoint answers to: a client
// that is given another one takes the gateway for an impostor (RFC 9728 section
// 3.3).
func (v *validation) resource(g *Gateway) {
	const at = "auth.resource"
	if g.Auth.Resource == "" {
		v.errorf(at, "is missing: the URL of the endpoint as clients have it")
		return
	}
	u, err := url.Parse(g.Auth.Resource)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || !isAuthority(u.Host):
		v.errorf(at, "is no URL, as https://gw.example.com/mcp")
		return
	case u.User != nil || strings.ContainsAny(g.Auth.Resource, "?#") || g.Auth.Resource != strings.ToLower(u.Scheme+"://"+u.Host)+u.EscapedPath():
		v.errorf(at, "must hold nothing but scheme, host and path, scheme and host in lower case")
		return
	case path.Clean("/"+u.Path) != g.Path || len(u.Path) > 1 && strings.HasSuffix(u.Path, "/"):
		v.errorf(at, "its path must be that of the endpoint (gateway.path, %s)", g.Path)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.warnf(at, "is http: tokens can be read on their way; clients want https but for the own machine")
	}
	if names := g.Filter("").Hostnames; len(names) > 0 && !slices.Contains(names, u.Hostname()) {
		v.errorf(at, "its host is none that the endpoint answers to (gateway.hostnames: %s)", strings.Join(names, ", "))
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (v *validation) issuer(i *Issuer, at string) {
	u, err := url.Parse(i.Issuer)
	switch {
	case i.Issuer == "":
		v.errorf(at+".issuer", "is missing")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || !isAuthority(u.Host) || u.User != nil ||
		strings.ContainsAny(i.Issuer, "?#\"\\ ") || strings.ContainsFunc(i.Issuer, func(r rune) bool { return r < ' ' || r > '~' }):
		v.errorf(at+".issuer", "is no URL of an authorization server, as https://idp.example.com (RFC 8414 section 2)")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.warnf(at+".issuer", "is http: clients refuse it but for the own machine")
	}
	v.jwks(&i.JWKS, at+".jwks")
	for n, audience := range i.Audiences {
		if audience == "" || slices.Contains(i.Audiences[:n], audience) {
			v.errorf(index(at+".audiences", n), "is empty, or there already")
		}
	}
}

func (v *validation) jwks(j *JWKS, at string) {
	switch {
	case j.URL == "" && j.Text == "":
		v.errorf(at, "is missing: give the url of its keys, or a file with them")
		return
	case j.URL != "" && j.Text != "":
		v.errorf(at, "has both a url and a file: keep one")
		return
	case j.Text != "":
		v.keySet(j.Text, at+".file")
		return
	}
	u, err := url.Parse(j.URL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || !isAuthority(u.Host):
		v.errorf(at+".url", "is no URL, as https://idp.example.com/jwks")
	case u.User != nil || strings.Contains(j.URL, "#") || strings.ContainsFunc(j.URL, func(r rune) bool { return r <= ' ' || r > '~' }):
		v.errorf(at+".url", "must not hold a user, a password or a fragment, nor anything but printable ASCII")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.warnf(at+".url", "is http: whoever is on the way can put in keys of his own, and be anybody")
	}
}

// keySet checks the text of a file of keys, of which nothing but public ones are to
// be told to Envoy.
func (v *validation) keySet(text, at string) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if json.Unmarshal([]byte(text), &set) != nil || len(set.Keys) == 0 {
		v.errorf(at, "holds no JSON Web Key Set (RFC 7517 section 5)")
		return
	}
	for _, key := range set.Keys {
		_, private := key["d"]
		_, symmetric := key["k"]
		if private || symmetric {
			v.errorf(at, "holds a private or a symmetric key: whoever reads it can make tokens; keep the public ones")
			return
		}
	}
}

func (v *validation) apiKeys(g *Gateway) {
	const at = "auth.apiKeys"
	k := &g.Auth.APIKeys
	if k.Header != "" {
		lower := strings.ToLower(k.Header)
		switch {
		case len(k.Clients) == 0:
			v.errorf(at, "has no clients")
		case !token.MatchString(k.Header):
			v.errorf(at+".header", "%q is no header name", k.Header)
		case owned[lower], lower == "authorization", lower == "cookie", lower == "proxy-authorization", lower == "origin",
			strings.HasPrefix(lower, "mcp-"), strings.HasPrefix(lower, mcp.HeaderOwnedPrefix), strings.HasPrefix(lower, mcp.HeaderEnvoyPrefix):
			v.errorf(at+".header", "%s means something else here", k.Header)
		case strings.Contains(k.Header, "_"):
			v.errorf(at+".header", "Envoy drops headers with an underscore in their name")
		}
	}
	for i, c := range k.Clients {
		here := index(at+".clients", i)
		if !clientName.MatchString(c.Name) {
			v.errorf(here+".name", "%q: want letters, digits, dots, hyphens, underscores or @, beginning with a letter or digit", c.Name)
		}
		switch {
		case c.Key == "":
			v.errorf(here+".key", "is missing")
		case len(c.Key) < minAPIKey:
			v.errorf(here+".key", "has %d characters: want at least %d by chance, as openssl rand -base64 32 makes them", len(c.Key), minAPIKey)
		case strings.ContainsFunc(c.Key, func(r rune) bool { return r <= ' ' || r > '~' }):
			v.errorf(here+".key", "must be printable ASCII without spaces")
		case slices.ContainsFunc(k.Clients[:i], func(other KeyClient) bool { return other.Key == c.Key }):
			v.errorf(here+".key", "is another's already")
		}
	}
	for i := range g.Servers {
		for n, name := range g.Servers[i].ForwardHeaders {
			if header := g.Auth.KeyHeader(); header != "" && strings.ToLower(name) == header {
				v.errorf(index(index("servers", i)+".forwardHeaders", n), "%s holds clients' API keys, which are for the gateway only", name)
			}
		}
	}
}
