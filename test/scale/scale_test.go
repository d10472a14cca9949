// Package scale measures the gateway at sizes that no other test reaches: many
// sessions at once, many open event streams, many tools, many records in Redis.
// It asserts what is promised, as one backend session for each pair or the memory
// of a stream, and prints the rest: times depend on the machine, whose load stands
// beside each figure.
//
// Sizes are set by the environment, see size. What was measured goes into
// dist/scale.txt as well.
package scale

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// size is a number of the environment, as SESSIONS=1000000, or else full, and with
// SCALE=short the other one.
func size(t testing.TB, name string, full, short int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		if isShort() {
			return short
		}
		return full
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%q: want a number above 0", name, text)
	}
	return n
}

func isShort() bool { return os.Getenv("SCALE") == "short" }

// written guards the file of figures.
var written sync.Mutex

// figure prints one line of the table: what was measured, the value, and the load
// average of the last minute, which tells how quiet the machine was.
func figure(t testing.TB, what, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf("%-62s %-34s load %s", what, fmt.Sprintf(format, args...), loadAverage())
	t.Log(line)
	written.Lock()
	defer written.Unlock()
	name := filepath.Join(harness.Root(t), "dist", "scale.txt")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(f, line); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// quantile returns the smallest time that a part q of all does not exceed.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// rounded is a time as it is printed.
func rounded(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(10 * time.Nanosecond)
}

// deciding calls f for all numbers below n, at most width at a time.
func deciding(n, width int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, width) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
