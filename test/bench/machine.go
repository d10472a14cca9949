package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"mcp-gateway/test/bench/report"
)

// describe reads what kind of machine this is and which Envoy it runs; no Envoy
// is "none".
func describe(ctx context.Context, envoy string) (report.Machine, error) {
	m := report.Machine{CPU: "unknown CPU", Cores: runtime.NumCPU(), Go: runtime.Version(), Envoy: "none"}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindSubmatch(info); found != nil {
			m.CPU = string(found[1])
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, err
	}
	m.Kernel = string(bytes.TrimSpace(kernel))
	average, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return m, err
	}
	word, _, _ := strings.Cut(string(average), " ")
	if m.Load, err = strconv.ParseFloat(word, 64); err != nil {
		return m, fmt.Errorf("read the load average: %w", err)
	}
	if envoy == "" {
		return m, nil
	}
	version, err := exec.CommandContext(ctx, envoy, "--version").Output()
	if err != nil {
		return m, fmt.Errorf("ask %s for its version: %w", envoy, err)
	}
	// "... version: <commit>/1.39.3/Clean/RELEASE/BoringSSL"
	if parts := strings.Split(string(version), "/"); len(parts) >= 4 {
		m.Envoy = parts[len(parts)-4]
	}
	return m, nil
}
