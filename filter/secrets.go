package filter

import "mcp-gateway/internal/gatewayconfig"

// bare takes gatewayconfig.Secrets from an answer that d lets go. The headers of one
// that is held back wait for its body.
func (s *Stream) bare(d *Decision) *Decision {
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
