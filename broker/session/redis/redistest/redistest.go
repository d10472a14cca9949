// Package redistest runs real redis-server processes for tests.
//
// The program is .tools/bin/redis-server under the repository's root, where
// `make tools` puts it, else the one on PATH. A test without either fails: a
// fake Redis does not show what a real one does.
package redistest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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

	process *exec.Cmd
	log     *log
}

// Start runs a Redis until the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return start(tb)
}

func start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, path: program(tb), dir: tb.TempDir(), args: args}
	tb.Cleanup(s.Kill)
	// Another process may take the port between freePort and the start.
	for range 5 {
		s.port = freePort(tb)
		if s.run() {
			return s
		}
	}
	tb.Fatalf("redis-server does not start:\n%s", s.log)
	return nil
}

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
	if !s.run() {
		s.tb.Fatalf("redis-server does not start again:\n%s", s.log)
	}
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

// run starts the process and reports whether it came to serve.
func (s *Server) run() bool {
	s.tb.Helper()
	args := append([]string{
		"--bind", "127.0.0.1", "--port", fmt.Sprint(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "no", // enough for a killed process
		"--daemonize", "no", "--loglevel", "notice",
	}, s.args...)
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
	if s.log.await("Ready to accept connections") {
		return true
	}
	s.Kill()
	return false
}

// command sends one command of plain words and returns the first line of the
// answer.
func (s *Server) command(words ...string) string {
	s.tb.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		s.tb.Fatalf("redis-server: %v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		s.tb.Fatalf("redis-server: %v", err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		s.tb.Fatalf("redis-server: %s: %v", words[0], err)
	}
	return strings.TrimSpace(line)
}

// StartCluster runs a Redis Cluster of two nodes, each with half of the slots,
// until the test ends.
func StartCluster(tb testing.TB) []*Server {
	tb.Helper()
	nodes := make([]*Server, 2)
	buses := make([]string, 2)
	for i := range nodes {
		buses[i] = fmt.Sprint(freePort(tb))
		nodes[i] = start(tb, "--cluster-enabled", "yes", "--cluster-port", buses[i])
	}
	for _, c := range [][]string{
		{"CLUSTER", "ADDSLOTSRANGE", "0", "8191"},
		{"CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(nodes[1].port), buses[1]},
	} {
		nodes[0].mustCommand(c...)
	}
	nodes[1].mustCommand("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
	for _, n := range nodes {
		if !n.log.await("Cluster state changed: ok") {
			tb.Fatalf("the cluster does not form:\n%s", n.log)
		}
	}
	return nodes
}

func (s *Server) mustCommand(words ...string) {
	s.tb.Helper()
	if got := s.command(words...); got != "+OK" {
		s.tb.Fatalf("redis-server: %s: %s", strings.Join(words, " "), got)
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

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// log is the output of one process.
type log struct {
	ended chan struct{} // closed at the end of the output

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at each line
}

// follow collects the lines of in and closes ended after the last.
func follow(in *bufio.Scanner, ended chan struct{}) *log {
	l := &log{ended: ended, more: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for in.Scan() {
			l.mu.Lock()
			l.lines = append(l.lines, in.Text())
			close(l.more)
			l.more = make(chan struct{})
			l.mu.Unlock()
		}
	}()
	return l
}

// await waits for a line with the text, past or to come.
func (l *log) await(text string) bool {
	limit := time.After(patience)
	for seen := 0; ; {
		l.mu.Lock()
		lines, more := l.lines, l.more
		l.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if strings.Contains(lines[seen], text) {
				return true
			}
		}
		select {
		case <-more:
		case <-l.ended:
			return false
		case <-limit:
			return false
		}
	}
}

// String returns the output so far.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
