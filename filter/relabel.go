package filter

import (
	"bytes"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/resourceuri"
)

// uriMember is what an answer without resource URIs does not contain. A server
// that spells the key with escapes only keeps its own links from working.
var uriMember = []byte(`"uri"`)

// relabel appends message, one JSON-RPC answer of a server, to dst with the
// server's label put before each resource URI that a client may send back:
// result.contents[].uri, uri and resource.uri of the content blocks in
// result.content[] and result.messages[].content, and error.data.uri. All
// other bytes stay. A message that cannot be read so is copied as it is.
func relabel(dst, message []byte, label string) []byte {
	r := relabeler{message: message, label: label}
	if !bytes.Contains(message, uriMember) || r.envelope() != nil {
		return append(dst, message...)
	}
	from := 0
	for _, s := range r.uris {
		dst = append(dst, message[from:s.Start]...)
		token := message[s.Start:s.End]
		if uri, ok := jsonrpc.Unquote(nil, token); ok {
			dst = jsonrpc.AppendQuote(dst, []byte(resourceuri.Join(label, string(uri))))
		} else {
			dst = append(dst, token...)
		}
		from = s.End
	}
	return append(dst, message[from:]...)
}

// relabeler walks one message and collects its URI tokens in order.
type relabeler struct {
	message []byte
	label   string
	uris    []jsonrpc.Span
}

// members calls f for each member of the object at span with its plain key and
// its value's place in the message. Values that are no object have no members.
func (r *relabeler) members(span jsonrpc.Span, f func(key string, value jsonrpc.Span) error) error {
	object := span.Of(r.message)
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	var inner error
	err := jsonrpc.Members(object, func(key, value jsonrpc.Span) bool {
		token := key.Of(object)
		inner = f(string(token[1:len(token)-1]), shift(value, span.Start))
		return inner == nil
	})
	if inner != nil {
		return inner
	}
	return err
}

func (r *relabeler) elements(span jsonrpc.Span, f func(value jsonrpc.Span) error) error {
	array := span.Of(r.message)
	if len(array) == 0 || array[0] != '[' {
		return nil
	}
	var inner error
	err := jsonrpc.Elements(array, func(value jsonrpc.Span) bool {
		inner = f(shift(value, span.Start))
		return inner == nil
	})
	if inner != nil {
		return inner
	}
	return err
}

func shift(s jsonrpc.Span, by int) jsonrpc.Span {
	return jsonrpc.Span{Start: s.Start + by, End: s.End + by}
}

func (r *relabeler) envelope() error {
	start := len(r.message) - len(bytes.TrimLeft(r.message, " \t\r\n"))
	whole := jsonrpc.Span{Start: start, End: len(r.message)}
	return r.members(whole, func(key string, value jsonrpc.Span) error {
		switch key {
		case "result":
			return r.members(value, r.result)
		case "error":
			return r.members(value, func(key string, value jsonrpc.Span) error {
				if key == "data" {
					return r.holder(value)
				}
				return nil
			})
		}
		return nil
	})
}

func (r *relabeler) result(key string, value jsonrpc.Span) error {
	switch key {
	case "contents":
		return r.elements(value, r.holder)
	case "content":
		return r.elements(value, r.block)
	case "messages":
		return r.elements(value, func(message jsonrpc.Span) error {
			return r.members(message, func(key string, value jsonrpc.Span) error {
				if key != "content" {
					return nil
				}
				if err := r.elements(value, r.block); err != nil {
					return err
				}
				return r.block(value)
			})
		})
	}
	return nil
}

// block is a content block: a resource_link with a uri, or an embedded
// resource (2025-11-25, server/tools, Tool Result).
func (r *relabeler) block(span jsonrpc.Span) error {
	return r.members(span, func(key string, value jsonrpc.Span) error {
		switch key {
		case "uri":
			r.take(value)
		case "resource":
			return r.holder(value)
		}
		return nil
	})
}

// holder is an object whose own uri counts.
func (r *relabeler) holder(span jsonrpc.Span) error {
	return r.members(span, func(key string, value jsonrpc.Span) error {
		if key == "uri" {
			r.take(value)
		}
		return nil
	})
}

func (r *relabeler) take(value jsonrpc.Span) {
	if r.message[value.Start] == '"' {
		r.uris = append(r.uris, value)
	}
}
