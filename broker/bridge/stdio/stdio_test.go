package stdio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/broker/bridge/stdio"
)

// role makes this test binary the process that a test talks to.
const role = "STDIO_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "echo":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "environ":
		fmt.Println(strings.Join(os.Environ(), " "))
		dir, _ := os.Getwd()
		fmt.Println(dir)
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "endless":
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	case "stubborn": // ends by SIGKILL only, and has a child like itself
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command("sleep", "300")
		child.Stdout = os.Stdout // holds the pipe open
		_ = child.Start()
		fmt.Println(child.Process.Pid)
		select {}
	case "deaf": // reads nothing
		fmt.Println("up")
		// Waiting for a signal is no deadlock to the runtime, as select {} can be.
		ever := make(chan os.Signal, 1)
		signal.Notify(ever, syscall.SIGUSR1)
		<-ever
	case "fails": // without a message
		for i := range 30 {
			fmt.Fprintln(os.Stderr, "reason", i)
		}
		os.Exit(3)
	case "talks": // to standard error
		fmt.Fprintln(os.Stderr, "starting \x1b[31mred\x1b[0m "+strings.Repeat("y", 5000))
		fmt.Println("{}")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Fprintln(os.Stderr, "got it")
		os.Exit(3)
	}
}

func start(t *testing.T, as string, change func(*stdio.Command)) *stdio.Conn {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := stdio.Command{Path: exe, Env: map[string]string{role: as}, Limit: 1 << 20, Log: zaptest.NewLogger(t)}
	if change != nil {
		change(&c)
	}
	conn, err := stdio.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(0) })
	return conn
}

// receive reads a connection in the background.
func receive(c *stdio.Conn) (lines chan string, end chan error) {
	lines, end = make(chan string, 100), make(chan error, 1)
	go func() { end <- c.Receive(func(m []byte) { lines <- string(m) }) }()
	return lines, end
}

func next[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestLinesGoBothWays(t *testing.T) {
	t.Parallel()
	c := start(t, "echo", nil)
	lines, end := receive(c)
	for _, m := range []string{`{"a":1}`, `"` + strings.Repeat("z", 1<<20-10) + `"`, "  {}\r"} {
		if err := c.Send(t.Context(), []byte(m)); err != nil {
			t.Fatal(err)
		}
		if got := next(t, lines); got != strings.TrimSpace(m) {
			t.Errorf("%d bytes became %d", len(m), len(got))
		}
	}
	if err := c.Send(t.Context(), []byte("\n\n{}")); err != nil || next(t, lines) != "{}" {
		t.Errorf("blank lines: %v", err)
	}
	began := time.Now()
	c.Close(time.Minute) // its input closed, it ends by itself
	if err := next(t, end); err == nil || !strings.Contains(err.Error(), "status 0") || time.Since(began) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if err := c.Send(t.Context(), []byte("{}")); err == nil {
		t.Error("a message to a process that has ended")
	}
}

func TestProcessSeesNoSecretOfTheGateway(t *testing.T) {
	t.Setenv("MCP_GATEWAY_INTERNAL_SECRET", "s3cret")
	t.Setenv("TZ", "UTC")
	dir := t.TempDir()
	c := start(t, "environ", func(c *stdio.Command) {
		c.Env["TOKEN"], c.Env["HOME"], c.Dir = "own", "/elsewhere", dir
	})
	lines, _ := receive(c)
	env := strings.Fields(next(t, lines))
	for _, want := range []string{"TOKEN=own", "HOME=/elsewhere", "TZ=UTC", "PATH=" + os.Getenv("PATH")} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %v", want, env)
		}
	}
	if text := strings.Join(env, " "); strings.Contains(text, "s3cret") || strings.Count(text, "HOME=") != 1 {
		t.Errorf("environment %v", env)
	}
	if got := next(t, lines); got != dir {
		t.Errorf("folder %s, want %s", got, dir)
	}
}

func TestEndlessLineEndsTheConnection(t *testing.T) {
	t.Parallel()
	_, end := receive(start(t, "endless", nil))
	if err := next(t, end); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("%v", err)
	}
}

