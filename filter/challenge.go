package filter

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// pathMetadata is where the metadata of a resource is, with the resource's own
// path behind it (RFC 9728 section 3.1).
const pathMetadata = "/.well-known/oauth-protected-resource"

// Error codes of RFC 6750 section 3.1.
const (
	invalidToken = "invalid_token"
	lacksScope   = "insufficient_scope"
)

// unauthorized refuses a request without a principal. code is empty for one that
// brought no credential: what it lacks is no error yet (RFC 6750 section 3).
func (s *Stream) unauthorized(code, message, reason string) *Decision {
	d := s.refuse(401, mcp.CodeInvalidRequest, message, reason)
	s.challenge(code, s.g.auth.cfg.Scopes)
	return d
}

// insufficientScope refuses a request whose token lacks a scope: those that all
// tokens need, or those given. It names all that the request needs, so that one new
// token is enough (2025-11-25, basic/authorization, Scope Challenge Handling). The
// answer has the request's id if it is known by now.
func (s *Stream) insufficientScope(scopes []string) *Decision {
	needed := slices.Clone(s.g.auth.cfg.Scopes)
	for _, scope := range scopes {
		if !slices.Contains(needed, scope) {
			needed = append(needed, scope)
		}
	}
	d := s.refuse(403, mcp.CodeInvalidRequest, "the token lacks a scope: "+strings.Join(needed, " "), lacksScope)
	s.challenge(lacksScope, needed)
	return d
}

// challenge adds WWW-Authenticate to a refusal. Scopes and URLs hold no quotes and
// backslashes: New has seen to it.
func (s *Stream) challenge(code string, scopes []string) {
	a := s.g.auth
	if len(a.cfg.Issuers) == 0 {
		// RFC 9110 section 11.6.1 wants one; there is no registered scheme for keys.
		s.set("www-authenticate", []byte(`ApiKey header="`+a.cfg.KeyHeader+`"`))
		return
	}
	b := []byte("Bearer ")
	if code != "" {
		b = append(append(append(b, `error="`...), code...), `", `...)
	}
	if len(scopes) > 0 {
		b = append(append(append(b, `scope="`...), strings.Join(scopes, " ")...), `", `...)
	}
	b = append(append(b, `resource_metadata="`...), a.metadata...)
	if len(s.endpoint) > 0 {
		b = append(append(b, '/'), s.endpoint...)
	}
	s.set("www-authenticate", append(b, '"'))
}

// isMetadata reports whether the path is one of resource metadata: at the root,
// or with an endpoint's path behind. There s.endpoint is set, and served is
// whether there is such an endpoint.
func (s *Stream) isMetadata() (is, served bool) {
	rest, ok := bytes.CutPrefix(s.path, []byte(pathMetadata))
	if !ok || len(rest) > 0 && rest[0] != '/' {
		return false, false
	}
	s.endpoint = s.endpoint[:0]
	if len(s.g.auth.cfg.Issuers) == 0 {
		return true, false // there is nobody to get a token from
	}
	if len(rest) == 0 {
		return true, true
	}
	if sse := s.g.cfg.SSEPath; sse != "" && (string(rest) == sse || string(rest) == sse+gatewayconfig.PathMessages) {
		return true, true // another way to the same endpoint
	}
	name, ok := gatewayconfig.ViewName(s.g.cfg.Path, rest)
	if !ok {
		return true, false
	}
	s.endpoint = append(s.endpoint, name...)
	if t := s.g.table.Load(); t != nil {
		_, ok = s.view(t)
	}
	return true, ok
}

// metadata answers with the metadata of an endpoint (RFC 9728 section 3.2), which
// anybody may read.
func (s *Stream) metadata(method string) *Decision {
	if method != "GET" && method != "HEAD" {
		return s.notAllowed("GET, HEAD")
	}
	a := s.g.auth
	document := struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported,omitempty"`
		Methods  []string `json:"bearer_methods_supported"`
	}{Resource: a.cfg.Resource, Scopes: a.cfg.ScopesSupported, Methods: []string{"header"}}
	if len(s.endpoint) > 0 {
		document.Resource = a.resource + "/" + string(s.endpoint)
	}
	for _, issuer := range a.cfg.Issuers {
		document.Servers = append(document.Servers, issuer.Issuer)
	}
	body, err := json.Marshal(document)
	if err != nil {
		return s.refuse(500, mcp.CodeInternalError, "internal error", "metadata")
	}
	s.phase = phaseReplied
	s.reply = append(s.reply[:0], body...)
	d := &s.d
	d.Action, d.Status, d.Body, d.Done = Reply, 200, s.reply, true
	d.Edits = append(d.Edits[:0], Edit{Name: "content-type", Value: jsonType})
	return d
}
