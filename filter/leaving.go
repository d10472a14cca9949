package filter

import "mcp-gateway/internal/gatewayconfig"

// leavesAs notes what the content type of an answer has to be, which came with one.
func (s *Stream) leavesAs(events bool, contentType string) {
	kind := jsonType
	if events {
		kind = eventsType
	}
	if contentType != string(kind) {
		s.answer.kind = kind
	}
}

// bare takes gatewayconfig.Secrets from an answer that d lets go, and whatever its
// content type says besides what was read: clients that look into it for a word must
// not read another message than the gateway. The headers of one that is held back
// wait for its body.
func (s *Stream) bare(d *Decision) *Decision {
	if d.Action == Pass && s.answer.kind != nil {
		s.set("content-type", s.answer.kind)
		s.answer.kind = nil
	}
	if d.Action == Pass && s.answer.secrets != 0 {
		for i, name := range gatewayconfig.Secrets {
			if s.answer.secrets>>i&1 != 0 {
				s.remove(name)
			}
		}
		s.answer.secrets = 0
	}
	return d
}
