// Package envoygateway holds the gateway behind Envoy Gateway to its promises: the real
// one, with the real API server, and an Envoy that is run as it says, in a network of
// their own. `make e2e-envoygateway` runs it.
package envoygateway

import (
	"os"
	"testing"

	"mcp-gateway/test/k8s/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Run(m)) }
