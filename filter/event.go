package filter

import (
	"bytes"
	"strconv"

	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// event appends one event of a server as the client may see it. Its id says
// whose stream it is, for a GET that takes the stream up again.
func (s *Stream) event(e sse.Event) error {
	fault.At("event")
	if len(e.ID) > 0 && !s.stateless {
		s.answer.id = s.answer.marker.AppendEvent(s.answer.id[:0], e.ID)
		e.ID = s.answer.id
	}
	if len(e.Name) > 0 && string(e.Name) != "message" {
		s.otherEvent(e)
		return nil
	}
	if s.isBatch(e.Data) {
		// Its messages go on one by one, as each is judged for itself.
		_ = jsonrpc.Elements(e.Data, func(item jsonrpc.Span) bool { // was scanned
			s.message(sse.Event{Name: e.Name, Data: item.Of(e.Data), HasData: true})
			return true
		})
		e.Name, e.Data, e.HasData = nil, nil, false
	}
	s.message(e)
	return nil
}

// message appends an event with one message, or without any.
func (s *Stream) message(e sse.Event) {
	switch {
	case len(e.Data) == 0:
	case !s.admitted(e.Data):
		// The id stays: the stream goes on behind it.
		e.Name, e.Data, e.HasData = nil, nil, false
	case s.msg.Kind == 0:
		s.answer.given = true
		s.reply = jsonrpc.AppendError(s.reply[:0], s.id, mcp.CodeInternalError,
			"server "+s.target.server.name+" sent a message that is no JSON-RPC", nil)
		e.Data = s.reply
	default:
		if capability := s.undeclared(e.Data); capability != "" {
			s.reply = s.appendUndeclared(s.reply[:0], capability)
			e.Data = s.reply
		} else if s.concerns(e.Data) {
			s.reply = s.appendFit(s.reply[:0], e.Data)
			e.Data = s.reply
		}
	}
	s.put(e)
}

// put appends an event, if anything is left of it.
func (s *Stream) put(e sse.Event) {
	if e.HasData || e.HasID || len(e.Retry) > 0 || e.HasComment {
		s.answer.buf = sse.AppendEvent(s.answer.buf, e)
	}
}

// otherEvent appends an event of another name than that of messages, which is none and
// the server's own affair. A client that does not look at names must not take it for
// a message that nobody has judged: each has this word, or spells it with escapes.
func (s *Stream) otherEvent(e sse.Event) {
	if bytes.Contains(e.Data, []byte("jsonrpc")) || bytes.Contains(e.Data, []byte(`\u00`)) {
		e.Name, e.Data, e.HasData = nil, nil, false
	}
	s.put(e)
}

// isBatch reports whether text holds several messages, as of servers of 2025-03-26
// (basic/transports, Sending Messages to the Server). One with an item that is no
// message is none.
func (s *Stream) isBatch(text []byte) bool {
	if s.stateless || len(text) == 0 || text[0] != '[' {
		return false
	}
	only := true
	err := jsonrpc.Elements(text, func(item jsonrpc.Span) bool {
		only = s.msg.Scan(item.Of(text)) == nil && s.msg.Kind != jsonrpc.Batch
		return only
	})
	return err == nil && only
}

// endUnanswered answers in the place of a stateless server that has ended its
// events without doing so: nobody can take the stream up again (2026-07-28,
// basic/transports/streamable-http), and there are clients that would wait on.
func (s *Stream) endUnanswered() {
	name := s.target.server.name
	s.reply = jsonrpc.AppendError(s.reply[:0], s.id, mcp.CodeInternalError, "server "+name+" ended without an answer", nil)
	s.answer.buf = sse.AppendEvent(s.answer.buf, sse.Event{Name: []byte("message"), Data: s.reply, HasData: true})
	s.d.Reason, s.d.Server = "bad_answer", name
	s.note("error", []byte("bad_answer"))
}

// admitted reads a message into s.msg, whose Kind stays 0 if it is none, and
// reports whether it may be on this stream. A response may answer this request
// only, and once: clients know their requests by id, and one server must not answer
// what was asked of another. What is no message is no answer any more then. Changed
// lists are announced by the broker, once it has them itself; of resources only those
// are that the client may use.
func (s *Stream) admitted(message []byte) bool {
	if s.msg.Scan(message) != nil || s.msg.Kind == jsonrpc.Batch {
		s.msg.Kind = 0
		return !s.resume && !s.answer.given // on a resumed stream it is nobody's answer
	}
	switch s.msg.Kind {
	case jsonrpc.Response:
		first := !s.answer.given && sameID(s.msg.ID.Of(message), s.id)
		s.answer.given = s.answer.given || first
		return s.resume || first
	case jsonrpc.Request:
		return !s.stateless // stateless servers have no requests (2026-07-28, basic/patterns/mrtr)
	case jsonrpc.Notification:
		switch method, _ := jsonrpc.Unquote(s.scratch[:0], s.msg.Method.Of(message)); string(method) {
		case mcp.MethodNotifyToolsChanged, mcp.MethodNotifyPromptsChanged, mcp.MethodNotifyResourceChanged:
			return false
		case mcp.MethodNotifyResourceUpdated:
			return s.mayFollow(message)
		}
	}
	return true
}

// sameID reports whether two ids, as JSON tokens, are one value: servers read
// ids and write them again.
func sameID(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 || (a[0] == '"') != (b[0] == '"') {
		return false
	}
	if a[0] == '"' {
		x, okX := jsonrpc.Unquote(nil, a)
		y, okY := jsonrpc.Unquote(nil, b)
		return okX && okY && bytes.Equal(x, y)
	}
	// Both round to the same double if the server keeps numbers as such.
	x, errX := strconv.ParseFloat(string(a), 64)
	y, errY := strconv.ParseFloat(string(b), 64)
	return errX == nil && errY == nil && x == y
}
