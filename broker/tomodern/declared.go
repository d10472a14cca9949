package tomodern

import (
	"encoding/json"

	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/mcp"
)

// Declared is what a server is told of a client's capabilities: those whose
// requests can be carried to the client. Tasks are not among them, nor anything
// experimental.
type Declared struct {
	raw []byte // an object
}

// Declare returns what can be carried of the capabilities that a client of a
// revision has declared in initialize, raw. Elicitation by URL has a form from
// 2025-11-25 on.
func Declare(version mcp.Revision, capabilities json.RawMessage) Declared {
	out := []byte{'{'}
	if sampling := member(capabilities, "sampling"); isObject(sampling) {
		out = appendMember(out, []byte(`"sampling"`), sampling)
	}
	if elicitation := member(capabilities, "elicitation"); isObject(elicitation) {
		modes := []byte{'{'}
		form, url := member(elicitation, "form"), member(elicitation, "url")
		byURL := isObject(url) && version >= mcp.Revision20251125
		// Without any mode it is the form.
		byForm := isObject(form) || !isObject(url)
		if byForm {
			if !isObject(form) {
				form = []byte(`{}`)
			}
			modes = appendMember(modes, []byte(`"form"`), form)
		}
		if byURL {
			modes = appendMember(modes, []byte(`"url"`), url)
		}
		if byForm || byURL {
			out = appendMember(out, []byte(`"elicitation"`), append(modes, '}'))
		}
	}
	if isObject(member(capabilities, "roots")) {
		out = appendMember(out, []byte(`"roots"`), []byte(`{}`))
	}
	return Declared{append(out, '}')}
}

// Lacks returns what a client would have to declare for a server's request; empty if
// it has.
func (d Declared) Lacks(r Input) string {
	if needs := fromserver.Needs(r.Method, r.params); !fromserver.Declares(d.raw, needs) {
		return needs
	}
	return ""
}
