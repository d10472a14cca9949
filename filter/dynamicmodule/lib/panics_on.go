//go:build panics

package main

import (
	"os"
	"strings"
	"sync"

	"mcp-gateway/filter"
	"mcp-gateway/internal/fault"
)

// arm has the places panic that a request's header names.
func arm(headers []filter.Header) {
	for _, h := range headers {
		if h.Name == "panic-at" {
			fault.Arm(strings.Clone(h.Value)) // the header is memory of Envoy
		}
	}
}

var armAtStart = sync.OnceFunc(func() { fault.Arm(os.Getenv("MCP_GATEWAY_PANIC_AT")) })
