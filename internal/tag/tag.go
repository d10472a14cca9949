// Package tag marks a value that a server chose (the id of its request, its
// progress token, the id of an event) with the server's name, so that the same
// value coming back from a client needs no table to be routed, in whichever
// process it arrives. The mark is "name~" in front; no server name holds a
// tilde.
package tag

import (
	"bytes"

	"mcp-gateway/internal/jsonrpc"
)

const mark = '~'

// AppendToken appends a JSON string token that marks raw, a JSON token (an id
// or a progress token), with the server it came from.
func AppendToken(dst []byte, server string, raw []byte) []byte {
	text := make([]byte, 0, len(server)+1+len(raw))
	text = append(append(append(text, server...), mark), raw...)
	return jsonrpc.AppendQuote(dst, text)
}

// CutToken undoes AppendToken. ok is false for a token that carries no mark or
// whose rest is no string or number; the caller checks that the server exists.
// The results may stand in scratch.
func CutToken(token, scratch []byte) (server, raw []byte, ok bool) {
	text, ok := jsonrpc.Unquote(scratch[:0], token)
	if !ok {
		return nil, nil, false
	}
	server, raw, ok = bytes.Cut(text, []byte{mark})
	if !ok || len(server) == 0 || len(raw) == 0 || !scalar(raw) {
		return nil, nil, false
	}
	return server, raw, true
}

// scalar reports whether raw is one JSON string or number and nothing else, so
// that splicing it into a message cannot add members to it.
func scalar(raw []byte) bool {
	return (raw[0] == '"' || raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9') &&
		raw[len(raw)-1] > ' ' && jsonrpc.Valid(raw) == nil
}

// AppendEvent appends the id of an event of one server's own stream.
func AppendEvent(dst []byte, server string, id []byte) []byte {
	return append(append(append(dst, server...), mark), id...)
}

// AppendMerged appends the id of a server's event on the client's merged
// stream: a mark in front tells it from the id of a server's own stream.
func AppendMerged(dst []byte, server string, id []byte) []byte {
	return AppendEvent(append(dst, mark), server, id)
}

// CutEvent undoes AppendEvent and AppendMerged; merged tells which.
func CutEvent(text string) (server, id string, merged, ok bool) {
	b := []byte(text)
	if len(b) > 0 && b[0] == mark {
		b, merged = b[1:], true
	}
	s, rest, ok := bytes.Cut(b, []byte{mark})
	if !ok || len(s) == 0 {
		return "", "", false, false
	}
	return string(s), string(rest), merged, true
}
