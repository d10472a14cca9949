// Package tolegacy translates between a client of the stateless revisions
// (2026-07-28) and a server of those with sessions: what the client calls into
// what the server reads, and what the server says into what the client reads. It
// is pure, and it splices: what no rule names passes byte for byte.
package tolegacy

import (
	"slices"

	"mcp-gateway/internal/jsonrpc"
)

// edit replaces the bytes of a span.
type edit struct {
	jsonrpc.Span
	with []byte
}

// apply appends text to dst with edits made, which must not overlap.
func apply(dst, text []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.Start - b.Start })
	from := 0
	for _, e := range edits {
		dst = append(append(dst, text[from:e.Start]...), e.with...)
		from = e.End
	}
	return append(dst, text[from:]...)
}

// member is one member of an object, in offsets of the text around it.
type member struct {
	name       string
	key, value jsonrpc.Span
}

// membersOf returns the members of the object at span; none for another value.
func membersOf(text []byte, span jsonrpc.Span) []member {
	var out []member
	object := span.Of(text)
	_ = jsonrpc.Members(object, func(key, value jsonrpc.Span) bool {
		name, _ := jsonrpc.Unquote(nil, key.Of(object))
		out = append(out, member{string(name), shift(key, span.Start), shift(value, span.Start)})
		return true
	})
	return out
}

func shift(s jsonrpc.Span, by int) jsonrpc.Span {
	return jsonrpc.Span{Start: s.Start + by, End: s.End + by}
}

// cut returns the edits that take the named members out of an object, and how
// many members stay.
func cut(members []member, names ...string) (edits []edit, left int) {
	last := -1 // the last one that stays
	for i, m := range members {
		if !slices.Contains(names, m.name) {
			last = i
			left++
		}
	}
	for i, m := range members {
		switch {
		case !slices.Contains(names, m.name):
		case i < last: // with the comma behind it
			edits = append(edits, edit{Span: jsonrpc.Span{Start: m.key.Start, End: members[i+1].key.Start}})
		case i == 0:
			edits = append(edits, edit{Span: jsonrpc.Span{Start: m.key.Start, End: m.value.End}})
		default: // with the comma before it
			edits = append(edits, edit{Span: jsonrpc.Span{Start: members[i-1].value.End, End: m.value.End}})
		}
	}
	return edits, left
}

// get returns the raw value of an object's member by its name, nil for none.
func get(object []byte, name string) []byte {
	for _, m := range membersOf(object, jsonrpc.Span{End: len(object)}) {
		if m.name == name {
			return m.value.Of(object)
		}
	}
	return nil
}

// isObject reports whether a raw value is an object.
func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// text returns what a raw string stands for; empty for anything else.
func text(raw []byte) string {
	s, _ := jsonrpc.Unquote(nil, raw)
	return string(s)
}

func quote(s string) []byte { return jsonrpc.AppendQuote(nil, []byte(s)) }
