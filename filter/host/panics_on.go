//go:build panics

package host

import (
	"os"
	"strings"
	"sync"

	"mcp-gateway/filter"
	"mcp-gateway/internal/fault"
)

// Arm has the places panic that a request's header panic-at names.
func Arm(headers []filter.Header) {
	for _, h := range headers {
		if h.Name == "panic-at" {
			fault.Arm(strings.Clone(h.Value)) // the header may be memory of Envoy
		}
	}
}

// ArmAtStart has those panic that the environment names, before any request.
var ArmAtStart = sync.OnceFunc(func() { fault.Arm(os.Getenv("MCP_GATEWAY_PANIC_AT")) })
