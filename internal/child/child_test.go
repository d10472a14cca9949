package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parentEnv makes this test binary a parent that runs the shell script in it.
const parentEnv = "CHILD_TEST_PARENT"

func TestMain(m *testing.M) {
	if script := os.Getenv(parentEnv); script != "" {
		p := shell(script)
		p.OnLine = func(line string) { fmt.Println(line) }
		if err := p.Run(context.Background()); err != nil {
			fmt.Println(err)
		}
		return
	}
	os.Exit(m.Run())
}

// shell is a process that runs script, with patience for tests.
func shell(script string) *Process {
	return &Process{
		Path: "/bin/sh", Args: []string{"-c", script},
		Grace: 5 * time.Second, Quick: time.Minute, MaxQuick: 3,
		MinDelay: time.Millisecond, MaxDelay: 3 * time.Millisecond,
	}
}

func TestHandsOverEachLine(t *testing.T) {
	t.Parallel()
	var got []string
	p := shell(`printf 'one\ntwo\r\n'; printf 'three\n' >&2; printf unfinished`)
	p.MaxQuick = 1
	p.OnLine = func(line string) { got = append(got, line) }
	err := p.Run(t.Context())
	if d := new(DeathError); !errors.As(err, &d) || d.Err != nil {
		t.Fatalf("error %v, want a death with exit status 0", err)
	}
	if diff := cmp.Diff([]string{"one", "two", "three", "unfinished"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPassesStandardOutputThrough(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	p := shell(`echo out; echo err >&2`)
	p.MaxQuick = 1
	p.Stdout = file
	p.OnLine = func(line string) { lines = append(lines, line) }
	_ = p.Run(t.Context())
	got, err := os.ReadFile(file.Name())
	if err != nil || string(got) != "out\n" {
		t.Errorf("standard output %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"err"}, lines); diff != "" {
		t.Errorf("lines, -want +got:\n%s", diff)
	}
}

func TestCutsALineWithoutEnd(t *testing.T) {
	t.Parallel()
	longest, total := 0, 0
	p := shell(`head -c 100000 /dev/zero | tr '\0' x`)
	p.MaxQuick = 1
	p.OnLine = func(line string) { longest, total = max(longest, len(line)), total+len(line) }
	_ = p.Run(t.Context())
	// One write of the pipe may come on top of a line that is nearly full.
	if total != 100000 || longest > maxLine+32<<10 {
		t.Errorf("%d bytes, the longest piece %d", total, longest)
	}
}

func TestGivesUpAfterQuickDeaths(t *testing.T) {
	t.Parallel()
	starts := 0
	var delays []time.Duration
	p := shell(`for i in $(seq 20); do echo line $i; done; exit 7`)
	p.MaxQuick = 5
	p.OnStart = func(int) { starts++ }
	p.OnExit = func(_ error, restart time.Duration) { delays = append(delays, restart) }
	err := p.Run(t.Context())
	var d *DeathError
	if !errors.As(err, &d) || d.Times != 5 || starts != 5 {
		t.Fatalf("error %v after %d starts, want 5 deaths", err, starts)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("reason %v, want exit status 7", d.Err)
	}
	if len(d.Tail) != tail || d.Tail[tail-1] != "line 20" || !strings.Contains(err.Error(), "line 20") {
		t.Errorf("tail %q", d.Tail)
	}
	ms := time.Millisecond
	if diff := cmp.Diff([]time.Duration{ms, 2 * ms, 3 * ms, 3 * ms}, delays); diff != "" {
		t.Errorf("delays, -want +got:\n%s", diff)
	}
}

func TestALongLifeStartsTheCountAnew(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	starts := 0
	p := shell(`exit 1`)
	p.Quick = 0 // every life is long enough
	p.MaxQuick = 2
	p.OnStart = func(int) {
		if starts++; starts == 6 {
			cancel()
		}
	}
	if err := p.Run(ctx); err != nil || starts != 6 {
		t.Errorf("error %v after %d starts, want none and 6", err, starts)
	}
}

func TestAMissingExecutableIsNoDeath(t *testing.T) {
	t.Parallel()
	p := shell("")
	p.Path = filepath.Join(t.TempDir(), "absent")
	err := p.Run(t.Context())
	if s := new(StartError); !errors.As(err, &s) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want a start error", err)
	}
}

func TestEndsTheChildWithSIGTERM(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	p := shell(`exec 2>/dev/null; trap 'echo bye; exit 0' TERM; echo ready; while :; do read -r x <"$FIFO"; done`)
	p.Env = []string{"FIFO=" + fifo(t)}
	p.OnLine = func(line string) {
		got = append(got, line)
		if line == "ready" {
			cancel()
		}
	}
	if err := p.Run(ctx); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"ready", "bye"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestKillsAChildThatIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := shell(`trap '' TERM; echo ready; while :; do read -r x <"$FIFO"; done`)
	p.Env = []string{"FIFO=" + fifo(t)}
	p.Grace = 100 * time.Millisecond
	p.OnLine = func(string) { cancel() }
	begin := time.Now()
	if err := p.Run(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < p.Grace || took > 20*time.Second {
		t.Errorf("the end took %v, want a little over %v", took, p.Grace)
	}
}

// The child must not live on when its parent is killed, which leaves the parent
// no time to do anything about it.
func TestAKilledParentLeavesNoOrphan(t *testing.T) {
	t.Parallel()
	path := fifo(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"=echo ready; exec sleep 1000 3>"+path)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parent.Process.Kill() }()
	// Opening waits until the child has opened the other end.
	held, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	first := make([]byte, len("ready"))
	if _, err := io.ReadFull(out, first); err != nil || string(first) != "ready" {
		t.Fatalf("parent says %q: %v", first, err)
	}
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	// The end of the file comes when nobody holds the other end any more.
	_ = held.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := held.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the child is still there: %v", err)
	}
}

// fifo is a named pipe on which a shell can wait without using the processor.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
