package k8s

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// many is how many servers a cluster is to hold.
const many = 500

// Hundreds of servers that are declared at once are ready, and the last of them is
// called.
func TestManyServers(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(", limits: {servers: %d}", many))
	name := "many-" + unique()
	w.serve("default", name, mcpserver.Tools(name, "tool"))
	w.Apply(route("default", name, name))
	harness.Eventually(t, "a leader", func() bool { return w.leader() != "" })
	before := cpu(t, w.ControlPlanes[0].PID())

	began := time.Now()
	var last string
	for i := range many {
		last = server("default", fmt.Sprintf("s%03d", i), fmt.Sprintf("targetRef: {name: %s}, prefix: s%03d_", name, i))
		w.Apply(last)
	}
	declared := time.Since(began)
	const gateway = "{apiVersion: mcp-gateway.dev/v1alpha1, kind: MCPGateway, metadata: {name: mcp, namespace: default}}"
	ready := func() int64 {
		status, _ := w.Get(gateway).Object["status"].(map[string]any)
		n, _ := status["serversReady"].(int64)
		return n
	}
	harness.Eventually(t, "all of them ready", func() bool { return ready() == many })
	converged := time.Since(began)
	w.Want(last, "Ready=True/Listed")
	harness.Connect(t, w.URL).Tool(fmt.Sprintf("s%03d_tool", many-1), "")
	t.Logf("%d servers: declared within %v, all ready after %v; the control plane took %v of CPU and has %d MiB",
		many, declared.Round(time.Millisecond), converged.Round(time.Millisecond),
		cpu(t, w.ControlPlanes[0].PID())-before, resident(t, w.ControlPlanes[0].PID())>>20)
}

// stat are the fields of a process's /proc/PID/stat after its name, so that field n
// of proc(5) is at n-3.
func stat(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cpu is the CPU time that a process has used.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	fields := stat(t, pid)
	const tick = time.Second / 100 // of every Linux that Go runs on
	return time.Duration(number(t, fields[11])+number(t, fields[12])) * tick
}

// resident is its memory in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	return number(t, stat(t, pid)[21]) * os.Getpagesize()
}
