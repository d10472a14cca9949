// Package harness runs the built gateway as a user does, as processes around a
// real Envoy, and speaks to it as raw bytes over HTTP. Only tests import it.
//
// It takes bin/mcp-gateway, bin/mcp-demo and the filter's library from the
// repository's root, where `make build` puts them, and Envoy from $ENVOY or else
// the pinned one.
package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait for something that should happen soon. It is long
// because a machine may be busy, and longer than the 30 s that a call is held for
// a broker that hangs; a test that passes never waits so long.
const Patience = 60 * time.Second

// markEnv marks a process and all that it starts, so that what is left of them
// can be found.
const markEnv = "MCP_GATEWAY_E2E_MARK"

// Root is the repository's root.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// Built is the path of a program in bin/. Without it the test fails.
func Built(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return path
}

// Tool is the path of something that scripts/tools.sh installs or that lies in
// the repository. Without it the test fails.
func Tool(t testing.TB, path string) string {
	t.Helper()
	path = filepath.Join(Root(t), path)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make tools` first", err)
	}
	return path
}

// Process is a program that a test runs. Its output is kept, and logged when the
// test failed.
type Process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	mark   string
	ended  chan struct{} // closed after Wait; err is set before
	err    error
	stdout Lines
	stderr Lines
}

// Start runs a program in the repository's root until the test ends, when it
// gets SIGKILL unless Stop ended it.
func Start(t testing.TB, name, path string, args []string, env ...string) *Process {
	t.Helper()
	p := &Process{t: t, name: name, ended: make(chan struct{})}
	p.mark = fmt.Sprintf("%s-%d-%d", name, os.Getpid(), time.Now().UnixNano())
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = Root(t)
	p.cmd.Env = append(append(os.Environ(), markEnv+"="+p.mark), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var readers sync.WaitGroup
	for _, pipe := range []struct {
		open  func() (io.ReadCloser, error)
		lines *Lines
	}{{p.cmd.StdoutPipe, &p.stdout}, {p.cmd.StderrPipe, &p.stderr}} {
		r, err := pipe.open()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		readers.Go(func() { pipe.lines.read(r) })
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		readers.Wait()
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s wrote to stdout:\n%s\nand to stderr:\n%s", name, p.stdout.Tail(40), p.stderr.Tail(120))
		}
	})
	return p
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stdout and Stderr are what it wrote so far.
func (p *Process) Stdout() *Lines { return &p.stdout }
func (p *Process) Stderr() *Lines { return &p.stderr }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends sig.
func (p *Process) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: signal %v: %v", p.name, sig, err)
	}
}

// Kill ends the process and everything that it left, without asking.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	for _, left := range p.Family() {
		_ = syscall.Kill(left.PID, syscall.SIGKILL)
	}
	<-p.ended
}

// ExitCode waits until the process has ended by itself.
func (p *Process) ExitCode(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("%s: still running after %v", p.name, limit)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatalf("%s: %v", p.name, p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stop asks the process to end with SIGTERM and fails the test unless it exits
// with 0 within limit and leaves no other process behind.
func (p *Process) Stop(limit time.Duration) {
	p.t.Helper()
	select {
	case <-p.ended:
		p.t.Errorf("%s: ended by itself: %v", p.name, p.err)
		return
	default:
	}
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Errorf("%s: runs on %v after SIGTERM", p.name, limit)
		return
	}
	if p.err != nil {
		p.t.Errorf("%s: after SIGTERM: %v, want exit code 0", p.name, p.err)
	}
	if left := p.Family(); len(left) > 0 {
		p.t.Errorf("%s: left processes behind: %v", p.name, left)
	}
}

// Member is a process that another one started.
type Member struct {
	PID  int
	Name string // of the executable, as the kernel cuts it: 15 bytes
}

// Family lists the running processes that this one started, and those that they
// started, itself left out.
func (p *Process) Family() []Member {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		p.t.Errorf("list processes: %v", err)
	}
	var found []Member
	for _, dir := range dirs {
		// A process may end while it is looked at, and others' are not readable.
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !strings.Contains(string(env), markEnv+"="+p.mark+"\x00") {
			continue
		}
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && pid != p.PID() {
			found = append(found, Member{PID: pid, Name: strings.TrimSpace(string(name))})
		}
	}
	return found
}

// Child is the member of the family with that name.
func (p *Process) Child(name string) Member {
	p.t.Helper()
	var found []Member
	Eventually(p.t, "process "+name, func() bool {
		found = nil
		for _, m := range p.Family() {
			if m.Name == name {
				found = append(found, m)
			}
		}
		return len(found) == 1
	})
	return found[0]
}

// Lines is what a process writes, line by line.
type Lines struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func (l *Lines) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		l.mu.Lock()
		l.lines = append(l.lines, scanner.Text())
		if l.changed != nil {
			close(l.changed)
			l.changed = nil
		}
		l.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, r) // a line too long must not block the writer
}

// All returns the lines so far and a channel that is closed at the next one.
func (l *Lines) All() ([]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return append([]string(nil), l.lines...), l.changed
}

// Tail is the last n lines as text.
func (l *Lines) Tail(n int) string {
	lines, _ := l.All()
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// WaitLine returns what follows mark in the first line of stdout that holds it.
func (p *Process) WaitLine(lines *Lines, mark string) string {
	p.t.Helper()
	deadline := time.After(Patience)
	ended := p.ended
	for {
		all, changed := lines.All()
		for _, line := range all {
			if _, rest, ok := strings.Cut(line, mark); ok {
				return rest
			}
		}
		if ended == nil {
			p.t.Fatalf("%s: ended without writing %q: %v", p.name, mark, p.err)
		}
		select {
		case <-changed:
		case <-ended:
			ended = nil // its last lines are read by now: one more look
		case <-deadline:
			p.t.Fatalf("%s: did not write %q within %v", p.name, mark, Patience)
		}
	}
}

// Eventually waits until cond holds, at most Patience.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(Patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, Patience)
		}
	}
}
