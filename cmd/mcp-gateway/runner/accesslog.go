package runner

import (
	"fmt"
	"os"

	"mcp-gateway/controlplane/gateway"
)

// openAccessLog opens the file of the access log as Envoy is about to, which is the
// same user's on the same machine: an Envoy that cannot refuses its listener, while
// all else of the configuration would be taken.
func openAccessLog(g *gateway.Gateway) error {
	if g.AccessLog == gateway.AccessLogOff || g.AccessLog == gateway.AccessLogStdout {
		return nil
	}
	// To open a pipe waits for who reads it.
	if info, err := os.Stat(g.AccessLog); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil
	}
	f, err := os.OpenFile(g.AccessLog, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("gateway.accessLog: %w", err)
	}
	return f.Close()
}
