package report

import (
	"fmt"
	"time"
)

// Goal is one promise about the gateway's cost.
type Goal struct {
	Name            string
	Limit, Measured float64
	Unit            string
}

// Met reports whether the measured value keeps the limit.
func (g Goal) Met() bool { return g.Measured <= g.Limit }

// cpuLimits are the most CPU per warm call, as a multiple of plain Envoy's, by
// size of the arguments in bytes.
var cpuLimits = []struct {
	size  int
	limit float64
}{{64, 1.25}, {16 << 10, 1.4}}

const (
	// routerLimit is the most CPU per warm call as a multiple of mcp_router's,
	// at the same sizes.
	routerLimit = 0.85
	// guardedLimit is the most CPU that a token, a rule and what is bound to its
	// principal add to a warm call, in µs, at the same sizes.
	guardedLimit = 15.0
	// statelessLimit is the most CPU of a stateless call as a multiple of one in a
	// session, at the same sizes.
	statelessLimit = 1.0
	// tailLimit is the most p99 at the fixed rate as a multiple of plain Envoy's.
	tailLimit = 1.5
	// listLimit is the most CPU in the broker per list of listTools tools, ms.
	listLimit = 0.3
	listTools = 1000
	// transitLimit is how much longer an event may be on its way than through
	// plain Envoy, in ms, in the median.
	transitLimit = 1.0
)

// Goals returns the goals for which this run has figures.
func (r *Report) Goals() []Goal {
	var goals []Goal
	add := func(measured, limit float64, unit, format string, args ...any) {
		if measured > 0 {
			goals = append(goals, Goal{Name: fmt.Sprintf(format, args...), Limit: limit, Measured: measured, Unit: unit})
		}
	}
	for i := range r.Calls {
		c := &r.Calls[i]
		for _, l := range cpuLimits {
			if l.size != c.Size {
				continue
			}
			at := fmt.Sprintf("%s, %d connections", size(c.Size), c.Connections)
			add(c.cpuRatio(gateway, plain), l.limit, " ×", "CPU per call against plain Envoy, %s", at)
			add(c.cpuRatio(gateway, mcpRouter), routerLimit, " ×", "CPU per call against mcp_router, %s", at)
			add(c.cpuMore(guarded, gateway), guardedLimit, " µs", "CPU that token, rule and binding add to a call, %s", at)
			add(c.cpuRatio(stateless, gateway), statelessLimit, " ×", "CPU per stateless call against one in a session, %s", at)
			add(c.p99Ratio(gateway, plain), tailLimit, " ×", "p99 at the fixed rate against plain Envoy, %s", at)
		}
	}
	for i := range r.Lists {
		c := &r.Lists[i]
		if row := c.Row(gateway); row != nil && c.Size == listTools {
			add(float64(row.broker())/float64(time.Millisecond), listLimit, " ms", "CPU in the broker per tools/list of %d tools, %d connections", c.Size, c.Connections)
		}
	}
	if a, b := r.stream(gateway), r.stream(plain); a != nil && b != nil {
		longer := Median(a.Rounds, StreamRound.transitP50) - Median(b.Rounds, StreamRound.transitP50)
		goals = append(goals, Goal{
			Name: "time of an event beyond plain Envoy's", Limit: transitLimit, Unit: " ms",
			Measured: float64(longer) / float64(time.Millisecond),
		})
	}
	return goals
}

// cpuRatio is the CPU per call of a target as a multiple of another's, 0 when
// one of them has none.
func (c *Cell) cpuRatio(target, other string) float64 {
	a, b := c.Row(target), c.Row(other)
	if a == nil || b == nil {
		return 0
	}
	return quotient(CPUPerCall(a.Closed, ""), CPUPerCall(b.Closed, ""))
}

// cpuMore is by how many microseconds target's is more; 0 without both.
func (c *Cell) cpuMore(target, other string) float64 {
	a, b := c.Row(target), c.Row(other)
	if a == nil || b == nil {
		return 0
	}
	return float64(CPUPerCall(a.Closed, "")-CPUPerCall(b.Closed, "")) / float64(time.Microsecond)
}

// p99Ratio is the same for p99 at the fixed rate.
func (c *Cell) p99Ratio(target, other string) float64 {
	a, b := c.Row(target), c.Row(other)
	if a == nil || b == nil {
		return 0
	}
	return quotient(Median(a.Fixed, p99), Median(b.Fixed, p99))
}

func quotient(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
