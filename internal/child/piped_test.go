package child

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func piped(t *testing.T, script string, change func(*Command)) *Piped {
	t.Helper()
	c := Command{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")}}
	if change != nil {
		change(&c)
	}
	p, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.End(0)
		_ = p.Stdout.Close()
	})
	return p
}

func TestPipedIsSpokenTo(t *testing.T) {
	t.Parallel()
	var lines []string
	p := piped(t, `read -r x; echo "got $x"; echo one >&2; printf two >&2; exit 7`, func(c *Command) {
		c.OnLine = func(line string) { lines = append(lines, line) }
	})
	if _, err := io.WriteString(p.Stdin, "hello\n"); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(p.Stdout)
	if err != nil || string(out) != "got hello\n" {
		t.Errorf("it said %q, %v", out, err)
	}
	<-p.Done()
	if exit := new(exec.ExitError); !errors.As(p.Err(), &exit) || exit.ExitCode() != 7 {
		t.Errorf("reason %v, want exit status 7", p.Err())
	}
	if diff := cmp.Diff([]string{"one", "two"}, lines); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// First the end of input, then SIGTERM, then SIGKILL.
func TestPipedEndsInSteps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script, says string
		least, most  time.Duration
	}{
		"at the end of input": {`echo ready; cat; echo bye`, "bye", 0, 25 * time.Second},
		"by SIGTERM":          {`trap 'echo term; exit 0' TERM; echo ready; while :; do read -r x <"$FIFO"; done`, "term", 100 * time.Millisecond, 25 * time.Second},
		"by SIGKILL":          {`trap '' TERM; echo ready; while :; do read -r x <"$FIFO"; done`, "", 200 * time.Millisecond, 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := piped(t, c.script, func(cmd *Command) { cmd.Env = append(cmd.Env, "FIFO="+fifo(t)) })
			ready := make([]byte, len("ready\n"))
			if _, err := io.ReadFull(p.Stdout, ready); err != nil {
				t.Fatal(err)
			}
			patience := 200 * time.Millisecond
			if c.least == 0 {
				patience = time.Minute
			}
			begin := time.Now()
			p.End(patience)
			if took := time.Since(begin); took < c.least || took > c.most {
				t.Errorf("the end took %v, want %v at least", took, c.least)
			}
			rest, _ := io.ReadAll(p.Stdout)
			if got := strings.TrimSpace(string(rest)); got != c.says {
				t.Errorf("it said %q, want %q", got, c.says)
			}
		})
	}
}

// What a program leaves behind when it ends by itself ends, too.
func TestPipedTakesItsGroupAlong(t *testing.T) {
	t.Parallel()
	path := fifo(t)
	p := piped(t, `sleep 1000 3>"$FIFO" & read -r x; exit 0`, func(c *Command) { c.Env = append(c.Env, "FIFO="+path) })
	held, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	// By now the background process has opened the other end.
	if _, err := io.WriteString(p.Stdin, "\n"); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	_ = held.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := held.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the background process is still there: %v", err)
	}
}

func TestPipedInheritsNothing(t *testing.T) {
	t.Parallel()
	p := piped(t, "", func(c *Command) { c.Path, c.Args, c.Env = "env", nil, []string{"ONLY=this"} })
	if out, err := io.ReadAll(p.Stdout); err != nil || string(out) != "ONLY=this\n" {
		t.Errorf("environment %q, %v", out, err)
	}
	if _, err := Start(Command{Path: filepath.Join(t.TempDir(), "absent")}); err == nil {
		t.Error("started what is not there")
	}
}
