// Package modern holds the rules of the stateless revisions (2026-07-28 and
// later) that the filter and the broker check alike: when a request belongs to
// them, and whether its headers say the same as its body (2026-07-28,
// basic/transports/streamable-http, Server Validation).
package modern

import (
	"bytes"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Headers are the values of the headers that repeat what the body says, without
// the space around them; nil for one that is absent.
type Headers struct {
	Version, Method, Name []byte
	// Repeated tells that one of them occurs more than once.
	Repeated bool
}

// Is reports whether a message belongs to a stateless revision: because its
// _meta names any revision, its header names one, or a header is there that
// only they have beside no revision with sessions.
func Is(m *jsonrpc.Message, h Headers) bool {
	return !m.MetaVersion.Empty() || OfHeaders(h)
}

// OfHeaders is Is for a request whose body is not known.
func OfHeaders(h Headers) bool {
	return mcp.Modern(mcp.Revision(h.Version)) ||
		(h.Method != nil || h.Name != nil) && !mcp.Served(mcp.Revision(h.Version))
}

// Refusal says why a request is not served. It goes with HTTP status 400.
type Refusal struct {
	Code    int
	Message string
	// Data is a raw JSON object, nil for none.
	Data []byte
}

// Check returns what is wrong with a request of a stateless revision, nil if
// nothing is, in the order that the specification's own suite expects: _meta,
// headers, revision. Whether the method exists is for later. Notifications have
// no such rules. It allocates nothing if nothing is wrong and no string in the
// body is escaped.
func Check(m *jsonrpc.Message, body []byte, h Headers) *Refusal {
	if m.Kind != jsonrpc.Request {
		return nil
	}
	version, ok := jsonrpc.Unquote(nil, m.MetaVersion.Of(body))
	switch {
	case !ok || len(version) == 0:
		return invalid(mcp.MetaProtocolVersion + " must be a string")
	case m.MetaCapabilities.Empty() || body[m.MetaCapabilities.Start] != '{':
		return invalid(mcp.MetaClientCapabilities + " must be an object")
	case !m.MetaClientInfo.Empty() && body[m.MetaClientInfo.Start] != '{':
		return invalid(mcp.MetaClientInfo + " must be an object")
	case !m.MetaLogLevel.Empty() && !isLevel(m.MetaLogLevel.Of(body)):
		return invalid(mcp.MetaLogLevel + " must be a log level, as info or error")
	}
	if h.Repeated {
		return mismatch("a header is there more than once")
	}
	if !bytes.Equal(h.Version, version) {
		return mismatch("MCP-Protocol-Version")
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(body))
	if !bytes.Equal(h.Method, method) {
		return mismatch("Mcp-Method")
	}
	if named := Named(m, method); named.there && !saysName(h.Name, named.Of(body)) {
		return mismatch("Mcp-Name")
	}
	if !mcp.ServedModern(mcp.Revision(version)) {
		return &Refusal{Code: mcp.CodeUnsupportedVersion, Message: "unsupported protocol version", Data: AppendVersions(nil, version)}
	}
	return nil
}

// isLevel reports whether a raw value is a log level, or null, which asks for none.
func isLevel(raw []byte) bool {
	level, _ := jsonrpc.Unquote(nil, raw)
	return mcp.Verbosity(string(level)) >= 0 || raw[0] == 'n'
}

// saysName reports whether a header's value, nil for none, is that of the JSON
// token. What is no string is the server's to refuse, or the router's.
func saysName(header, token []byte) bool {
	if header == nil {
		return false
	}
	want, isString := jsonrpc.Unquote(nil, token)
	if !isEncoded(header) {
		return isText(header) && (!isString || bytes.Equal(header, want))
	}
	var room [256]byte // on the stack
	got, ok := DecodeHeader(room[:0], header)
	return ok && (!isString || bytes.Equal(got, want))
}

// AppendVersions appends the data of a -32022 error.
func AppendVersions(dst, requested []byte) []byte {
	dst = append(dst, `{"supported":[`...)
	for i, r := range mcp.Supported() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsonrpc.AppendQuote(dst, []byte(r))
	}
	dst = append(dst, `],"requested":`...)
	return append(jsonrpc.AppendQuote(dst, requested), '}')
}

// Name is the member of params that Mcp-Name repeats.
type Name struct {
	jsonrpc.Span
	there bool
}

// Named returns what Mcp-Name repeats for a method; There is false where the
// header means nothing.
func Named(m *jsonrpc.Message, method []byte) Name {
	switch string(method) {
	case mcp.MethodToolsCall, mcp.MethodPromptsGet:
		return Name{m.Name, true}
	case mcp.MethodResourcesRead:
		return Name{m.URI, true}
	case mcp.MethodTasksGet, mcp.MethodTasksUpdate, mcp.MethodTasksCancel:
		return Name{m.TaskID, true}
	}
	return Name{}
}

// There reports whether the method has the header at all.
func (n Name) There() bool { return n.there }

func invalid(what string) *Refusal {
	return &Refusal{Code: mcp.CodeInvalidParams, Message: "params._meta: " + what}
}

func mismatch(what string) *Refusal {
	return &Refusal{Code: mcp.CodeHeaderMismatch, Message: "header and body do not agree: " + what}
}
