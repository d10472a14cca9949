package filter

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/tag"
)

// resumed routes a GET that takes up a broken stream (2025-11-25,
// basic/transports, Resumability and Redelivery) to the server whose stream it
// was. Nil for the id of an event that the broker merged, and for one that was
// not marked in this session.
func (s *Stream) resumed(lastEvent string, now int64) *Decision {
	server, id, merged, ok := tag.CutEvent(s.sessionID(), lastEvent)
	if !ok || merged {
		return nil
	}
	s.name = append(s.name[:0], server...)
	s.scratch = append(s.scratch[:0], id...)
	s.span = jsonrpc.Span{}
	s.want, s.resume = wantServer, true
	return s.route(now)
}

// notResumed answers for a server that does not go on with a stream. A 404 of
// its session is not the client's, and must not look so.
func (s *Stream) notResumed(status int) *Decision {
	srv := s.target.server
	if status == 404 && len(s.backend.id) > 0 {
		s.g.sessions.spoil(s.session, srv.place, s.backend.id)
	}
	s.spoilToken(status)
	message := "server " + srv.name + " cannot resume this stream"
	if status != 405 {
		return s.refuse(400, mcp.CodeInvalidRequest, message, "not_resumed")
	}
	d := s.refuse(405, mcp.CodeInvalidRequest, message, "not_resumed")
	d.Edits = append(d.Edits, Edit{Name: "allow", Value: []byte("POST, DELETE")})
	return d
}