func TestNothingOfAStubbornProcessIsLeft(t *testing.T) {
	t.Parallel()
	c := start(t, "stubborn", nil)
	lines, end := receive(c)
	pid, err := strconv.Atoi(next(t, lines))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.Close(200 * time.Millisecond)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	next(t, end)
	// Killed, though it may be a zombie until somebody collects it.
	for deadline := time.Now().Add(10 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d, which the process had started, runs on", pid)
		}
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestProcessThatDoesNotRead(t *testing.T) {
	t.Parallel()
	c := start(t, "deaf", nil)
	lines, end := receive(c)
	next(t, lines)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	sent := make(chan error, 2)
	for range 2 {
		go func() { sent <- c.Send(ctx, make([]byte, 1<<20)) }()
	}
	// One of them waits for the other, but no longer than it wants to; the other
	// must not cut its line.
	if err := next(t, sent); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sent to a process that reads nothing: %v", err)
	}
	c.Close(time.Second)
	if err := next(t, sent); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sent to a process that reads nothing: %v", err)
	}
	if err := next(t, end); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("%v", err)
	}
}

func TestStandardErrorIsLogged(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	c := start(t, "talks", func(c *stdio.Command) { c.Log = zap.New(core) })
	lines, end := receive(c)
	next(t, lines)
	if err := c.Send(t.Context(), []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if err := next(t, end); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
	written := logs.FilterMessage("server writes").All()
	if len(written) != 2 {
		t.Fatalf("%d lines: %v", len(written), written)
	}
	first := written[0].ContextMap()["stderr"].(string)
	if !strings.HasPrefix(first, "starting [31mred[0m yyy") || len(first) > 1100 {
		t.Errorf("%q", first)
	}
	if written[1].Level != zapcore.DebugLevel || written[1].ContextMap()["stderr"] != "got it" {
		t.Errorf("%+v", written[1])
	}
	for _, l := range logs.All() {
		if text := fmt.Sprint(l.Message, l.ContextMap()); strings.Contains(text, "secret") || strings.Contains(text, role) {
			t.Errorf("the log says %s", text)
		}
	}
}

// Processes are many, and alike: only what is wrong with one is of interest.
func TestLaterProcessesAreQuiet(t *testing.T) {
	t.Parallel()
	for as, test := range map[string]struct{ lines, atInfo int }{"talks": {2, 0}, "fails": {20, 20}} {
		core, logs := observer.New(zapcore.DebugLevel)
		c := start(t, as, func(c *stdio.Command) { c.Log, c.Quiet = zap.New(core), true })
		_, end := receive(c)
		_ = c.Send(t.Context(), []byte("{}"))
		next(t, end)
		atInfo := 0
		for _, l := range logs.All() {
			if l.Level >= zapcore.InfoLevel {
				atInfo++
			}
		}
		written := logs.FilterMessage("server writes").All()
		if len(written) != test.lines || atInfo != test.atInfo {
			t.Errorf("%s: %d lines written, %d logged at info, want %d and %d: %v", as, len(written), atInfo, test.lines, test.atInfo, logs.All())
		}
		if as == "fails" && written[19].ContextMap()["stderr"] != "reason 29" {
			t.Errorf("the last line is %v", written[19].ContextMap())
		}
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"no-such-program-anywhere", "/no/such/program", "/etc/passwd"} {
		if c, err := stdio.Start(stdio.Command{Path: path, Log: zap.NewNop()}); err == nil {
			c.Close(0)
			t.Errorf("%s was started", path)
		}
	}
}

// The system speaks of the program, which is there.
func TestAMissingDirectoryIsNamed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "absent")
	_, err := stdio.Start(stdio.Command{Path: os.Args[0], Dir: dir, Log: zap.NewNop()})
	if err == nil || !strings.Contains(err.Error(), "no directory "+dir) || strings.Contains(err.Error(), os.Args[0]) {
		t.Errorf("%v", err)
	}
}
