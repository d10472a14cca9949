// Package proc reads what a process and its descendants used, from Linux.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is one process at one moment.
type Usage struct {
	PID     int
	Command string
	// CPU is user and system time since the process started, of all its
	// threads, ended ones too; without that of its children.
	CPU time.Duration
	// RSS is resident memory in bytes; pages shared by processes count in each.
	RSS int64
}

// Tree samples root and all its descendants. A process that ends while it is
// read is left out.
func Tree(root int) ([]Usage, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	commands := map[int]string{}
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		command, parent, err := readStat(path)
		if err != nil {
			continue
		}
		commands[pid] = command
		children[parent] = append(children[parent], pid)
	}
	if _, ok := commands[root]; !ok {
		return nil, fmt.Errorf("no process %d", root)
	}
	var tree []Usage
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		queue = append(queue, children[pid]...)
		cpu, err := cpuTime(pid)
		if err != nil {
			continue
		}
		rss, err := resident(pid)
		if err != nil {
			continue
		}
		tree = append(tree, Usage{PID: pid, Command: commands[pid], CPU: cpu, RSS: rss})
	}
	return tree, nil
}

// Since returns what each command used between two samples of one tree. It
// fails when the processes are not the same ones, for then time is missing.
func Since(before, after []Usage) (map[string]time.Duration, error) {
	if len(before) != len(after) {
		return nil, fmt.Errorf("%d processes became %d while measured", len(before), len(after))
	}
	used := map[string]time.Duration{}
	for i := range before {
		if before[i].PID != after[i].PID {
			return nil, fmt.Errorf("process %d (%s) was replaced while measured", before[i].PID, before[i].Command)
		}
		used[before[i].Command] += after[i].CPU - before[i].CPU
	}
	return used, nil
}

// readStat returns command and parent from /proc/PID/stat: "pid (comm) state
// ppid ...", where comm may hold anything, closing brackets too.
func readStat(path string) (command string, parent int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", 0, err
	}
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return "", 0, fmt.Errorf("read %s: no command", path)
	}
	fields := bytes.Fields(data[end+1:])
	if len(fields) < 2 {
		return "", 0, fmt.Errorf("read %s: too short", path)
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return string(data[open+1 : end]), parent, err
}

// cpuTime reads the CPU clock of another process (clock_getcpuclockid(3)): its
// resolution is a nanosecond, where /proc/PID/stat counts in 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduled, &ts); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

func resident(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0, fmt.Errorf("read memory of process %d: too short", pid)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}
