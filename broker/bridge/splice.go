package bridge

import (
	"strconv"

	"mcp-gateway/internal/jsonrpc"
)

// edit replaces one token of a message.
type edit struct {
	span jsonrpc.Span
	with []byte
}

// splice returns a copy of body with the edits, empty spans apart. Line breaks
// become spaces: in valid JSON they stand between tokens only, and a message
// must be one line. There is room for one more byte.
func splice(body []byte, edits ...edit) []byte {
	size := len(body) + 1
	for _, e := range edits {
		size += len(e.with)
	}
	out := make([]byte, 0, size)
	at := 0
	for len(edits) > 0 {
		next := 0
		for i := range edits {
			if edits[i].span.Start < edits[next].span.Start {
				next = i
			}
		}
		e := edits[next]
		edits[next], edits = edits[0], edits[1:]
		if e.span.Empty() {
			continue
		}
		out = append(append(out, body[at:e.span.Start]...), e.with...)
		at = e.span.End
	}
	out = append(out, body[at:]...)
	for i, c := range out {
		if c == '\n' || c == '\r' {
			out[i] = ' '
		}
	}
	return out
}

// member returns the value of a member of an object, empty if it has none.
// Spans are relative to the object's own.
func member(body []byte, object jsonrpc.Span, name string) jsonrpc.Span {
	var found jsonrpc.Span
	key := strconv.Quote(name)
	text := object.Of(body)
	_ = jsonrpc.Members(text, func(k, v jsonrpc.Span) bool {
		if string(k.Of(text)) == key {
			found = jsonrpc.Span{Start: object.Start + v.Start, End: object.Start + v.End}
			return false
		}
		return true
	})
	return found
}

// without returns a copy of an object without a member.
func without(object []byte, name string) []byte {
	key := strconv.Quote(name)
	var out []byte
	_ = jsonrpc.Members(object, func(k, v jsonrpc.Span) bool {
		if string(k.Of(object)) != key {
			if len(out) > 0 {
				out = append(out, ',')
			}
			out = append(append(append(out, k.Of(object)...), ':'), v.Of(object)...)
		}
		return true
	})
	return append(append([]byte{'{'}, out...), '}')
}
