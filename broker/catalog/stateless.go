package catalog

import (
	"bytes"

	"mcp-gateway/internal/jsonrpc"
)

// What a tool says about the tasks of 2025-11-25, which no later revision knows.
const (
	executionMember = "execution"
	taskSupport     = "taskSupport"
	taskRequired    = "required"
)

const outputSchemaMember = "outputSchema"

// withoutTasks returns a tool of a server with sessions as clients of stateless
// revisions see it: without its execution member, as they know other tasks; nil
// for a tool that can be called as a task only. A server that spells the member
// with escapes keeps it.
func withoutTasks(raw []byte) []byte {
	if !bytes.Contains(raw, []byte(executionMember)) {
		return raw
	}
	required := false
	out := keep(raw, func(key, value jsonrpc.Span) bool {
		if !is(raw, key, executionMember) {
			return true
		}
		required = required || requires(value.Of(raw))
		return false
	})
	if required {
		return nil
	}
	return out
}

// forSessions returns a tool of a stateless server as clients with sessions see
// it: in their revisions outputSchema is one of an object (2025-11-25,
// server/tools, Output Schema), and a client that reads another may refuse the
// whole list. What such a tool answers they get as text. A server that spells the
// member with escapes keeps it.
func forSessions(raw []byte) []byte {
	if !bytes.Contains(raw, []byte(outputSchemaMember)) {
		return raw
	}
	return keep(raw, func(key, value jsonrpc.Span) bool {
		return !is(raw, key, outputSchemaMember) || ofObject(value.Of(raw))
	})
}

// ofObject reports whether a schema is one of objects.
func ofObject(schema []byte) bool {
	object := false
	_ = jsonrpc.Members(schema, func(key, value jsonrpc.Span) bool { // an error means no object
		object = object || is(schema, key, "type") && is(schema, value, "object")
		return true
	})
	return object
}

// keep returns an item with the members that f reports; raw itself if these are
// all.
func keep(raw []byte, f func(key, value jsonrpc.Span) bool) []byte {
	var kept []jsonrpc.Span
	all := 0
	// The item was read before: there is no error.
	_ = jsonrpc.Members(raw, func(key, value jsonrpc.Span) bool {
		all++
		if f(key, value) {
			kept = append(kept, jsonrpc.Span{Start: key.Start, End: value.End})
		}
		return true
	})
	if len(kept) == all {
		return raw
	}
	out := append(make([]byte, 0, len(raw)), '{')
	for i, member := range kept {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, member.Of(raw)...)
	}
	return append(out, '}')
}

func requires(execution []byte) bool {
	required := false
	_ = jsonrpc.Members(execution, func(key, value jsonrpc.Span) bool { // an error means no object
		required = required || is(execution, key, taskSupport) && is(execution, value, taskRequired)
		return true
	})
	return required
}

// is reports whether the token at a span is the string want.
func is(text []byte, token jsonrpc.Span, want string) bool {
	got, _ := jsonrpc.Unquote(nil, token.Of(text))
	return string(got) == want
}

// differs reports whether clients of stateless revisions see another item.
func (e *entry) differs() bool { return len(e.stateless) != len(e.raw) }

func rawOf(entries []*entry) [][]byte {
	out := make([][]byte, len(entries))
	for i, e := range entries {
		out[i] = e.raw
	}
	return out
}

func statelessOf(entries []*entry) [][]byte {
	var out [][]byte
	for _, e := range entries {
		if e.stateless != nil {
			out = append(out, e.stateless)
		}
	}
	return out
}

// FirstStateless is First for a client of a stateless revision, from behind the
// opening brace of the result: `"tools":[...]}}`. What else is in such a result is
// the caller's to put in front.
func (v *View) FirstStateless(k Kind) []byte { return v.stateless[k].all[0][len(resultMember):] }

// PageStateless is FirstStateless for the page of a cursor, as Page is.
func (v *View) PageStateless(k Kind, cursor string) ([]byte, bool) {
	page, ok := v.stateless[k].page(cursor)
	if !ok {
		return nil, false
	}
	return page[len(resultMember):], true
}
