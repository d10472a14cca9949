package fromserver

import (
	"bytes"

	"mcp-gateway/internal/jsonrpc"
)

// What a server asks of the client's user or model, in results of stateless servers
// (2026-07-28, basic/patterns/mrtr) and requests of those with sessions.

// Unreadable is what Undeclared returns for a message that parsers may read in
// several ways.
const Unreadable = "nothing that can be read"

// MayAsk reports whether a result may ask its client for input: a search. A key
// that is spelled with escapes is found, too.
func MayAsk(message []byte) bool { return (WordInputs | WordEscape).In(message) }

// Undeclared returns which capability a client would have to declare for what a
// result asks of it, given its raw clientCapabilities, as Needs names it; empty if the
// client has declared all of it, or is asked nothing.
func Undeclared(message, capabilities []byte) string {
	r := rewriter{message: message}
	lacks := ""
	request := func(_ string, value jsonrpc.Span) error {
		if capability := r.needs(value); !Declares(capabilities, capability) {
			lacks = capability
		}
		return nil
	}
	err := r.members(jsonrpc.Span{Start: start(message), End: len(message)}, func(key string, value jsonrpc.Span) error {
		if !spells(key, "result") {
			return nil
		}
		return r.members(value, func(key string, value jsonrpc.Span) error {
			if !spells(key, "inputRequests") {
				return nil
			}
			return r.members(value, request)
		})
	})
	if err != nil {
		return Unreadable
	}
	return lacks
}

// needs returns the capability that one of inputRequests needs.
func (r *rewriter) needs(span jsonrpc.Span) (capability string) {
	var methods []string
	var a asked
	err := r.members(span, func(key string, value jsonrpc.Span) error {
		switch {
		case spells(key, "method"):
			method, _ := jsonrpc.Unquote(nil, value.Of(r.message))
			methods = append(methods, string(method))
		case spells(key, "params"):
			return r.asks(value, &a)
		}
		return nil
	})
	if err != nil || len(methods) != 1 {
		return Unreadable
	}
	return a.capability(methods[0])
}

// NameURL returns the params of an elicitation, an object. If they ask the user to
// open a URL, their message names the server that wants it: to the client all
// servers are one (2025-11-25, client/elicitation, URL Mode).
func NameURL(params []byte, server string) []byte {
	r := rewriter{message: params, server: server}
	if r.elicitation(jsonrpc.Span{End: len(params)}) != nil || len(r.finds) == 0 {
		return params
	}
	return r.replaced(make([]byte, 0, len(params)+len(server)+2))
}

// elicitation finds the message of one that is about a URL.
func (r *rewriter) elicitation(span jsonrpc.Span) error {
	url := false
	var messages []jsonrpc.Span
	err := r.members(span, func(key string, value jsonrpc.Span) error {
		switch {
		case spells(key, "mode"):
			url = url || is(value.Of(r.message), "url")
		case spells(key, "message") && r.message[value.Start] == '"':
			messages = append(messages, value)
		}
		return nil
	})
	if err != nil || !url || r.server == "" {
		return err
	}
	for _, m := range messages {
		r.finds = append(r.finds, find{Span: m, name: r.server})
	}
	return nil
}

// inputs reads inputRequests.
func (r *rewriter) inputs(span jsonrpc.Span) error {
	return r.members(span, func(_ string, request jsonrpc.Span) error {
		return r.members(request, func(key string, value jsonrpc.Span) error {
			if spells(key, "params") {
				return r.elicitation(value) // others have no mode
			}
			return nil
		})
	})
}

// spells reports whether the inside of a key is a name, letters escaped or not.
func spells(key, name string) bool {
	if key == name {
		return true
	}
	if len(key) < len(name)+5 || len(key) > 6*len(name) {
		return false
	}
	got, ok := jsonrpc.Unquote(nil, []byte(`"`+key+`"`))
	return ok && string(got) == name
}

// is reports whether a token is the string want.
func is(token []byte, want string) bool {
	got, ok := jsonrpc.Unquote(nil, token)
	return ok && string(got) == want
}

// member returns a member of an object, the last of that name; nil for none.
func member(object []byte, name string) (found []byte) {
	r := rewriter{message: object}
	_ = r.members(jsonrpc.Span{End: len(object)}, func(key string, value jsonrpc.Span) error { // nothing is found in what is none
		if spells(key, name) {
			found = value.Of(object)
		}
		return nil
	})
	return found
}

// start returns where the text begins behind space.
func start(text []byte) int { return len(text) - len(bytes.TrimLeft(text, " \t\r\n")) }
