// Command bench measures what this gateway costs, side by side with other ways
// to the same backend: none (direct), Envoy as a plain proxy, and Envoy's own
// mcp and mcp_router filters. The gateway is asked in sessions, and in a second lane
// in the stateless revision; golang is the gateway in contrib's filter for Go, with
// test/golanghost in the filter's place, which copies bodies once more than that.
// From the repository's root, after make build, and with what scripts/host.sh golang
// prints in the environment:
//
//	go run ./test/bench -quick
//	go run ./test/bench -json bench.json > bench.md
//	go run ./test/bench -targets plain,gateway -sizes 64 -conns 16 -profile /tmp/perf
//
// For each size of arguments and number of connections all targets run at once
// and are measured in turn, round by round, so that a slow minute of the
// machine hits all of them. Every answer is checked. Load generator and backend
// are processes of their own (this program again), which the CPU figures leave
// out. A failed target is shown as such and makes the exit status 1; so does a
// missed goal with -check.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case roleBackend:
			return serveBackend(args[1:])
		case roleLoad:
			return generateLoad(ctx)
		}
	}
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return run(ctx, s, os.Stdout, os.Stderr)
}
