// Package load calls one MCP endpoint over a fixed number of keep-alive
// connections, each with a session of its own or stateless, and checks every answer. The
// bytes of a request are built once; only its id changes.
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Methods that can be measured.
const (
	MethodCall = "tools/call" // of backend.ToolEcho
	MethodList = "tools/list"
)

// Spec says what to call and how hard.
type Spec struct {
	// Address is host:port of the endpoint, whose path is /mcp.
	Address string `json:"address"`
	// Method is MethodCall or MethodList; Tool the exposed name to call.
	Method string `json:"method"`
	Tool   string `json:"tool"`
	// Stateless requests are those of 2026-07-28, which have no session.
	Stateless bool `json:"stateless,omitempty"`
	// Token goes along as Authorization; empty for none.
	Token string `json:"token,omitempty"`
	// Size of the argument in bytes, as it stands in the request.
	Size        int `json:"size"`
	Connections int `json:"connections"`
	// Warmup runs unmeasured before Duration.
	Warmup   time.Duration `json:"warmup"`
	Duration time.Duration `json:"duration"`
	// Rate in calls per second over all connections. 0 is a closed loop: each
	// connection calls again as soon as it has its answer.
	Rate float64 `json:"rate"`
}

// Result is what was measured. Latency counts from the moment at which a call
// was due: in a closed loop that is when it was sent, at a fixed rate when the
// schedule wanted it sent, so that a slow answer also counts for the calls
// that it held up.
type Result struct {
	Calls   int           `json:"calls"`
	Elapsed time.Duration `json:"elapsed"`
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
}

// Run connects, warms up, waits until start returns, and measures. One wrong
// answer ends it with an error.
func Run(ctx context.Context, spec Spec, start func() error) (Result, error) {
	clients := make([]*client, spec.Connections)
	defer func() {
		for _, c := range clients {
			if c != nil {
				_ = c.conn.Close()
			}
		}
	}()
	text := Text(spec.Size)
	err := each(clients, func(i int) error {
		c, err := connect(ctx, spec, text)
		clients[i] = c
		return err
	})
	if err != nil {
		return Result{}, err
	}
	if _, err := closedLoop(ctx, clients, spec.Warmup); err != nil {
		return Result{}, fmt.Errorf("warm up: %w", err)
	}
	if err := start(); err != nil {
		return Result{}, err
	}
	measure := closedLoop
	if spec.Rate > 0 {
		measure = func(ctx context.Context, clients []*client, d time.Duration) (time.Duration, error) {
			return fixedRate(ctx, clients, d, spec.Rate)
		}
	}
	for _, c := range clients {
		c.latencies = c.latencies[:0]
	}
	elapsed, err := measure(ctx, clients, spec.Duration)
	if err != nil {
		return Result{}, err
	}
	var all []time.Duration
	for _, c := range clients {
		all = append(all, c.latencies...)
	}
	if len(all) == 0 {
		return Result{}, errors.New("not one call was made")
	}
	q := quantiles(all)
	return Result{Calls: len(all), Elapsed: elapsed, P50: q(0.5), P99: q(0.99), Max: q(1)}, nil
}

// Probe makes one call as Run would, to see whether the endpoint serves.
func Probe(ctx context.Context, spec Spec) error {
	c, err := connect(ctx, spec, Text(spec.Size))
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }()
	return c.call(time.Now())
}

// each runs f once per client, together, and returns the first error.
func each(clients []*client, f func(i int) error) error {
	errs := make([]error, len(clients))
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("connection %d of %d: %w", i+1, len(errs), err)
		}
	}
	return nil
}
