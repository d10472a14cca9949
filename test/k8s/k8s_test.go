// Package k8s holds the gateway in Kubernetes to its promises, with the real API
// server, brokers and Envoys, in a network of its own. `make e2e-k8s` runs it.
package k8s

import (
	"os"
	"testing"

	"mcp-gateway/test/k8s/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Run(m)) }
