package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mcp-gateway/test/bench/load"
	"mcp-gateway/test/bench/proc"
)

// profile runs one more closed-loop round of a lane under perf and writes where
// the CPU time went, by library and function, to a text file in dir. The round
// does not count.
func (l *lane) profile(ctx context.Context, dir string, spec load.Spec) error {
	if l.err != nil || l.target.PID == 0 {
		return nil
	}
	name := fmt.Sprintf("%s-%s-%d-%d", l.target.Kind, strings.ReplaceAll(spec.Method, "/", "-"), spec.Size, spec.Connections)
	return l.perf(ctx, filepath.Join(dir, name), spec)
}

func (l *lane) perf(ctx context.Context, file string, spec load.Spec) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tree, err := proc.Tree(l.target.PID)
	if err != nil {
		return err
	}
	var pids []string
	for _, u := range tree {
		pids = append(pids, fmt.Sprint(u.PID))
	}
	// cpu-clock also works in a virtual machine without performance counters.
	data := file + ".perf"
	record := exec.CommandContext(ctx, "perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-g", "-o", data, "-p", strings.Join(pids, ","))
	var said bytes.Buffer
	record.Stderr = &said
	_, err = l.round(ctx, spec, record.Start)
	if record.Process == nil {
		return errors.Join(err, errors.New("perf did not start"))
	}
	_ = record.Process.Signal(os.Interrupt)
	if ended := record.Wait(); ended != nil && said.Len() > 0 {
		return fmt.Errorf("perf record: %s", said.Bytes())
	}
	if err != nil {
		return err
	}
	// Libraries first: a stripped Envoy has addresses in place of functions.
	var text []byte
	for _, by := range []string{"comm,dso", "comm,dso,symbol"} {
		table, err := exec.CommandContext(ctx, "perf", "report", "-i", data, "--stdio", "--no-children", "-g", "none",
			"--sort", by, "--percent-limit", "0.2").Output()
		if err != nil {
			return fmt.Errorf("perf report: %w", err)
		}
		text = append(text, table...)
	}
	return os.WriteFile(file+".txt", text, 0o644)
}
