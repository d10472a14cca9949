package soak

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcp-gateway/test/e2e/harness"
)

const mib = 1 << 20

// figures are what is measured, in the order of the table. A figure may grow by
// limit; where rest is not negative it must come to that with nothing open.
var figures = []struct {
	name        string
	limit, rest int
}{
	{"Envoy: resident bytes", 48 * mib, -1},
	{"Envoy: allocated bytes", 16 * mib, -1},
	{"Envoy: file descriptors", 16, -1},
	{"Envoy: filter configurations", 0, 1},
	{"module: live heap bytes", 16 * mib, -1},
	{"module: streams", 0, 0},
	{"module: cached sessions", 64, -1},
	{"module: panics", 0, 0},
	{"broker: resident bytes", 48 * mib, -1},
	{"broker: file descriptors", 16, -1},
	{"broker: goroutines", 32, -1},
	{"servers: sessions", 2, -1},
	{"Redis: keys", 0, -1},
}

type values map[string]int

// settle waits until nothing is open and what traffic leaves for a moment is
// gone.
func (s *soak) settle() {
	s.t.Helper()
	harness.Eventually(s.t, "the end of all streams in the filter", func() bool {
		return harness.Stats(s.t, s.parts.Admin)["mcp_gateway_streams{}"] == 0
	})
	// Sessions at the servers end behind the answer to DELETE.
	s.steady("sessions at the servers", func() int {
		n := 0
		for _, m := range s.servers {
			n += m.Sessions()
		}
		return n
	})
	s.steady("keys in Redis", s.keys)
	s.steady("file descriptors", func() int { return s.fds(s.parts.Envoy.PID()) + s.fds(s.parts.Broker.PID()) })
	// The module tells what it uses with a call, once a second.
	w := newWorker(s, 0)
	tick := time.NewTicker(1100 * time.Millisecond)
	defer tick.Stop()
	if err := w.open(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	for range 3 {
		<-tick.C
		w.step(step{name: "call", do: func(w *worker, _ context.Context) error { return w.wantText(s.t.Context(), "fast") }})
	}
	w.step(step{name: "DELETE", do: (*worker).end})
	w.web.CloseIdleConnections()
	harness.Eventually(s.t, "the end of the last stream", func() bool {
		return harness.Stats(s.t, s.parts.Admin)["mcp_gateway_streams{}"] == 0
	})
}

// steady waits until a number has been the same for two seconds.
func (s *soak) steady(what string, number func() int) {
	s.t.Helper()
	last, since := number(), time.Now()
	harness.Eventually(s.t, "steady number of "+what, func() bool {
		if n := number(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
}

func (s *soak) measure() values {
	stats := harness.Stats(s.t, s.parts.Admin)
	v := values{
		"Envoy: resident bytes":        s.resident(s.parts.Envoy.PID()),
		"Envoy: allocated bytes":       s.allocated(),
		"Envoy: file descriptors":      s.fds(s.parts.Envoy.PID()),
		"module: live heap bytes":      stats["mcp_gateway_heap_bytes{}"],
		"Envoy: filter configurations": stats["mcp_gateway_configurations{}"],
		"module: streams":              stats["mcp_gateway_streams{}"],
		"module: cached sessions":      stats["mcp_gateway_cached_sessions{}"],
		"broker: resident bytes":       s.resident(s.parts.Broker.PID()),
		"broker: file descriptors":     s.fds(s.parts.Broker.PID()),
		"Redis: keys":                  s.keys(),
	}
	v["broker: goroutines"] = s.number(s.get(s.parts.Internal, "/metrics"), `(?m)^go_goroutines (\d+)$`)
	for name, n := range stats {
		if strings.HasPrefix(name, "mcp_gateway_panics") {
			v["module: panics"] += n
		}
	}
	for _, m := range s.servers {
		v["servers: sessions"] += m.Sessions()
	}
	return v
}

func (s *soak) resident(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.number(string(text), `VmRSS:\s+(\d+) kB`) << 10
}

func (s *soak) fds(pid int) int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list)
}

func (s *soak) allocated() int {
	return s.number(s.get(s.parts.Admin, "/memory"), `"allocated": "(\d+)"`)
}

func (s *soak) keys() int { return s.number(s.redis.Command("DBSIZE"), `:(\d+)`) }

func (s *soak) get(addr, path string) string {
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
	}
	return string(text)
}

func (s *soak) number(text, pattern string) int {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		s.t.Fatalf("no %s in %.500s", pattern, text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// report is the table.
func (s *soak) report(before, after values, warm int, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Soak: %d steps before the first measurement and %d after it, %d new configurations, %v\n\n",
		warm, s.counts.total()-warm, s.reloads, took.Round(time.Second))
	fmt.Fprintf(&b, "%-34s %14s %14s %14s %14s\n", "", "warm", "end", "growth", "allowed")
	for _, f := range figures {
		fmt.Fprintf(&b, "%-34s %14d %14d %+14d %14d\n", f.name, before[f.name], after[f.name], after[f.name]-before[f.name], f.limit)
	}
	b.WriteString("\nsteps\n")
	for _, name := range slices.Sorted(maps.Keys(s.counts.steps)) {
		fmt.Fprintf(&b, "  %-40s %8d\n", name, s.counts.steps[name])
	}
	fmt.Fprintf(&b, "  with another outcome than expected       %8d\n", len(s.counts.problems))
	return b.String()
}
