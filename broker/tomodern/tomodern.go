// Package tomodern translates a call of a client with a session into requests of
// a stateless server (2026-07-28), and what the server answers back: what in the
// stateless revisions travels with each request is put in and taken out, and the
// inputs that a server requires become requests to the client. Raw JSON is
// spliced; what is passed on is never decoded. The package holds no state and
// speaks no HTTP.
package tomodern

import (
	"encoding/json"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Client is whose call it is, as initialize and later requests have settled it.
type Client struct {
	// Info is the raw clientInfo, empty for none.
	Info json.RawMessage
	// Declared is what the server may ask the client for.
	Declared Declared
	// Level is the log level that the client has set; empty for none.
	Level string
}

// Call is a request of a client in the form of a stateless revision, but for its
// id and the answers to required inputs.
type Call struct {
	// before ends where the id belongs, between before the members that a round
	// adds to params, after is the rest.
	before, between, after []byte
	idFirst                bool
}

// own are members of params that a client with a session has no say in, and the task
// of 2025-11-25, which nobody could ask for again.
var own = map[string]bool{"inputResponses": true, "requestState": true, "task": true}

// reserved are members of params._meta that say what a session has settled.
var reserved = map[string]bool{
	mcp.MetaProtocolVersion: true, mcp.MetaClientInfo: true, mcp.MetaClientCapabilities: true, mcp.MetaLogLevel: true,
}

// NewCall translates a request, body, that was scanned as m, and whose params
// are an object. at is a string in params, the name or URI, to be replaced with
// what the server calls it.
func NewCall(body []byte, m *jsonrpc.Message, at jsonrpc.Span, name string, client Client) Call {
	params := m.Params.Of(body)
	at.Start, at.End = at.Start-m.Params.Start, at.End-m.Params.Start
	named := jsonrpc.ReplaceSpan(nil, params, at, jsonrpc.AppendQuote(nil, []byte(name)))
	out := []byte{'{'}
	var meta []byte
	_ = jsonrpc.Members(named, func(k, v jsonrpc.Span) bool { // was scanned
		key := k.Of(named)
		switch text := unquoted(key); {
		case text == "_meta":
			meta = v.Of(named)
		case !own[text]:
			out = appendMember(out, key, v.Of(named))
		}
		return true
	})
	out = appendMember(out, []byte(`"_meta"`), client.meta(meta))

	c := Call{idFirst: m.ID.Start < m.Params.Start}
	if c.idFirst {
		c.before, c.between = body[:m.ID.Start], append(body[m.ID.End:m.Params.Start:m.Params.Start], out...)
		c.after = body[m.Params.End:]
		return c
	}
	c.before = append(body[:m.Params.Start:m.Params.Start], out...)
	c.between, c.after = body[m.Params.End:m.ID.Start], body[m.ID.End:]
	return c
}

// Message returns the request under a raw id. responses and state are raw, what
// the client has answered in this round and the server's requestState; nil for
// none.
func (c Call) Message(id, responses, state []byte) []byte {
	var more []byte
	if responses != nil {
		more = append(append(more, `,"inputResponses":`...), responses...)
	}
	if state != nil {
		more = append(append(more, `,"requestState":`...), state...)
	}
	more = append(more, '}')
	first, second := id, more
	if !c.idFirst {
		first, second = more, id
	}
	out := append([]byte{}, c.before...)
	out = append(append(out, first...), c.between...)
	return append(append(out, second...), c.after...)
}

// meta returns what the server gets of a client's _meta, nil for none, with what
// a stateless request has to carry.
func (c Client) meta(given []byte) []byte {
	out := []byte{'{'}
	_ = jsonrpc.Members(given, func(k, v jsonrpc.Span) bool { // what is no object has no members
		if key := k.Of(given); !reserved[unquoted(key)] {
			out = appendMember(out, key, v.Of(given))
		}
		return true
	})
	out = appendMember(out, []byte(`"`+mcp.MetaProtocolVersion+`"`), []byte(`"`+mcp.Revision20260728+`"`))
	if len(c.Info) > 0 {
		out = appendMember(out, []byte(`"`+mcp.MetaClientInfo+`"`), c.Info)
	}
	out = appendMember(out, []byte(`"`+mcp.MetaClientCapabilities+`"`), c.Declared.raw)
	if c.Level != "" {
		out = appendMember(out, []byte(`"`+mcp.MetaLogLevel+`"`), jsonrpc.AppendQuote(nil, []byte(c.Level)))
	}
	return append(out, '}')
}

// appendMember adds a member to an object that is not closed.
func appendMember(dst, key, value []byte) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(append(append(dst, key...), ':'), value...)
}

func unquoted(token []byte) string {
	text, _ := jsonrpc.Unquote(nil, token)
	return string(text)
}

// member returns the raw value of an object's last member of a name; nil if there
// is none, or no object.
func member(object []byte, name string) []byte { return memberAt(object, name).Of(object) }

func memberAt(object []byte, name string) (at jsonrpc.Span) {
	_ = jsonrpc.Members(object, func(k, v jsonrpc.Span) bool {
		if unquoted(k.Of(object)) == name {
			at = v
		}
		return true
	})
	return at
}

// isObject reports whether a raw value is one.
func isObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }
