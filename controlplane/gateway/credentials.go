package gateway

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
)

// lower returns the names in lower case.
func lower(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, strings.ToLower(n))
	}
	return out
}

// forwarded checks which headers of clients a server gets.
func (v *validation) forwarded(s *Server, at string) {
	own := map[string]bool{}
	for name := range s.Headers {
		own[strings.ToLower(name)] = true
	}
	seen := map[string]bool{}
	for i, name := range s.ForwardHeaders {
		here, lower := at+".forwardHeaders["+strconv.Itoa(i)+"]", strings.ToLower(name)
		switch {
		case !token.MatchString(name):
			v.errorf(here, "%q is no header name", name)
		case lower == "authorization":
			v.errorf(here, "a client's token is for the gateway and must not go on to a server: use exchange, oauth or headers")
		case lower == "cookie", lower == "proxy-authorization":
			v.errorf(here, "%s holds what a client proves itself by to the gateway: it goes to no server", name)
		case !gatewayconfig.MayForward(lower):
			v.errorf(here, "%s belongs to the gateway, or to HTTP itself", name)
		case own[lower]:
			v.errorf(here, "headers.%s is set too: keep one", name)
		case seen[lower]:
			v.errorf(here, "%s is there already", name)
		}
		seen[lower] = true
	}
}

// ResourceOff is the value of OAuth.Resource for none to be asked for.
const ResourceOff = "off"

// tokens returns how tokens for the server are had: for the resource that the
// server is, if nothing else is said (RFC 8707; 2025-11-25, basic/authorization,
// Resource Parameter Implementation).
func (s *Server) tokens(o *gatewayconfig.OAuth) *gatewayconfig.OAuth {
	if o == nil {
		return nil
	}
	own := *o
	own.Scopes = slices.Clone(o.Scopes)
	switch o.Resource {
	case ResourceOff:
		own.Resource = ""
	case "":
		if u, err := url.Parse(s.URL); err == nil {
			u.Scheme, u.Host, u.RawQuery, u.Fragment, u.User = strings.ToLower(u.Scheme), strings.ToLower(u.Host), "", "", nil
			own.Resource = u.String()
		}
	}
	return &own
}

// oauth checks how tokens for a server are had.
func (v *validation) oauth(g *Gateway, s *Server, at string) {
	if s.OAuth == nil && s.Exchange == nil {
		return
	}
	for name := range s.Headers {
		if strings.EqualFold(name, "authorization") {
			v.errorf(at+".headers."+name, "oauth or exchange says what it is: keep one")
		}
	}
	if s.OAuth != nil {
		if s.Credential != "" {
			v.errorf(at+".credential", "oauth says what the gateway sends for itself: keep one")
		}
		v.tokenEndpoint(s.OAuth, at+".oauth")
	}
	if s.Exchange != nil {
		v.tokenEndpoint(s.Exchange, at+".exchange")
		if g.Auth == nil || len(g.Auth.Issuers) == 0 {
			v.errorf(at+".exchange", "there is no verified token to exchange: configure auth.issuers")
		}
	}
}

func (v *validation) tokenEndpoint(o *gatewayconfig.OAuth, at string) {
	u, err := url.Parse(o.TokenURL)
	switch {
	case o.TokenURL == "":
		v.errorf(at+".tokenUrl", "is missing")
	case err != nil || !isAuthority(u.Host):
		v.errorf(at+".tokenUrl", "is no URL") // which is not quoted, as it may hold secrets
	case u.User != nil || u.Fragment != "":
		v.errorf(at+".tokenUrl", "must hold neither a user nor a fragment")
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		v.errorf(at+".tokenUrl", "want https://, since the secret goes there; http:// is for this machine only")
	case strings.ContainsFunc(o.TokenURL, func(r rune) bool { return r <= ' ' || r > '~' }):
		v.errorf(at+".tokenUrl", "must be printable ASCII without spaces: escape with %%")
	}
	for _, field := range []struct{ key, value string }{{"clientId", o.ClientID}, {"clientSecret", o.ClientSecret}} {
		switch {
		case field.value == "":
			v.errorf(at+"."+field.key, "is missing")
		case strings.ContainsFunc(field.value, func(r rune) bool { return r < ' ' || r > '~' }): // RFC 6749 appendix A
			v.errorf(at+"."+field.key, "must be printable ASCII")
		}
	}
	switch o.ClientAuth {
	case "", gatewayconfig.ClientAuthBasic, gatewayconfig.ClientAuthPost:
	default:
		v.errorf(at+".clientAuth", "%q: want basic or post", string(o.ClientAuth))
	}
	for i, scope := range o.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			v.errorf(index(at+".scopes", i), "%q is no scope", scope) // RFC 6749 section 3.3
		}
	}
	if r, err := url.Parse(o.Resource); o.Resource != "" && o.Resource != ResourceOff && (err != nil || !r.IsAbs() || strings.Contains(o.Resource, "#")) {
		v.errorf(at+".resource", "want an absolute URI without a fragment, or off")
	}
}
