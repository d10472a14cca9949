// Package jsonrpc reads one JSON-RPC 2.0 message of MCP without decoding it: a
// strict scanner that reports where the routing members stand, and the writers
// that splice one token or build an error answer. It serves the filter and the
// broker, which pass every other byte on as it came. It is no JSON library: no
// reflection, no numbers, no tree.
//
// Strict means that two parsers cannot disagree about what was routed. The
// whole text must be RFC 8259 JSON in valid UTF-8 (RFC 3629, no lone surrogate
// escapes), nested at most MaxDepth deep. In the objects that decide about
// routing (the message, params, params._meta, params.ref) a key must not occur
// twice, and a reserved name must be spelled exactly: parsers that fold case
// or take the last duplicate would otherwise see another method or name. The slash
// in names of _meta may be written \/, as encoders of PHP do.
package jsonrpc

import "strconv"

const (
	// MaxDepth is the largest number of objects and arrays open at once, if no
	// smaller one is asked for.
	MaxDepth = 128
	// MaxKeys is the largest number of keys in a guarded object: the message,
	// params, params._meta and params.ref. No other object has a limit.
	MaxKeys = 64
)

// Span is a half open range of byte offsets into the scanned text. The zero
// Span means absent: no JSON token is empty.
type Span struct{ Start, End int }

// Empty reports whether s covers nothing.
func (s Span) Empty() bool { return s.Start >= s.End }

// Of returns the bytes of s in body, nil if s is empty. It panics if body is
// shorter than the text that was scanned.
func (s Span) Of(body []byte) []byte {
	if s.Empty() {
		return nil
	}
	return body[s.Start:s.End:s.End]
}

// Kind says what a message is.
type Kind uint8

// The kinds of a message.
const (
	Request      Kind = iota + 1 // method and id
	Notification                 // method, no id
	Response                     // no method; result or error, and id
	Batch                        // array at top; valid JSON, its items unread
)

// String returns the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Request:
		return "request"
	case Notification:
		return "notification"
	case Response:
		return "response"
	case Batch:
		return "batch"
	}
	return "kind " + strconv.Itoa(int(k))
}

// Message tells where the members of one message stand. All spans are raw
// tokens, quotes included: two spellings of a string ("a/b", "a\/b") are equal
// only after Unquote. Absent members are empty spans.
type Message struct {
	Kind Kind
	// ID is a string or number; null only in an error response.
	ID Span
	// Method is a string.
	Method Span
	// Params is an object or array; params:null counts as absent, because
	// clients in the field send it for "none".
	Params Span

	// Members of params, of whatever type the client gave them.
	Name, URI, Cursor         Span
	NameIsString, URIIsString bool
	RefType, RefName, RefURI  Span // params.ref
	ProtocolVersion           Span // params.protocolVersion (initialize)
	TaskID                    Span // params.taskId
	Arguments                 Span // params.arguments
	Meta                      Span // params._meta
	// Of params._meta, with "io.modelcontextprotocol/" in front: protocolVersion,
	// clientCapabilities, clientInfo, logLevel.
	MetaVersion, MetaCapabilities, MetaClientInfo, MetaLogLevel Span

	// ProgressToken is params._meta.progressToken of a request, if it is a string or
	// a number: only these are tokens.
	ProgressToken Span
	Progress      Span // params.progressToken (notifications/progress)
	Cancelled     Span // params.requestId (notifications/cancelled)

	// Result and Error are the raw values of a response; exactly one is set.
	Result, Error Span
}

// Error says why a text is no acceptable message.
type Error struct {
	// Code is mcp.CodeParseError if the text is not JSON or not UTF-8, else
	// mcp.CodeInvalidRequest.
	Code int
	// Reason is for people; it never quotes the text.
	Reason string
	// TooDeep tells that the text is nested deeper than it may be.
	TooDeep bool
	// ID is the raw id to answer with, a string or number; empty if the text is
	// not JSON or nested too deep, or if the message has no id or more than one.
	ID Span
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }
