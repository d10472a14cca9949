package tolegacy

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Members of params that only a stateless request has (2026-07-28,
// basic/patterns/mrtr).
const (
	inputResponses = "inputResponses"
	requestState   = "requestState"
)

// Request returns a stateless request as a server with sessions reads it. body is
// the request that m was scanned from. own is the server's name of what is called,
// or its URI; id is the id to send it under, which is its progress token, too, if
// the client wants progress. What belongs to the stateless revisions is taken out
// (2026-07-28, basic/index, _meta), and params.task, as no task of 2025-11-25 could
// be asked for again.
func Request(m *jsonrpc.Message, body []byte, own, id string) []byte {
	edits := []edit{{m.ID, quote(id)}}
	for _, named := range []jsonrpc.Span{m.Name, m.URI, m.RefName, m.RefURI} {
		if raw := named.Of(body); raw != nil && isTarget(m, named, body) && text(raw) != own {
			edits = append(edits, edit{named, quote(own)})
		}
	}
	ofMeta := []string{mcp.MetaProtocolVersion, mcp.MetaClientInfo, mcp.MetaClientCapabilities, mcp.MetaLogLevel}
	if m.ProgressToken.Empty() {
		ofMeta = append(ofMeta, "progressToken") // what is no token is left out
	} else {
		edits = append(edits, edit{m.ProgressToken, quote(id)})
	}
	more, _ := cut(membersOf(body, m.Params), inputResponses, requestState, "task")
	edits = append(edits, more...)
	if raw := m.Meta.Of(body); isObject(raw) {
		more, _ = cut(membersOf(body, m.Meta), ofMeta...)
		edits = append(edits, more...)
	}
	return apply(make([]byte, 0, len(body)+len(own)+len(id)), body, edits)
}

// isTarget reports whether a span is the one that names what the method calls.
func isTarget(m *jsonrpc.Message, named jsonrpc.Span, body []byte) bool {
	return named == Target(m, text(m.Method.Of(body)), body)
}

// Target returns where a request names what it calls: a name or a URI. Empty for a
// method that names nothing.
func Target(m *jsonrpc.Message, method string, body []byte) jsonrpc.Span {
	switch method {
	case mcp.MethodToolsCall, mcp.MethodPromptsGet:
		return m.Name
	case mcp.MethodResourcesRead:
		return m.URI
	case mcp.MethodComplete:
		if text(m.RefType.Of(body)) == "ref/resource" {
			return m.RefURI
		}
		return m.RefName
	}
	return jsonrpc.Span{}
}

// Asks reports whether a call of the method may be answered with a request for
// input (2026-07-28, basic/patterns/mrtr, Supported Requests).
func Asks(method string) bool {
	return method == mcp.MethodToolsCall || method == mcp.MethodPromptsGet || method == mcp.MethodResourcesRead
}

// Retry is what a request carries that brings input.
type Retry struct {
	// State is requestState, decoded; HasState is false if there is none.
	State    string
	HasState bool
	// Responses is inputResponses, raw; nil if there is none.
	Responses []byte
	// Malformed: one of them is of another type than it must be.
	Malformed bool
}

// ReadRetry reads the params of a request.
func ReadRetry(params []byte) Retry {
	var r Retry
	if raw := get(params, requestState); raw != nil && string(raw) != "null" {
		state, ok := jsonrpc.Unquote(nil, raw)
		r.State, r.HasState, r.Malformed = string(state), true, !ok
	}
	if raw := get(params, inputResponses); raw != nil && string(raw) != "null" {
		r.Responses = raw
		r.Malformed = r.Malformed || !isObject(raw)
	}
	return r
}

// Arguments returns the raw arguments of a call; nil for none.
func Arguments(params []byte) []byte {
	if raw := get(params, "arguments"); raw != nil {
		return raw
	}
	return get(params, "argument") // completion/complete
}
