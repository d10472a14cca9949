package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Names of the targets that others are compared with.
const (
	plain     = "plain"
	mcpRouter = "mcp_router"
	gateway   = "gateway"
	guarded   = "guarded"
	stateless = "stateless"
)

// envoyCommand is the name of Envoy's process; all others of a target are the
// gateway's own.
const envoyCommand = "envoy"

// WriteMarkdown writes tables for people.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	m, s := r.Machine, r.Settings
	fmt.Fprintf(&b, "%s, %d cores, Linux %s, Envoy %s with one worker, %s, %s; load average before: %.2f.\n",
		m.CPU, m.Cores, m.Kernel, m.Envoy, m.Go, r.Finished.UTC().Format(time.DateOnly), m.Load)
	fmt.Fprintf(&b, "%d interleaved rounds of %v. CPU is user and system time of all processes of the target per call, least of the rounds; latency, rate: median of the rounds.\n", s.Rounds, s.Duration)
	b.WriteString("Client and backend run on the same cores, so requests/s and closed-loop latency also depend on them; CPU per call does not.\n")
	if s.StandIn {
		b.WriteString("golang is not contrib's filter for Go but a stand-in, test/golanghost, which copies bodies once more than that.\n")
	}
	b.WriteByte('\n')
	r.calls(&b)
	r.lists(&b)
	r.streams(&b)
	r.goals(&b)
	r.failures(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) calls(b *strings.Builder) {
	if len(r.Calls) == 0 {
		return
	}
	fmt.Fprintf(b, "## tools/call\n\nClosed loop: each connection calls again at once. Fixed rate: %.0f %% of what plain Envoy served in the closed loop, latency from the moment the call was due.\n\n", 100*r.Settings.RateShare)
	b.WriteString("| arguments | conns | target | CPU/call | × plain | × mcp_router | requests/s | p50 | p99 | RSS | fixed rate | CPU/call | p50 | p99 | p99 × plain |\n")
	b.WriteString("|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for i := range r.Calls {
		c := &r.Calls[i]
		for _, row := range c.Rows {
			if row.Error != "" {
				fmt.Fprintf(b, "| %s | %d | %s | failed | | | | | | | | | | | |\n", size(c.Size), c.Connections, row.Target)
				continue
			}
			fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %.0f | %s | %s | %s | %s |\n", size(c.Size), c.Connections, row.Target,
				micros(CPUPerCall(row.Closed, "")), ratio(c.cpuRatio(row.Target, plain)), ratio(c.cpuRatio(row.Target, mcpRouter)),
				Median(row.Closed, PerSecond), duration(Median(row.Closed, p50)), duration(Median(row.Closed, p99)), megabytes(row.RSS), c.fixed(&row))
		}
	}
	b.WriteString("\n")
}

// fixed is the part of a line about the fixed rate.
func (c *Cell) fixed(row *Row) string {
	if len(row.Fixed) == 0 {
		return " | | | | "
	}
	rate := fmt.Sprintf("%.0f/s", c.Rate)
	if served := Median(row.Fixed, PerSecond); served < 0.95*c.Rate {
		rate = fmt.Sprintf("%.0f of %.0f/s", served, c.Rate)
	}
	return fmt.Sprintf("%s | %s | %s | %s | %s", rate, micros(CPUPerCall(row.Fixed, "")),
		duration(Median(row.Fixed, p50)), duration(Median(row.Fixed, p99)), ratio(c.p99Ratio(row.Target, plain)))
}

func (r *Report) lists(b *strings.Builder) {
	if len(r.Lists) == 0 {
		return
	}
	b.WriteString("## tools/list\n\nClosed loop.\n\n| tools | conns | target | CPU/list | in Envoy | in the broker | requests/s | p50 | p99 |\n|---:|---:|---|---:|---:|---:|---:|---:|---:|\n")
	for _, c := range r.Lists {
		for _, row := range c.Rows {
			if row.Error != "" {
				fmt.Fprintf(b, "| %d | %d | %s | failed | | | | | |\n", c.Size, c.Connections, row.Target)
				continue
			}
			envoy := CPUPerCall(row.Closed, envoyCommand)
			fmt.Fprintf(b, "| %d | %d | %s | %s | %s | %s | %.0f | %s | %s |\n", c.Size, c.Connections, row.Target,
				micros(CPUPerCall(row.Closed, "")), micros(envoy), micros(row.broker()),
				Median(row.Closed, PerSecond), duration(Median(row.Closed, p50)), duration(Median(row.Closed, p99)))
		}
	}
	b.WriteString("\n")
}

// broker is the CPU per call outside Envoy.
func (row *Row) broker() time.Duration {
	rest := make([]Round, 0, len(row.Closed))
	for _, round := range row.Closed {
		outside := map[string]time.Duration{}
		for command, used := range round.CPU {
			if command != envoyCommand {
				outside[command] = used
			}
		}
		round.CPU = outside
		rest = append(rest, round)
	}
	return CPUPerCall(rest, "")
}

func (r *Report) streams(b *strings.Builder) {
	if len(r.Streams) == 0 {
		return
	}
	b.WriteString("## Server-sent events\n\nOne connection, events 5 ms apart, medians of interleaved rounds. First event: from the request to its first byte. Transit: from the server's write to the client's read.\n\n")
	b.WriteString("| target | events | first event | transit p50 | transit p99 |\n|---|---:|---:|---:|---:|\n")
	for _, s := range r.Streams {
		if s.Error != "" {
			fmt.Fprintf(b, "| %s | failed | | | |\n", s.Target)
			continue
		}
		events := 0
		for _, round := range s.Rounds {
			events += round.Events
		}
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s |\n", s.Target, events, duration(Median(s.Rounds, StreamRound.first)),
			duration(Median(s.Rounds, StreamRound.transitP50)), duration(Median(s.Rounds, StreamRound.transitP99)))
	}
	b.WriteString("\n")
}

func (r *Report) goals(b *strings.Builder) {
	goals := r.Goals()
	if len(goals) == 0 {
		return
	}
	b.WriteString("## Goals of the gateway\n\n| goal | limit | measured | |\n|---|---:|---:|---|\n")
	for _, g := range goals {
		verdict := "met"
		if !g.Met() {
			verdict = "**missed**"
		}
		fmt.Fprintf(b, "| %s | %.2f%s | %.2f%s | %s |\n", g.Name, g.Limit, g.Unit, g.Measured, g.Unit, verdict)
	}
	b.WriteString("\n")
}

func (r *Report) failures(b *strings.Builder) {
	if !r.Failed() {
		return
	}
	b.WriteString("## Failures\n\n")
	for _, c := range append(append([]Cell(nil), r.Calls...), r.Lists...) {
		for _, row := range c.Rows {
			if row.Error != "" {
				fmt.Fprintf(b, "- %s, size %d, %d connections: %s\n", row.Target, c.Size, c.Connections, row.Error)
			}
		}
	}
	for _, s := range r.Streams {
		if s.Error != "" {
			fmt.Fprintf(b, "- %s, server-sent events: %s\n", s.Target, s.Error)
		}
	}
	b.WriteString("\n")
}

func size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

func micros(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
}

func duration(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%d µs", d.Microseconds())
	}
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func megabytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%d MB", n>>20)
}

func ratio(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", x)
}
