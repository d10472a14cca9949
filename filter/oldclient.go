package filter

import (
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// oldPath reports whether the path is one of HTTP+SSE clients, and sets
// s.messages for the one to which they post.
func (s *Stream) oldPath() bool {
	rest := s.path[len(s.g.cfg.SSEPath):]
	s.endpoint = s.endpoint[:0]
	s.messages = string(rest) == gatewayconfig.PathMessages
	return s.messages || len(rest) == 0
}

// oldClient decides a request of an HTTP+SSE client (2024-11-05,
// basic/transports, HTTP with SSE): the broker serves it whole. It names its
// session in the URL, and its MCP-Protocol-Version says nothing about its
// transport; neither is looked at here.
func (s *Stream) oldClient(method, contentType, accept, length string, end bool) *Decision {
	allowed := "GET"
	if s.messages {
		allowed = "POST"
	}
	switch {
	case method != allowed:
		return s.notAllowed(allowed)
	case !s.messages && accept != "" && !mcp.Accepts(accept, "text/event-stream"):
		return s.refuse(406, mcp.CodeInvalidRequest, "GET opens an event stream: Accept must include text/event-stream", "accept")
	case !s.messages:
		return s.toBroker()
	case !mcp.JSONBody(contentType):
		return s.notJSON()
	}
	return s.awaitBody(length, end)
}

// batch hands a batch to the broker, which takes it apart: only 2025-03-26 has
// them (2025-03-26, basic/index, Batching), and it is what a request without
// the version's header is taken for.
func (s *Stream) batch() *Decision {
	if s.repeats || s.versions || len(s.version) > 0 && mcp.Revision(s.version) != mcp.Revision20250326 {
		return s.refuse(400, mcp.CodeInvalidRequest, "batches are not part of this protocol version", "batch")
	}
	return s.toBrokerLong()
}
