// Command contrib is a stock Envoy that takes configurations of contrib's golang
// filter as if it had that: it runs $GOLANGHOST_ENVOY with the module of golanghost
// in the filter's place, in its bootstrap file and in all that it gets by xDS. To
// whoever starts it, it behaves as that Envoy: arguments, signals, output and exit
// status are passed on.
//
// $GOLANGHOST_MODULE is the folder of libgolanghost.so.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "error\tgolanghost\t%v\n", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	dir, err := os.MkdirTemp("", "golanghost")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	args, err = rewrite(ctx, args, dir)
	if err != nil {
		return 0, err
	}
	if err := modules(dir); err != nil {
		return 0, err
	}
	return envoy(args, dir)
}

// searchPath is the folder where Envoy looks for modules.
const searchPath = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH"

// modules links the module, and those that Envoy is to find besides, into dir.
func modules(dir string) error {
	for _, from := range []string{os.Getenv("GOLANGHOST_MODULE"), os.Getenv(searchPath)} {
		found, err := filepath.Glob(filepath.Join(from, "lib*.so"))
		if err != nil || from == "" {
			continue // there is no such folder
		}
		for _, file := range found {
			err := os.Symlink(file, filepath.Join(dir, filepath.Base(file)))
			if err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
	}
	return nil
}

// rewrite returns the arguments with a rewritten bootstrap file in dir, whose
// control plane is a proxy of the real one until ctx ends.
func rewrite(ctx context.Context, args []string, dir string) ([]string, error) {
	args = slices.Clone(args)
	for i, arg := range args {
		name, file, joined := strings.Cut(arg, "=")
		if name != "--config-path" && name != "-c" {
			continue
		}
		if !joined {
			if i+1 == len(args) {
				break // Envoy complains better
			}
			file = args[i+1]
		}
		text, err := os.ReadFile(file)
		if err != nil {
			break // as well
		}
		file, err = bootstrap(ctx, text, dir)
		if err != nil {
			return nil, err
		}
		if joined {
			args[i] = name + "=" + file
		} else {
			args[i+1] = file
		}
		break
	}
	return args, nil
}

// envoy runs Envoy with the modules in dir to its end and returns its exit status. If a signal ended it,
// that ends this process as well.
func envoy(args []string, dir string) (int, error) {
	path := os.Getenv("GOLANGHOST_ENVOY")
	if path == "" {
		return 0, errors.New("$GOLANGHOST_ENVOY does not name an Envoy")
	}
	c := exec.Command(path, args...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), searchPath+"="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	started := make(chan error)
	ended := make(chan error)
	go func() {
		// The end of the thread that starts the process ends that.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Start()
		started <- err
		if err == nil {
			ended <- c.Wait()
		}
	}()
	if err := <-started; err != nil {
		return 0, err
	}
	for {
		select {
		case s := <-signals:
			_ = c.Process.Signal(s) // it may have ended
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 0, err
			}
			if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				signal.Reset()
				_ = syscall.Kill(os.Getpid(), status.Signal())
				return 128 + int(status.Signal()), nil
			}
			return c.ProcessState.ExitCode(), nil
		}
	}
}
