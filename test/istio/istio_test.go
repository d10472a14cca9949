// Package istio holds the gateway at a Gateway of Istio's to its promises, with the real
// API server, the real istiod and a stock Envoy as its proxy, in a network of its own.
// `make e2e-istio` runs it.
package istio

import (
	"os"
	"testing"

	"mcp-gateway/test/k8s/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Run(m)) }
