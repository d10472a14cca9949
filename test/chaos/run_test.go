package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/e2e/harness"
)

const (
	// quiet is how long no call may fail after a scenario.
	quiet = 2 * time.Second
	// clients of each era.
	legacyClients = 16
	modernClients = 8
	// defaultRate is how many calls are made in a second, if the machine can.
	defaultRate = 1500
)

// scenario is one fault.
type scenario struct {
	name string
	// may tells which calls may fail while the fault lasts and bound after it, with
	// a clean error, or as `as` says; nil is none.
	may   func(*check.Call) bool
	as    []check.Outcome
	bound time.Duration
	// within is how long after the start of the fault calls may fail, if it is
	// less than that.
	within time.Duration
	// run breaks and heals.
	run func(w *world)
	// sees is what clients see, for the table.
	sees string
}

// row is what a scenario has shown.
type row struct {
	scenario
	calls, failed, bad int
	lasted, recovered  time.Duration
	how                string
}

// setting is a number from the environment.
func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// wait lets the load run for a while.
func wait(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// TestFaults runs all scenarios one after the other under one load, again and again
// until CHAOS_CALLS calls were made.
func TestFaults(t *testing.T) {
	if os.Getenv("CHAOS") == "" {
		t.Skip("takes minutes and a quiet machine: make chaos runs it")
	}
	w := newWorld(t)
	k := w.env.Checker
	if rate := setting("CHAOS_RATE", defaultRate); rate > 0 {
		w.env.Pause = time.Duration(legacyClients+modernClients) * time.Second / time.Duration(rate)
	}
	began := time.Now()
	w.env.Start(legacyClients, modernClients)
	rows := w.all(t, setting("CHAOS_CALLS", 0))
	w.env.Stop()
	report(t, k, rows, time.Since(began))
	if left := k.Failed(began, time.Now()); len(left) > 0 {
		for _, c := range left {
			if c.Outcome == check.Wrong {
				t.Errorf("wrong: %s", &c)
			}
		}
	}
}

// all runs every scenario that CHAOS_ONLY names, and returns a row for each.
func (w *world) all(t *testing.T, atLeast int) []*row {
	var rows []*row
	only := os.Getenv("CHAOS_ONLY")
	for round := 0; ; round++ {
		i := 0
		for _, s := range scenarios() {
			if only != "" && !strings.Contains(s.name, only) {
				continue
			}
			if round == 0 {
				rows = append(rows, &row{scenario: s})
			}
			r := rows[i]
			i++
			t.Run(strings.ReplaceAll(s.name, " ", "_"), func(t *testing.T) { w.scenario(t, r) })
		}
		if _, calls, _ := w.env.Checker.Totals(); calls >= atLeast || t.Failed() {
			return rows
		}
	}
}

// scenario runs one and checks what it did to the calls.
func (w *world) scenario(t *testing.T, r *row) {
	k := w.env.Checker
	_, before, _ := k.Totals()
	from := time.Now()
	r.run(w)
	healed := time.Now()
	wait(t, r.bound)
	over := time.Now()
	wait(t, quiet)
	end := time.Now()
	_, after, _ := k.Totals()
	failed := k.Failed(from, end)
	var excuses []check.Excuse
	if r.within > 0 && from.Add(r.within).Before(over) {
		over = from.Add(r.within)
	}
	if r.may != nil {
		excuses = append(excuses, check.Excuse{From: from, To: over, Calls: r.may, As: r.as})
	}
	bad := check.Unexcused(failed, excuses...)
	for i, c := range failed {
		if i < 5 {
			t.Logf("for example: %s", &c)
		}
	}
	for i, c := range bad {
		if i < 15 {
			t.Errorf("%v after the start, %v after the end of the fault: %s",
				c.Start.Sub(from).Round(time.Millisecond), c.Start.Sub(healed).Round(time.Millisecond), &c)
		}
	}
	if len(bad) > 0 {
		t.Errorf("%d calls failed that may not: %s", len(bad), check.Summary(bad))
	}
	r.calls += after - before
	r.failed += len(failed)
	r.bad += len(bad)
	r.lasted = max(r.lasted, healed.Sub(from))
	for _, c := range failed {
		r.recovered = max(r.recovered, c.End.Sub(healed))
	}
	r.how = check.Summary(failed)
	t.Logf("%d calls, %d failed: %s", after-before, len(failed), r.how)
}

// report prints the table and writes it to dist/chaos.txt.
func report(t *testing.T, k *check.Checker, rows []*row, took time.Duration) {
	paths, calls, slowest := k.Totals()
	var b strings.Builder
	fmt.Fprintf(&b, "%-34s %9s %7s %7s %9s %10s\n", "fault", "calls", "failed", "wrongly", "lasted", "recovered")
	failed, bad := 0, 0
	for _, r := range rows {
		fmt.Fprintf(&b, "%-34s %9d %7d %7d %9s %10s  %s\n", r.name, r.calls, r.failed, r.bad,
			r.lasted.Round(100*time.Millisecond), r.recovered.Round(10*time.Millisecond), r.how)
		failed += r.failed
		bad += r.bad
	}
	fmt.Fprintf(&b, "\n%d checked calls in %v, %d failed, %d of them wrongly; the longest took %v\n", calls, took.Round(time.Second), failed, bad, slowest.Round(time.Millisecond))
	for _, p := range []check.Path{check.Warm, check.Cold, check.Inline, check.Ferry, check.Crossing, check.Broker, check.Push} {
		fmt.Fprintf(&b, "%10d %s\n", paths[p], p)
	}
	t.Logf("\n%s", b.String())
	dir := filepath.Join(harness.Root(t), "dist")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "chaos.txt"), b.String())
}
