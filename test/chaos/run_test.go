package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/chaos/server"
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
}

// row is what a scenario has shown.
type row struct {
	scenario
	calls, failed, bad int
	stalled            int // failed as the machine stood still
	lasted, recovered  time.Duration
	how                string
	all                []check.Call // that failed
}

// noticed is how long after a fault a change of a server's list may go unnoticed:
// the broker looks at a server that failed at growing intervals.
const noticed = 45 * time.Second

// unnoticed is changes of a list that may come late for longer than any other call
// may fail: those at a server that calls may fail at.
func (s *scenario) unnoticed(c *check.Call) bool {
	return c.Kind == server.ToolChange && s.may(&check.Call{Path: check.Cold, Server: c.Server, Envoy: c.Envoy, Outcome: check.Clean})
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
	w := newWorld(t, "")
	w.load(t, scenarios(), setting("CHAOS_CALLS", 0))
}

const failsOver = "redis fails over"

// TestFailover is the one of a Redis with a replica, which a Sentinel puts in the
// place of the first.
func TestFailover(t *testing.T) {
	if os.Getenv("CHAOS") == "" {
		t.Skip("takes minutes and a quiet machine: make chaos runs it")
	}
	if only := os.Getenv("CHAOS_ONLY"); !strings.Contains(failsOver, only) {
		t.Skip("not among CHAOS_ONLY")
	}
	master, _, sentinel := redistest.StartSentinel(t)
	w := newWorld(t, fmt.Sprintf("redis://%s/0?master_name=%s", sentinel.Addr(), redistest.Master))
	w.load(t, []scenario{{
		// What was written in the last instant may not have reached the replica.
		name: failsOver, may: lost, as: late, bound: 5 * time.Second,
		run: func(w *world) {
			master.Kill()
			wait(w.t, short)
		},
	}}, 0)
}

const nodeFails = "redis cluster node fails"

// TestClusterNodeFails is the one of a Redis Cluster of which a node is lost, and
// replaced by its replica.
func TestClusterNodeFails(t *testing.T) {
	if os.Getenv("CHAOS") == "" {
		t.Skip("takes minutes and a quiet machine: make chaos runs it")
	}
	if only := os.Getenv("CHAOS_ONLY"); !strings.Contains(nodeFails, only) {
		t.Skip("not among CHAOS_ONLY")
	}
	nodes := redistest.StartClusterWithReplica(t)
	w := newWorld(t, fmt.Sprintf("redis://%s?addr=%s&addr=%s", nodes[1].Addr(), nodes[0].Addr(), nodes[2].Addr()))
	w.load(t, []scenario{{
		name: nodeFails, may: lost, as: late, bound: 8 * time.Second,
		run: func(w *world) {
			nodes[0].Kill()
			wait(w.t, long)
		},
	}}, 0)
}

// load runs scenarios under load until at least so many calls were made, and
// reports.
func (w *world) load(t *testing.T, scenarios []scenario, atLeast int) {
	k := w.env.Checker
	if rate := setting("CHAOS_RATE", defaultRate); rate > 0 {
		w.env.Pause = time.Duration(legacyClients+modernClients) * time.Second / time.Duration(rate)
	}
	began := time.Now()
	w.stalls = watchStalls(t, w.direct)
	w.env.Start(legacyClients, modernClients)
	wait(t, short) // until the sessions are warm
	rows := w.all(t, scenarios, atLeast)
	w.env.Stop()
	report(t, k, rows, time.Since(began), w.stalls)
	for _, c := range k.Failed(began, time.Now()) {
		if c.Outcome == check.Wrong {
			t.Errorf("wrong: %s", &c)
		}
	}
}

// all runs every scenario that CHAOS_ONLY names, and returns a row for each.
func (w *world) all(t *testing.T, scenarios []scenario, atLeast int) []*row {
	var rows []*row
	only := os.Getenv("CHAOS_ONLY")
	for round := 0; ; round++ {
		i := 0
		for _, s := range scenarios {
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
		if _, calls, _ := w.env.Checker.Totals(); calls >= atLeast {
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
	if r.within > 0 && from.Add(r.within).Before(over) {
		over = from.Add(r.within)
	}
	// They stay: a call may outlast its scenario.
	if r.may != nil {
		w.excuses = append(w.excuses,
			check.Excuse{From: from, To: over, Calls: r.may, As: r.as},
			check.Excuse{From: from, To: healed.Add(noticed), Calls: r.unnoticed, As: late})
	}
	if r.within > 0 {
		w.excuses = append(w.excuses, check.Excuse{From: from, To: end, Calls: push, As: r.as})
	}
	bad := check.Unexcused(failed, w.excuses...)
	r.stalled += len(bad)
	bad = check.Unexcused(bad, w.stalls.excuses()...)
	r.stalled -= len(bad)
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
	r.all = append(r.all, failed...)
	r.how = check.Summary(r.all)
	t.Logf("%d calls, %d failed: %s", after-before, len(failed), check.Summary(failed))
}

// report prints the table and writes it to dist/chaos.txt.
func report(t *testing.T, k *check.Checker, rows []*row, took time.Duration, still *stalls) {
	paths, calls, slowest := k.Totals()
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %9s %7s %7s %8s %10s\n", "fault", "calls", "failed", "wrongly", "lasted", "recovered")
	failed, bad, stalled := 0, 0, 0
	for _, r := range rows {
		fmt.Fprintf(&b, "%-28s %9d %7d %7d %8s %10s  %s\n", r.name, r.calls, r.failed, r.bad,
			r.lasted.Round(100*time.Millisecond), r.recovered.Round(10*time.Millisecond), r.how)
		failed += r.failed
		bad += r.bad
		stalled += r.stalled
	}
	wrong := 0
	for _, c := range k.Failed(time.Time{}, time.Now()) {
		if c.Outcome == check.Wrong {
			wrong++
		}
	}
	fmt.Fprintf(&b, "\n%d checked calls in %v: %d answers of a wrong server or session, or twice, or to another call; %d calls failed, %d of them wrongly;\n"+
		"the longest took %v. The machine stood still %v, which cost %d calls more\n",
		calls, took.Round(time.Second), wrong, failed, bad, slowest.Round(time.Millisecond), still, stalled)
	for _, p := range []check.Path{check.Warm, check.Cold, check.Inline, check.Ferry, check.Crossing, check.Broker, check.Push} {
		fmt.Fprintf(&b, "%10d %s\n", paths[p], p)
	}
	t.Logf("\n%s", b.String())
	dir := filepath.Join(harness.Root(t), "dist")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "chaos.txt")
	before, err := os.ReadFile(file) // of another test
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	write(t, file, string(before)+b.String()+"\n")
}
