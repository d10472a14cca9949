package report_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/bench/report"
)

// rounds returns rounds of 1000 calls in a second; cpu and p99 in µs.
func rounds(p99 time.Duration, cpu ...time.Duration) []report.Round {
	var rs []report.Round
	for _, per := range cpu {
		rs = append(rs, report.Round{Calls: 1000, Elapsed: time.Second, P50: p99 * time.Microsecond / 2, P99: p99 * time.Microsecond,
			CPU: map[string]time.Duration{"envoy": per * 900 * time.Microsecond, "mcp-gateway": per * 100 * time.Microsecond}})
	}
	return rs
}

func example() report.Report {
	row := func(name string, p99 time.Duration, cpu ...time.Duration) report.Row {
		return report.Row{Target: name, RSS: 64 << 20, Closed: rounds(p99, cpu...), Fixed: rounds(p99, cpu...)}
	}
	return report.Report{
		Settings: report.Settings{Rounds: 2, Duration: time.Second, RateShare: 0.5},
		Calls: []report.Cell{
			{Size: 64, Connections: 16, Rate: 500, Rows: []report.Row{
				{Target: "direct", Closed: []report.Round{{Calls: 10, Elapsed: time.Second}}},
				row("plain", 1000, 60, 50), row("gateway", 1600, 60, 70), row("mcp_router", 2000, 110, 100),
			}},
			{Size: 1 << 20, Connections: 16, Rows: []report.Row{{Target: "gateway", Error: "connection reset"}}},
		},
		Lists: []report.Cell{{Size: 1000, Connections: 1, Rows: []report.Row{row("gateway", 100, 2000, 3100)}}},
		Streams: []report.Stream{
			{Target: "plain", Rounds: []report.StreamRound{
				{Events: 5, First: 350 * time.Microsecond, TransitP50: 1500 * time.Microsecond}, {Events: 5, First: time.Second, TransitP50: time.Second},
			}},
			{Target: "gateway", Rounds: []report.StreamRound{{Events: 5, TransitP50: 2750 * time.Microsecond}}},
		},
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	r := example()
	type goal struct {
		name     string
		measured string
		met      bool
	}
	var got []goal
	for _, g := range r.Goals() {
		got = append(got, goal{g.Name, trim(g.Measured), g.Met()})
	}
	want := []goal{
		{"CPU per call against plain Envoy, 64 B, 16 connections", "1.20", true},
		{"CPU per call against mcp_router, 64 B, 16 connections", "0.60", true},
		{"p99 at the fixed rate against plain Envoy, 64 B, 16 connections", "1.60", false},
		{"CPU in the broker per tools/list of 1000 tools, 1 connections", "0.20", true},
		{"time of an event beyond plain Envoy's", "1.25", false},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(goal{})); diff != "" {
		t.Error(diff)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	r := example()
	var b strings.Builder
	if err := r.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 64 B | 16 | direct | - | - | - | 10 |",
		"| 64 B | 16 | gateway | 60.0 µs | 1.20 | 0.60 | 1000 | 800 µs | 1.60 ms | 64 MB | 500/s | 60.0 µs | 800 µs | 1.60 ms | 1.60 |",
		"| 1 MB | 16 | gateway | failed |",
		"| 1000 | 1 | gateway | 2000.0 µs | 1800.0 µs | 200.0 µs |",
		"| plain | 10 | 350 µs | 1.50 ms |",
		"**missed**",
		"- gateway, size 1048576, 16 connections: connection reset",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	columns := 0
	for _, line := range strings.Split(b.String(), "\n") {
		n := strings.Count(line, "|")
		if n == 0 {
			columns = 0
			continue
		}
		if columns == 0 {
			columns = n
		}
		if n != columns {
			t.Errorf("%d bars in a table of %d: %s", n, columns, line)
		}
	}
	if !r.Failed() {
		t.Error("a failed row is no failure")
	}
	const note = "golang is not contrib's filter"
	if strings.Contains(b.String(), note) {
		t.Error("a stand-in is named where there is none")
	}
	r.Settings.StandIn = true
	b.Reset()
	if err := r.WriteMarkdown(&b); err != nil || !strings.Contains(b.String(), note) {
		t.Errorf("the stand-in is not named, %v, in\n%s", err, &b)
	}
}

func TestCPUPerCallAndMedian(t *testing.T) {
	t.Parallel()
	rs := rounds(10, 70, 50, 60)
	if got := report.CPUPerCall(rs, ""); got != 50*time.Microsecond {
		t.Errorf("least CPU %v", got)
	}
	if got := report.CPUPerCall(rs, "mcp-gateway"); got != 5*time.Microsecond {
		t.Errorf("least CPU of one command %v", got)
	}
	rs[0].Calls, rs[1].Calls = 3000, 2000
	if got := report.Median(rs, report.PerSecond); got != 2000 {
		t.Errorf("median rate %v", got)
	}
	if got := report.CPUPerCall(nil, "") + report.Median(nil, func(r report.Round) time.Duration { return r.P50 }); got != 0 {
		t.Errorf("no rounds give %v", got)
	}
}

func trim(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }
