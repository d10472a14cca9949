// Package tag marks a value that a server chose (the id of its request, its
// progress token, the id of an event) with the server's name, so that the same
// value coming back from a client needs no table to be routed, in whichever
// process it arrives. The mark is "name~seal~" in front; neither holds a tilde.
//
// The seal is for one server and one session of a client. Who does not know the
// session's id, as no server does, cannot make it up, and so no server can have
// a client answer to another.
package tag

import (
	"bytes"
	"crypto/subtle"

	"mcp-gateway/internal/jsonrpc"
)

const mark = '~'

// Marker marks what one server chose, for one session. Not safe for concurrent
// use.
type Marker struct {
	session []byte
	server  string
	seal    seal
	sealed  bool // seal is made when it is first needed
}

// NewMarker returns a Marker. session is the id that the client has for its
// session; it must not change while the Marker is used.
func NewMarker(session []byte, server string) Marker {
	return Marker{session: session, server: server}
}

// Server is the name of the server.
func (m *Marker) Server() string { return m.server }

// AppendToken appends a JSON string token that marks raw, a JSON token (an id
// or a progress token).
func (m *Marker) AppendToken(dst, raw []byte) []byte {
	return jsonrpc.AppendQuote(dst, m.append(make([]byte, 0, len(m.server)+sealLength+2+len(raw)), raw))
}

// AppendEvent appends the id of an event of the server's own stream.
func (m *Marker) AppendEvent(dst, id []byte) []byte { return m.append(dst, id) }

// AppendMerged appends the id of an event of the server on the client's merged
// stream: a mark in front tells it from the id of a server's own stream.
func (m *Marker) AppendMerged(dst, id []byte) []byte { return m.append(append(dst, mark), id) }

func (m *Marker) append(dst, value []byte) []byte {
	if !m.sealed {
		m.seal, m.sealed = newSeal(m.session, m.server), true
	}
	dst = append(append(dst, m.server...), mark)
	return append(append(append(dst, m.seal[:]...), mark), value...)
}

// CutToken undoes AppendToken for the same session. ok is false for a token that
// carries no mark, or one of another session, or made up, or whose rest is no
// string or number; the caller checks that the server exists. The results may
// stand in scratch.
func CutToken(session, token, scratch []byte) (server, raw []byte, ok bool) {
	text, ok := jsonrpc.Unquote(scratch[:0], token)
	if !ok {
		return nil, nil, false
	}
	server, raw, ok = cut(session, text)
	if !ok || len(raw) == 0 || !scalar(raw) {
		return nil, nil, false
	}
	return server, raw, true
}

// CutEvent undoes AppendEvent and AppendMerged for the same session; merged
// tells which. ok as of CutToken.
func CutEvent(session []byte, text string) (server, id string, merged, ok bool) {
	b := []byte(text)
	if len(b) > 0 && b[0] == mark {
		b, merged = b[1:], true
	}
	s, rest, ok := cut(session, b)
	if !ok {
		return "", "", false, false
	}
	return string(s), string(rest), merged, true
}

// cut takes a mark apart whose seal fits.
func cut(session, text []byte) (server, value []byte, ok bool) {
	server, rest, found := bytes.Cut(text, []byte{mark})
	if !found || len(session) == 0 || len(server) == 0 || len(server) > longestName || len(rest) <= sealLength || rest[sealLength] != mark {
		return nil, nil, false
	}
	want := newSeal(session, string(server))
	if subtle.ConstantTimeCompare(rest[:sealLength], want[:]) != 1 {
		return nil, nil, false
	}
	return server, rest[sealLength+1:], true
}

// scalar reports whether raw is one JSON string or number and nothing else, so
// that splicing it into a message cannot add members to it.
func scalar(raw []byte) bool {
	return (raw[0] == '"' || raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9') &&
		raw[len(raw)-1] > ' ' && jsonrpc.Valid(raw) == nil
}
