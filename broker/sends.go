package broker

import (
	"strings"

	"mcp-gateway/internal/gatewayconfig"
)

// sendsOf returns what Envoy sends to a server, nil for nothing of its own. A
// server behind a bridge is sent that by the bridge.
func sendsOf(cfg gatewayconfig.Server) *gatewayconfig.Sends {
	if cfg.Bridge != nil {
		return nil
	}
	s := gatewayconfig.Sends{Forward: cfg.ForwardHeaders}
	if len(cfg.Headers) > 0 {
		s.Headers = make(map[string]string, len(cfg.Headers))
		for name, value := range cfg.Headers {
			s.Headers[strings.ToLower(name)] = value
		}
	}
	if s.Empty() {
		return nil
	}
	return &s
}
