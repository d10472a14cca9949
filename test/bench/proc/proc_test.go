package proc_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/test/bench/proc"
)

func TestTreeHoldsDescendantsAndTheirTime(t *testing.T) {
	t.Parallel()
	// The shell starts a child, uses some time itself and then waits for a line.
	cmd := exec.Command("sh", "-c", "tail -f /dev/null & i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo burnt; read x; kill $!")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	before, err := proc.Tree(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if before[0].PID != cmd.Process.Pid {
		t.Errorf("first of the tree is %d, want the root %d", before[0].PID, cmd.Process.Pid)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	after, err := proc.Tree(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != 2 {
		t.Errorf("tree %+v, want the shell and its child", after)
	}
	if spent := after[0].CPU - before[0].CPU; spent < time.Millisecond {
		t.Errorf("the shell used %v for 100000 turns", spent)
	}
	if after[0].RSS < 100<<10 {
		t.Errorf("the shell's memory is %d bytes", after[0].RSS)
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := proc.Tree(cmd.Process.Pid); err == nil {
		t.Error("a tree without root was read")
	}
}

func TestTreeAgreesWithTheProcessItself(t *testing.T) {
	t.Parallel()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	own := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	tree, err := proc.Tree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got := tree[0].CPU; got < own-20*time.Millisecond || got > own+2*time.Second {
		t.Errorf("CPU %v, getrusage says %v", got, own)
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	before := []proc.Usage{{PID: 1, Command: "gateway", CPU: 5}, {PID: 2, Command: "envoy", CPU: 7}}
	used, err := proc.Since(before, []proc.Usage{{PID: 1, Command: "gateway", CPU: 6}, {PID: 2, Command: "envoy", CPU: 17}})
	if err != nil || used["gateway"] != 1 || used["envoy"] != 10 {
		t.Errorf("used %v, %v", used, err)
	}
	if _, err := proc.Since(before, []proc.Usage{{PID: 1}, {PID: 3}}); err == nil {
		t.Error("a replaced process passed")
	}
	if _, err := proc.Since(before, before[:1]); err == nil {
		t.Error("a lost process passed")
	}
}
