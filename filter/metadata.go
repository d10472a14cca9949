package filter

import (
	"strings"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// What the dynamic metadata "mcp" tells of a request, to the access log and to the
// operator's own filters of Envoy. A key that does not apply is not there.

// noteRequest notes what is wanted and by whom.
func (s *Stream) noteRequest() {
	if !s.g.cfg.Metadata {
		return
	}
	if s.method != "" {
		s.note("method", []byte(s.method))
	}
	s.noteAccess()
	p := s.principal
	if p == nil {
		return
	}
	s.note("principal", []byte(p.ID()))
	for _, n := range []struct{ key, value string }{
		{"issuer", p.Issuer}, {"subject", p.Subject}, {"client", p.Client}, {"scopes", strings.Join(p.Scopes, " ")},
	} {
		if n.value != "" {
			s.note(n.key, []byte(n.value))
		}
	}
}

func (s *Stream) noteTarget() {
	s.note("server", s.target.server.nameBytes)
	if s.want != wantServer {
		s.noteName()
	}
}

// noteName notes what is wanted, by its exposed name; of a tool also apart, for
// policies that are about tools only.
func (s *Stream) noteName() {
	s.note("name", s.name)
	if s.method == mcp.MethodToolsCall && s.want == wantTool {
		s.note("tool", s.name)
	}
}

// Where policies of the operator's may differ from server to server, the mark is
// the name of the one that the call is for, or no possible name.
var (
	longMark    = []byte("1")
	longUnknown = []byte("-")
)

// toBrokerFor is toBrokerLong for a call whose server only the broker finds out for
// sure. The operator's policies must know what is called all the same.
func (s *Stream) toBrokerFor(body []byte) *Decision {
	known, t := false, s.g.table.Load()
	if t != nil && (s.g.cfg.Metadata || t.access != nil) && !s.span.Empty() && body[s.span.Start] == '"' {
		if name, ok := jsonrpc.Unquote(s.scratch[:0], s.span.Of(body)); ok {
			s.name = append(s.name[:0], name...)
			known = s.find(t)
		}
	}
	if d := s.lacks(); d != nil {
		return d
	}
	d := s.toBrokerLong()
	switch {
	case known:
		s.carried()
	case s.g.cfg.Metadata && len(s.name) > 0:
		s.noteName()
	}
	return d
}

// carried notes the server that the broker makes a call at.
func (s *Stream) carried() {
	if s.g.cfg.Metadata {
		s.noteTarget()
	}
	if s.g.cfg.Policies {
		s.set(mcp.HeaderLong, s.target.server.nameBytes)
	}
}
