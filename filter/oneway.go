package filter

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/tag"
)

// What a client sends without waiting for a result: its answers to requests of
// servers, and notifications. What belongs to one server goes there, all else to
// the broker. The client gets 202 whatever the server says to it (2025-11-25,
// basic/transports, Sending Messages): there is no request that could fail.

// response routes the answer to a server's request, which carries the server's
// mark as its id.
func (s *Stream) response(body []byte, now int64) *Decision {
	return s.marked(body, s.msg.ID, now)
}

func (s *Stream) notification(body, method []byte, now int64) *Decision {
	switch string(method) {
	case mcp.MethodNotifyProgress:
		s.method = mcp.MethodNotifyProgress
		return s.marked(body, s.msg.Progress, now)
	case mcp.MethodNotifyCancelled:
		s.method = mcp.MethodNotifyCancelled
		return s.cancelled(body, now)
	}
	return s.toBroker()
}

// marked sends the message to the server whose mark the token carries, with the
// server's own token in its place. A mark that was not made in this session is
// none.
func (s *Stream) marked(body []byte, token jsonrpc.Span, now int64) *Decision {
	if token.Empty() || len(s.session) == 0 {
		return s.toBroker()
	}
	server, raw, ok := tag.CutToken(s.sessionID(), token.Of(body), s.scratch)
	if !ok {
		return s.toBroker()
	}
	s.name = append(s.name[:0], server...)
	s.scratch = append(s.scratch[:0], raw...)
	s.span = token
	s.want, s.oneWay = wantServer, true
	return s.route(now)
}

// cancelled sends the notification to the server that has the request.
func (s *Stream) cancelled(body []byte, now int64) *Decision {
	id, t := s.msg.Cancelled, s.g.table.Load()
	if id.Empty() || len(s.session) == 0 || t == nil {
		return s.toBroker()
	}
	srv := s.g.hints.server(s.session, id.Of(body), t)
	if srv == nil {
		return s.toBroker()
	}
	s.name = append(s.name[:0], srv.name...)
	s.span = jsonrpc.Span{}
	s.want, s.oneWay = wantServer, true
	return s.route(now)
}

// accept tells the client that its message was taken. reason is not empty if
// the server did not take it.
func (s *Stream) accept(reason string) *Decision {
	s.phase = phaseReplied
	d := &s.d
	d.Action, d.Status, d.Body, d.Reason, d.Done = Reply, 202, nil, reason, true
	d.Edits = d.Edits[:0]
	if reason != "" {
		s.note("error", []byte(reason))
	}
	return d
}

// fromServerOneWay makes 202 of whatever the server answered.
func (s *Stream) fromServerOneWay(status int, end bool) *Decision {
	switch {
	case status == 202 && end:
		s.d.Done = true
		return &s.d
	case status >= 200 && status < 300:
		return s.accept("")
	case status == 404 && len(s.backend.id) > 0:
		s.g.sessions.spoil(s.session, s.target.server.place, s.backend.id)
		return s.accept("session_lost")
	}
	s.spoilToken(status)
	return s.failStatus(status)
}
