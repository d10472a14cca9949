package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"

	"mcp-gateway/test/bench/backend"
	"mcp-gateway/test/bench/load"
)

// Roles of this program's child processes, as their first argument.
const (
	roleBackend = "backend"
	roleLoad    = "load"
)

// A backend is told its number of tools and prints its address. It ends with
// its input, so that it never outlives the bench.

func serveBackend(args []string) error {
	if len(args) != 1 {
		return errors.New("backend: want the number of tools")
	}
	tools, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = l.Close()
	}()
	return backend.New(tools).Serve(l)
}

// A load generator reads one order, says ready, measures from the next line of
// its input on, and prints its report.

type order struct {
	Spec   load.Spec `json:"spec"`
	Stream bool      `json:"stream,omitempty"`
}

type outcome struct {
	Result load.Result       `json:"result"`
	Stream load.StreamResult `json:"stream"`
	Error  string            `json:"error,omitempty"`
}

const readyLine = "ready"

func generateLoad(ctx context.Context) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	start := func() error {
		fmt.Println(readyLine)
		_, err := in.ReadBytes('\n')
		return err
	}
	var out outcome
	if o.Stream {
		if err = start(); err == nil {
			out.Stream, err = load.Stream(ctx, o.Spec)
		}
	} else {
		out.Result, err = load.Run(ctx, o.Spec, start)
	}
	if err != nil {
		out.Error = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// child is one of these processes.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startChild(ctx context.Context, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self, args...)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

// stop ends the child by the end of its input.
func (c *child) stop() error {
	return errors.Join(c.in.Close(), c.cmd.Wait())
}

// drive runs one load. Around its measured part it calls before and after.
func drive(ctx context.Context, o order, before, after func() error) (outcome, error) {
	c, err := startChild(ctx, roleLoad)
	if err != nil {
		return outcome{}, fmt.Errorf("start the load generator: %w", err)
	}
	out, err := c.drive(o, before, after)
	if stopped := c.stop(); err == nil && stopped != nil {
		err = fmt.Errorf("load generator: %w", stopped)
	}
	return out, err
}

func (c *child) drive(o order, before, after func() error) (outcome, error) {
	if err := json.NewEncoder(c.in).Encode(o); err != nil {
		return outcome{}, err
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return outcome{}, fmt.Errorf("load generator: %w", err)
	}
	if string(line) == readyLine+"\n" {
		if err := before(); err != nil {
			return outcome{}, err
		}
		if _, err := io.WriteString(c.in, "go\n"); err != nil {
			return outcome{}, err
		}
		if line, err = c.out.ReadBytes('\n'); err != nil {
			return outcome{}, fmt.Errorf("load generator: %w", err)
		}
		if err := after(); err != nil {
			return outcome{}, err
		}
	}
	var out outcome
	if err := json.Unmarshal(line, &out); err != nil {
		return outcome{}, fmt.Errorf("load generator: %w", err)
	}
	if out.Error != "" {
		return out, errors.New(out.Error)
	}
	return out, nil
}
