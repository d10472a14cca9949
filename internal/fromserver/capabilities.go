package fromserver

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Which capability of a client each thing that it is asked for needs (2025-11-25,
// client/sampling and client/elicitation, Capabilities). This is the one place that
// knows, for results, streams and what is carried between the eras.

// Needs returns the capability that a server's request needs, by its method and its
// raw params: "sampling", "sampling.tools", "roots", "elicitation", "elicitation.url",
// or the method if it is none of these.
func Needs(method string, params []byte) string {
	r := rewriter{message: params}
	var a asked
	if r.asks(jsonrpc.Span{End: len(params)}, &a) != nil {
		return Unreadable
	}
	return a.capability(method)
}

// Declares reports whether capabilities, a raw object, have one of Needs. Elicitation
// without any mode is that by a form.
func Declares(capabilities []byte, capability string) bool {
	switch capability {
	case "sampling", "roots":
		return isObject(member(capabilities, capability))
	case "sampling.tools":
		return isObject(member(member(capabilities, "sampling"), "tools"))
	case "elicitation":
		elicitation := member(capabilities, "elicitation")
		return isObject(elicitation) && (isObject(member(elicitation, "form")) || !isObject(member(elicitation, "url")))
	case "elicitation.url":
		return isObject(member(member(capabilities, "elicitation"), "url"))
	}
	return false
}

// Refusal returns the code and the words to refuse a server's request with, in the
// place of a client with the raw capabilities; 0 if the client can be asked.
func Refusal(capabilities []byte, method string, params []byte) (code int, words string) {
	capability := Needs(method, params)
	switch {
	case Declares(capabilities, capability):
		return 0, ""
	case capability == "sampling.tools" && Declares(capabilities, "sampling"):
		return mcp.CodeInvalidParams, "the client offers no sampling with tools"
	case method == mcp.MethodElicit && isObject(member(capabilities, "elicitation")):
		return mcp.CodeInvalidParams, "the client does not offer this mode of elicitation"
	}
	return mcp.CodeMethodNotFound, "the client does not offer this"
}

// AppendRequired appends the data of the error for a capability that is not declared
// (2026-07-28, basic/index, Error Codes); nothing if there is no such one.
func AppendRequired(dst []byte, capability string) []byte {
	switch capability {
	case "sampling", "roots", "elicitation":
		return append(append(append(dst, `{"requiredCapabilities":{"`...), capability...), `":{}}}`...)
	case "sampling.tools":
		return append(dst, `{"requiredCapabilities":{"sampling":{"tools":{}}}}`...)
	case "elicitation.url":
		return append(dst, `{"requiredCapabilities":{"elicitation":{"url":{}}}}`...)
	}
	return dst
}

// asked is what of a request's params decides which capability it needs.
type asked struct{ url, tools bool }

// asks reads the params of a request.
func (r *rewriter) asks(params jsonrpc.Span, a *asked) error {
	return r.members(params, func(key string, value jsonrpc.Span) error {
		a.url = a.url || spells(key, "mode") && is(value.Of(r.message), "url")
		a.tools = a.tools || spells(key, "tools") || spells(key, "toolChoice")
		return nil
	})
}

func (a asked) capability(method string) string {
	switch {
	case method == mcp.MethodCreateMessage && a.tools:
		return "sampling.tools"
	case method == mcp.MethodCreateMessage:
		return "sampling"
	case method == mcp.MethodRootsList:
		return "roots"
	case method == mcp.MethodElicit && a.url:
		return "elicitation.url"
	case method == mcp.MethodElicit:
		return "elicitation"
	}
	return method
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }
