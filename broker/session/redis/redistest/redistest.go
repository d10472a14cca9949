// Package redistest runs real redis-server processes for tests.
//
// The program is .tools/bin/redis-server under the repository's root, where
// `make tools` puts it, else the one on PATH. A test without either fails: a
// fake Redis does not show what a real one does.
package redistest

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/test/freeport"
)

// patience bounds the wait for a line in a server's log or for an answer.
const patience = 20 * time.Second

// Server is a Redis on a port of the loopback interface. It writes every change
// to its directory before it answers, so that Kill loses nothing.
type Server struct {
	tb   testing.TB
	path string
	dir  string
	port int
	args []string
	// file is the configuration of a Sentinel; empty for a Redis. ready is what the
	// log says when it serves, if not the usual.
	file, ready string

	process *exec.Cmd
	log     *log
}

// Start runs a Redis until the test ends. The args go to it behind its own, as
// "--maxmemory", "5mb"; {port} in one is its port.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, path: program(tb), dir: tb.TempDir(), port: freeport.Port(tb), args: args}
	tb.Cleanup(s.Kill)
	s.start()
	return s
}

// Log is what the process has written so far.
func (s *Server) Log() string { return s.log.String() }

// Addr is host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL is redis://host:port.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Kill ends the process as a crash would. Of no effect if it does not run.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	<-s.log.ended
	_ = s.process.Wait() // killed, as it should be
	s.process = nil
}

// Restart starts a killed Redis again, on the same address with the same data.
func (s *Server) Restart() {
	s.tb.Helper()
	s.start()
}

// RestartSlowly is Restart for a Redis that takes a while to load its data: it
// returns while that goes on. Each command of the log takes the pause.
func (s *Server) RestartSlowly(pause time.Duration) {
	s.tb.Helper()
	args := s.args
	s.args = append(slices.Clone(args), "--key-load-delay", fmt.Sprint(pause.Microseconds()))
	s.ready = "Server initialized"
	s.Restart()
	s.args, s.ready = args, ""
}

// Pause stops the process without closing its connections, as a machine that
// hangs; Resume lets it go on.
func (s *Server) Pause()  { s.signal(syscall.SIGSTOP) }
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.tb.Fatalf("signal redis-server: %v", err)
	}
}

// start runs the process and waits until it serves.
func (s *Server) start() {
	s.tb.Helper()
	args := []string{"--bind", "127.0.0.1", "--port", fmt.Sprint(s.port), "--dir", s.dir, "--daemonize", "no", "--loglevel", "notice"}
	if s.file != "" {
		args = append([]string{s.file, "--sentinel"}, args...)
	} else {
		args = append(args, "--save", "", "--appendonly", "yes", "--appendfsync", "no") // enough for a killed process
	}
	args = append(args, s.args...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{port}", fmt.Sprint(s.port))
	}
	cmd := exec.Command(s.path, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.tb.Fatalf("run redis-server: %v", err)
	}
	cmd.Stderr = cmd.Stdout
	dieWithParent(cmd)
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// What ends the child with its parent is the end of the thread that
		// started it: this one stays as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-ended
		}
	}()
	if err := <-started; err != nil {
		s.tb.Fatalf("run redis-server: %v", err)
	}
	s.process, s.log = cmd, follow(bufio.NewScanner(out), ended)
	if !s.log.await(cmp.Or(s.ready, "Ready to accept connections")) {
		s.Kill()
		s.tb.Fatalf("redis-server does not start:\n%s", s.log)
	}
}

// program finds redis-server.
func program(tb testing.TB) string {
	tb.Helper()
	if dir, err := os.Getwd(); err == nil {
		for ; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				p := filepath.Join(dir, ".tools", "bin", "redis-server")
				if _, err := os.Stat(p); err == nil {
					return p
				}
				break
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	p, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("redis-server is neither in .tools/bin nor on PATH; `make tools` installs it")
	}
	return p
}
