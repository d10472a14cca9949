// Command front stands between the conformance suite, which is the server in its
// client scenarios, and the reference client: it starts a gateway before the
// suite's server, runs the client against the gateway, and ends with the
// client's exit code.
//
//	front [-beside URL] [-era ERA] [-leash FILE] GATEWAY CLIENT URL
//
// GATEWAY and CLIENT are executables. With -beside the gateway federates the
// suite's server with the one at that URL, with prefixes and labels, and the
// client talks to it through a shim. With -era the gateway is told what the
// suite's server speaks. With -leash the front ends, and the gateway
// and the client with it, when nobody holds the lock of that file any more: the
// suite is between the test and the front, and leaves the front behind if it is
// killed.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mcp-gateway/test/conformance/shim"
)

const (
	label, prefix = "suite", "s_"
	besideLabel   = "beside"

	startLimit = 20 * time.Second
	stopLimit  = 5 * time.Second
)

func main() {
	beside := flag.String("beside", "", "endpoint of a second server, which makes the gateway use prefixes")
	era := flag.String("era", "auto", "era of the suite's server, as in the gateway's configuration")
	leash := flag.String("leash", "", "file that the test holds the lock of while it runs")
	flag.Parse()
	if flag.NArg() != 3 {
		fmt.Fprintln(os.Stderr, "usage: front [-beside URL] [-era ERA] [-leash FILE] GATEWAY CLIENT URL")
		os.Exit(2)
	}
	if *leash != "" {
		go func() {
			fmt.Fprintln(os.Stderr, "front: the test has ended:", released(*leash))
			os.Exit(1)
		}()
	}
	err := run(context.Background(), flag.Arg(0), flag.Arg(1), flag.Arg(2), *beside, *era)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "front:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, gateway, client, server, beside, era string) error {
	dir, err := os.MkdirTemp("", "front")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays is a small file in /tmp
	file := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(file, []byte(config(server, beside, era)), 0o600); err != nil {
		return err
	}
	endpoint, stop, err := start(ctx, gateway, file)
	if err != nil {
		return err
	}
	defer stop()
	if beside != "" {
		handler, err := shim.New(endpoint, prefix, label, besideLabel)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()                            //nolint:errcheck // the process ends
		go func() { _ = http.Serve(l, handler) }() //nolint:gosec // of a test, on loopback
		endpoint = "http://" + l.Addr().String()
	}
	c := exec.CommandContext(ctx, client, endpoint)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c.Run()
}

// released waits until the lock of a file is free.
func released(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}

func config(server, beside, era string) string {
	text := "servers:\n  - {name: " + label + ", era: " + era + ", url: " + server
	if beside != "" {
		text += ", prefix: " + prefix + "}\n  - {name: " + besideLabel + ", url: " + beside + ", prefix: " + besideLabel + "_"
	}
	return text + "}\n"
}

// start runs the gateway until stop is called and returns its endpoint.
func start(ctx context.Context, gateway, file string) (endpoint string, stop func(), err error) {
	args := []string{"run", "--config", file, "--listen", "127.0.0.1:0"}
	if os.Getenv("HOST") == "golang" {
		args = append(args, "--filter-host", "golang")
	}
	c := exec.CommandContext(ctx, gateway, args...)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	late := time.AfterFunc(startLimit, func() { _ = c.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "ready endpoint="); ok {
			late.Stop()
			return strings.TrimSpace(url), func() {
				_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
				late.Reset(stopLimit)
				_ = c.Wait() // the client's exit code is the one that counts
				late.Stop()
			}, nil
		}
	}
	return "", nil, fmt.Errorf("the gateway did not start within %v: %w", startLimit, c.Wait())
}
