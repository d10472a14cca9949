package tomodern

import (
	"encoding/json"

	"mcp-gateway/internal/mcp"
)

// Declared is what a server is told of a client's capabilities: those whose
// requests can be carried to the client. Tasks are not among them, nor anything
// experimental.
type Declared struct {
	raw                []byte // an object
	form, url          bool
	sampling, withTool bool
	roots              bool
}

// Declare returns what can be carried of the capabilities that a client of a
// revision has declared in initialize, raw. Elicitation by URL has a form from
// 2025-11-25 on.
func Declare(version mcp.Revision, capabilities json.RawMessage) Declared {
	var d Declared
	out := []byte{'{'}
	if sampling := member(capabilities, "sampling"); isObject(sampling) {
		d.sampling = true
		d.withTool = isObject(member(sampling, "tools"))
		out = appendMember(out, []byte(`"sampling"`), sampling)
	}
	if elicitation := member(capabilities, "elicitation"); isObject(elicitation) {
		modes := []byte{'{'}
		form, url := member(elicitation, "form"), member(elicitation, "url")
		d.url = isObject(url) && version >= mcp.Revision20251125
		// Without any mode it is the form.
		if d.form = isObject(form) || !isObject(url); d.form {
			if !isObject(form) {
				form = []byte(`{}`)
			}
			modes = appendMember(modes, []byte(`"form"`), form)
		}
		if d.url {
			modes = appendMember(modes, []byte(`"url"`), url)
		}
		if d.form || d.url {
			out = appendMember(out, []byte(`"elicitation"`), append(modes, '}'))
		}
	}
	if d.roots = isObject(member(capabilities, "roots")); d.roots {
		out = appendMember(out, []byte(`"roots"`), []byte(`{}`))
	}
	d.raw = append(out, '}')
	return d
}

// Lacks returns what a client would have to declare for a server's request, in
// words; empty if it has.
func (d Declared) Lacks(r Input) string {
	switch r.Method {
	case mcp.MethodElicit:
		if unquoted(member(r.params, "mode")) == "url" {
			return unless(d.url, "elicitation by URL")
		}
		return unless(d.form, "elicitation")
	case mcp.MethodCreateMessage:
		if member(r.params, "tools") != nil || member(r.params, "toolChoice") != nil {
			return unless(d.withTool, "sampling with tools")
		}
		return unless(d.sampling, "sampling")
	case mcp.MethodRootsList:
		return unless(d.roots, "roots")
	}
	return "an unknown kind of input"
}

func unless(declared bool, what string) string {
	if declared {
		return ""
	}
	return what
}
