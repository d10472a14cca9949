package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/bench/report"
	"mcp-gateway/test/bench/target"
)

// TestMain lets the test's own executable play the child processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == roleBackend || os.Args[1] == roleLoad) {
		if err := command(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// envoy returns the pinned Envoy, or skips the test.
func envoy(t *testing.T) string {
	t.Helper()
	for _, path := range []string{filepath.Join("../..", envoyPath), os.Getenv("ENVOY")} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("no Envoy: make build fetches one")
	return ""
}

// measure runs the bench with short rounds and returns both reports.
func measure(t *testing.T, args ...string) (report.Report, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bench.json")
	s, err := parse(append([]string{"-json", file, "-rounds", "2", "-duration", "50ms", "-warmup", "0s", "-conns", "2"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if err := run(t.Context(), s, &out, &progress); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &progress, &out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

func TestRunMeasuresEverySectionAndRound(t *testing.T) {
	t.Parallel()
	r, text := measure(t, "-targets", "direct", "-sizes", "64,100K")
	if len(r.Calls) != 2 || len(r.Lists) != 1 || len(r.Streams) != 1 {
		t.Fatalf("%d cells, %d lists, %d streams", len(r.Calls), len(r.Lists), len(r.Streams))
	}
	for _, cell := range r.Calls {
		row := cell.Row("direct")
		if row == nil || len(row.Closed) != 2 || len(row.Fixed) != 2 || cell.Rate <= 0 {
			t.Errorf("cell %+v", cell)
		}
	}
	if len(r.Streams[0].Rounds) != 2 {
		t.Errorf("streams %+v", r.Streams[0])
	}
	if row := r.Lists[0].Row("direct"); row == nil || len(row.Closed) != 2 || len(row.Fixed) != 0 {
		t.Errorf("lists %+v", r.Lists[0])
	}
	for _, want := range []string{"| 64 B | 2 | direct |", "| 100 KB | 2 | direct |", "| 1000 | 2 | direct |", "## Server-sent events"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestRunMeasuresTheCPUOfEnvoy(t *testing.T) {
	t.Parallel()
	r, _ := measure(t, "-targets", "plain,mcp_router", "-sizes", "64,1M", "-envoy", envoy(t), "-sections", "calls,streams")
	for _, cell := range r.Calls {
		for _, kind := range []string{"plain", "mcp_router"} {
			row := cell.Row(kind)
			if row == nil || row.RSS < 10<<20 || report.CPUPerCall(row.Closed, "envoy") < time.Microsecond {
				t.Errorf("%s at %d bytes: %+v", kind, cell.Size, row)
			}
		}
	}
}

func TestRunReportsATargetThatFails(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\ncase $1 in --version) exit 0; esac\necho no luck\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := parse([]string{"-targets", "direct,plain", "-sizes", "64", "-conns", "1", "-rounds", "1", "-duration", "10ms", "-warmup", "0s", "-envoy", broken})
	if err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if err := run(t.Context(), s, &out, &progress); err == nil {
		t.Error("a failed target passed")
	}
	if text := out.String(); !strings.Contains(text, "| plain | failed |") || !strings.Contains(text, "no luck") || !strings.Contains(text, "| 64 B | 1 | direct | - |") {
		t.Errorf("report\n%s", text)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := parse([]string{"-quick", "-conns", "1,128", "-sizes", "64,16K,1M", "-targets", "mcp_router,direct"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{64, 16 << 10, 1 << 20}, s.sizes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{1, 128}, s.conns); diff != "" {
		t.Errorf("a given flag gave way to -quick: %s", diff)
	}
	if s.rounds != 3 || s.duration != time.Second {
		t.Errorf("-quick left %d rounds of %v", s.rounds, s.duration)
	}
	if diff := cmp.Diff([]target.Kind{target.Direct, target.MCPRouter}, s.targets); diff != "" {
		t.Errorf("targets out of order: %s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown target":     {"-targets", "plain,nginx"},
		"target twice":       {"-targets", "plain,plain"},
		"size without digit": {"-sizes", "K"},
		"no connection":      {"-conns", "0"},
		"unknown section":    {"-sections", "prompts"},
		"no round":           {"-rounds", "0"},
		"negative rate":      {"-rate", "-1"},
		"stray argument":     {"quick"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(args); err == nil {
				t.Errorf("%v was accepted", args)
			}
		})
	}
}
