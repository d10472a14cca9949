// Package chaos is the fault suite: two Envoys, two brokers, two control planes, one
// Redis and five servers, all real processes, under a constant mixed load while parts
// are killed, stopped and cut off. A checker holds every call to what it must bring;
// see docs/faults.md. `make chaos` runs it.
package chaos

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"mcp-gateway/test/chaos/server"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		f := strings.Fields(role)
		fmt.Fprintln(os.Stderr, server.Serve(f[0], f[1], f[2] == "true"))
		os.Exit(1)
	}
	os.Exit(m.Run())
}
