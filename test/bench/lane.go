package main

import (
	"context"
	"fmt"
	"io"

	"mcp-gateway/test/bench/backend"
	"mcp-gateway/test/bench/load"
	"mcp-gateway/test/bench/proc"
	"mcp-gateway/test/bench/report"
	"mcp-gateway/test/bench/target"
)

// lane is one target in a cell. After its first error it takes no more part.
type lane struct {
	row    report.Row
	target *target.Target
	err    error
}

// interleave measures every lane once per round. The order turns from round to
// round, so that no target always comes after the same one.
func (b *bench) interleave(ctx context.Context, lanes []*lane, spec load.Spec) error {
	for round := range b.rounds {
		for i := range lanes {
			l := lanes[(i+round)%len(lanes)]
			l.measure(ctx, spec)
			if err := ctx.Err(); err != nil {
				return err
			}
			l.tell(b.progress, spec, round+1)
		}
	}
	return nil
}

// measure adds one round.
func (l *lane) measure(ctx context.Context, spec load.Spec) {
	if l.err != nil {
		return
	}
	round, err := l.round(ctx, spec, nothing)
	if err != nil {
		l.err = err
		return
	}
	if spec.Rate > 0 {
		l.row.Fixed = append(l.row.Fixed, round)
	} else {
		l.row.Closed = append(l.row.Closed, round)
	}
}

// round runs a load with the target's processes sampled around it; begun is
// called when the load starts.
func (l *lane) round(ctx context.Context, spec load.Spec, begun func() error) (report.Round, error) {
	var before, after []proc.Usage
	sample := func(into *[]proc.Usage) (err error) {
		if l.target.PID == 0 {
			return nil
		}
		*into, err = proc.Tree(l.target.PID)
		return err
	}
	out, err := drive(ctx, order{Spec: l.target.Spec(backend.ToolEcho, spec)},
		func() error {
			if err := begun(); err != nil {
				return err
			}
			return sample(&before)
		},
		func() error { return sample(&after) })
	if err != nil {
		return report.Round{}, err
	}
	used, err := proc.Since(before, after)
	if err != nil {
		return report.Round{}, err
	}
	var rss int64
	for _, u := range after {
		rss += u.RSS
	}
	l.row.RSS = max(l.row.RSS, rss)
	r := out.Result
	return report.Round{Calls: r.Calls, Elapsed: r.Elapsed, P50: r.P50, P99: r.P99, Max: r.Max, CPU: used}, nil
}

// stop ends the target and moves what went wrong into the row.
func (l *lane) stop() {
	if l.target != nil {
		if err := l.target.Stop(); err != nil && l.err == nil {
			l.err = err
		}
	}
	if l.err != nil {
		l.row.Error = l.err.Error()
	}
}

// tell writes one line for whoever waits.
func (l *lane) tell(w io.Writer, spec load.Spec, round int) {
	what := fmt.Sprintf("%s %7d B %3d conns round %d %-10s", spec.Method, spec.Size, spec.Connections, round, l.row.Target)
	if l.err != nil {
		fmt.Fprintf(w, "%s failed: %v\n", what, l.err)
		return
	}
	pace, rounds := "closed loop", l.row.Closed
	if spec.Rate > 0 {
		pace, rounds = fmt.Sprintf("at %.0f/s", spec.Rate), l.row.Fixed
	}
	last := rounds[len(rounds)-1:]
	fmt.Fprintf(w, "%s %s: %.0f/s, CPU %v, p50 %v, p99 %v\n", what, pace,
		report.PerSecond(last[0]), report.CPUPerCall(last, ""), last[0].P50, last[0].P99)
}
