package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"mcp-gateway/test/bench/load"
	"mcp-gateway/test/bench/report"
	"mcp-gateway/test/bench/target"
)

const (
	fewTools  = 10
	manyTools = 1000
)

// bench is one run.
type bench struct {
	settings
	report   report.Report
	progress io.Writer
}

// run measures, tells progress as it goes, and writes the tables to out.
func run(ctx context.Context, s settings, out, progress io.Writer) error {
	if err := s.find(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mcp-gateway-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s.options.Dir = dir
	machine, err := describe(ctx, s.options.Envoy)
	if err != nil {
		return err
	}
	b := &bench{settings: s, progress: progress, report: report.Report{
		Machine:  machine,
		Settings: report.Settings{Rounds: s.rounds, Duration: s.duration, RateShare: s.share, StandIn: s.standIn()},
	}}
	for _, section := range []struct {
		name  string
		tools int
		run   func(context.Context) error
	}{{sectionCalls, fewTools, b.measureCalls}, {sectionStreams, fewTools, b.measureStreams}, {sectionLists, manyTools, b.measureLists}} {
		if !slices.Contains(s.sections, section.name) {
			continue
		}
		if err := b.withBackend(ctx, section.tools, section.run); err != nil {
			return err
		}
	}
	b.report.Finished = time.Now()
	return b.publish(out)
}

// publish writes the report and judges it.
func (b *bench) publish(out io.Writer) error {
	if b.json != "" {
		file, err := os.Create(b.json)
		if err != nil {
			return err
		}
		if err := errors.Join(b.report.WriteJSON(file), file.Close()); err != nil {
			return err
		}
	}
	if err := b.report.WriteMarkdown(out); err != nil {
		return err
	}
	if b.report.Failed() {
		return errors.New("a target failed")
	}
	missed := func(g report.Goal) bool { return !g.Met() }
	if b.check && slices.ContainsFunc(b.report.Goals(), missed) {
		return errors.New("a goal was missed")
	}
	return nil
}

func (b *bench) withBackend(ctx context.Context, tools int, f func(context.Context) error) error {
	c, err := startChild(ctx, roleBackend, fmt.Sprint(tools))
	if err != nil {
		return fmt.Errorf("start the backend: %w", err)
	}
	line, err := c.out.ReadString('\n')
	if err == nil {
		b.options.Backend = strings.TrimSpace(line)
		err = f(ctx)
	}
	return errors.Join(err, c.stop())
}

func (b *bench) measureCalls(ctx context.Context) error {
	for _, size := range b.sizes {
		for _, conns := range b.conns {
			cell := report.Cell{Size: size, Connections: conns}
			spec := load.Spec{Method: load.MethodCall, Size: size, Connections: conns, Warmup: b.warmup, Duration: b.duration}
			if err := b.measure(ctx, &cell, spec, b.share); err != nil {
				return err
			}
			b.report.Calls = append(b.report.Calls, cell)
		}
	}
	return nil
}

func (b *bench) measureLists(ctx context.Context) error {
	for _, conns := range b.conns {
		cell := report.Cell{Size: manyTools, Connections: conns}
		spec := load.Spec{Method: load.MethodList, Connections: conns, Warmup: b.warmup, Duration: b.duration}
		if err := b.measure(ctx, &cell, spec, 0); err != nil {
			return err
		}
		b.report.Lists = append(b.report.Lists, cell)
	}
	return nil
}

func nothing() error { return nil }

// measure fills a cell: all rounds in a closed loop, then all at the given
// share of what plain Envoy served (or the first target, without it).
func (b *bench) measure(ctx context.Context, cell *report.Cell, spec load.Spec, share float64) error {
	lanes := make([]*lane, 0, len(b.targets))
	defer func() {
		for _, l := range lanes {
			l.stop()
			cell.Rows = append(cell.Rows, l.row)
		}
	}()
	for _, kind := range b.targets {
		l := &lane{row: report.Row{Target: string(kind)}}
		l.target, l.err = target.Start(ctx, kind, b.options)
		lanes = append(lanes, l)
	}
	if err := b.interleave(ctx, lanes, spec); err != nil {
		return err
	}
	if b.profile != "" {
		for _, l := range lanes {
			if err := l.profile(ctx, b.profile, spec); err != nil {
				fmt.Fprintf(b.progress, "profile of %s: %v\n", l.row.Target, err)
			}
		}
	}
	if share == 0 {
		return ctx.Err()
	}
	reference := lanes[0]
	for _, l := range lanes {
		if l.row.Target == string(target.Plain) {
			reference = l
		}
	}
	if len(reference.row.Closed) == 0 {
		return ctx.Err() // it failed, which its row says
	}
	cell.Rate = share * report.Median(reference.row.Closed, report.PerSecond)
	spec.Rate = cell.Rate
	return b.interleave(ctx, lanes, spec)
}
