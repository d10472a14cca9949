package main

import (
	"context"
	"fmt"

	"mcp-gateway/test/bench/backend"
	"mcp-gateway/test/bench/load"
	"mcp-gateway/test/bench/report"
	"mcp-gateway/test/bench/target"
)

// measureStreams measures how events come through each target, in interleaved
// rounds. One target works at a time: what counts is time asleep, which a busy
// neighbour would lengthen.
func (b *bench) measureStreams(ctx context.Context) error {
	lanes := make([]*lane, 0, len(b.targets))
	streams := make([]report.Stream, len(b.targets))
	defer func() {
		for i, l := range lanes {
			l.stop()
			streams[i].Error = l.row.Error
		}
		b.report.Streams = streams
	}()
	for i, kind := range b.targets {
		streams[i].Target = string(kind)
		l := &lane{row: report.Row{Target: string(kind)}}
		l.target, l.err = target.Start(ctx, kind, b.options)
		lanes = append(lanes, l)
	}
	for round := range b.rounds {
		for i := range lanes {
			at := (i + round) % len(lanes)
			lanes[at].stream(ctx, b, &streams[at])
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// stream adds one round of events.
func (l *lane) stream(ctx context.Context, b *bench, into *report.Stream) {
	if l.err != nil {
		return
	}
	spec := l.target.Spec(backend.ToolStream, load.Spec{Connections: 1, Duration: b.duration})
	var out outcome
	if out, l.err = drive(ctx, order{Spec: spec, Stream: true}, nothing, nothing); l.err != nil {
		fmt.Fprintf(b.progress, "events of %-10s failed: %v\n", l.row.Target, l.err)
		return
	}
	r := report.StreamRound(out.Stream)
	into.Rounds = append(into.Rounds, r)
	fmt.Fprintf(b.progress, "events of %-10s first after %v, transit p50 %v, p99 %v\n", l.row.Target, r.First, r.TransitP50, r.TransitP99)
}
