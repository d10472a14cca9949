package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/test/freeport"
)

// Master is the name by which the Sentinel of StartSentinel knows the master.
const Master = "main"

// StartSentinel runs a master, a replica of it, and a Sentinel that makes the
// replica the master some seconds after the other is gone, until the test ends: a
// busy machine takes its time for an answer.
func StartSentinel(tb testing.TB) (master, replica, sentinel *Server) {
	tb.Helper()
	master = Start(tb)
	replica = Start(tb, "--replicaof", "127.0.0.1 "+fmt.Sprint(master.port))
	replica.Await(func(info string) bool { return strings.Contains(info, "master_link_status:up") }, "INFO", "replication")
	file := filepath.Join(tb.TempDir(), "sentinel.conf") // it writes there what it learns
	text := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 1\nsentinel down-after-milliseconds %[1]s 3000\nsentinel failover-timeout %[1]s 5000\n",
		Master, master.port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	sentinel = &Server{tb: tb, path: program(tb), dir: tb.TempDir(), port: freeport.Port(tb), file: file, ready: "+monitor master " + Master}
	tb.Cleanup(sentinel.Kill)
	sentinel.start()
	sentinel.Await(func(answer string) bool { return answer == "*1" }, "SENTINEL", "REPLICAS", Master)
	return master, replica, sentinel
}
