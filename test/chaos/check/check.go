// Package check judges the calls of the fault suite. It knows for each call which
// server and which session must have answered, and which calls may fail: those that
// a fault excuses, while it lasts and a stated time after, and with a clean error
// only.
package check

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Path is the way that a call takes, so what it needs.
type Path string

// Paths.
const (
	// Warm is from Envoy to the server, in a session that this Envoy knows.
	Warm Path = "warm"
	// Cold is the first call of a session to a server at this Envoy, or after the
	// server has lost its sessions: Envoy asks the broker.
	Cold Path = "cold"
	// Inline is from Envoy to the server, in the stateless revision.
	Inline Path = "inline"
	// Ferry is of a stateless client to a server with sessions, Crossing the other
	// way round; the broker carries both.
	Ferry    Path = "ferry"
	Crossing Path = "crossing"
	// Broker is what the broker answers itself.
	Broker Path = "broker"
	// Push is a call that is about the session's event stream: the server asks or
	// tells the client there.
	Push Path = "push"
)

// Outcome is how a call ended.
type Outcome string

// Outcomes.
const (
	// OK is the right answer.
	OK Outcome = "ok"
	// Clean is a JSON-RPC error with the call's id and a message.
	Clean Outcome = "clean error"
	// Refused is no connection to Envoy, Reset one that ended before its answer
	// began.
	Refused Outcome = "refused"
	Reset   Outcome = "reset"
	// Broken is an answer that began and did not end; Hang none within the
	// deadline; Empty no body or no message; Late one that came without what it
	// was to bring.
	Broken Outcome = "broken off"
	Hang   Outcome = "hang"
	Empty  Outcome = "empty"
	Late   Outcome = "late"
	// Wrong is an answer that this call must never get.
	Wrong Outcome = "WRONG"
)

// Call is one call and how it ended.
type Call struct {
	Kind   string // what it was for, as "echo"
	Path   Path
	Server string // that must answer; empty for the gateway itself
	Envoy  string // that it was sent to
	Start  time.Time
	End    time.Time

	Outcome Outcome
	Status  int // of HTTP
	Code    int // of the JSON-RPC error
	Detail  string
}

func (c *Call) String() string {
	return fmt.Sprintf("%s %s server=%s via %s after %v: %s, status %d, code %d: %s",
		c.Path, c.Kind, c.Server, c.Envoy, c.End.Sub(c.Start).Round(time.Millisecond), c.Outcome, c.Status, c.Code, c.Detail)
}

// needs reports whether the call takes part of the given kind.
func (p Path) needs(parts ...Path) bool { return slices.Contains(parts, p) }

// NeedsBroker reports whether a call has to reach a broker.
func (c *Call) NeedsBroker() bool { return c.Path.needs(Cold, Ferry, Crossing, Broker, Push) }

// Checker counts calls and keeps those that failed.
type Checker struct {
	epoch time.Time

	mu     sync.Mutex
	counts map[Path]int
	total  int
	slow   time.Duration
	failed []Call
	owners map[string]string // backend session to its owner
	homes  map[string]string // owner, server and run to the backend session
	again  map[string]int64  // server and run to its double calls
}

// New is a checker that has seen nothing.
func New() *Checker {
	return &Checker{
		epoch: time.Now(), counts: map[Path]int{}, owners: map[string]string{},
		homes: map[string]string{}, again: map[string]int64{},
	}
}

// Add takes a call that has ended.
func (k *Checker) Add(c Call) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.total++
	k.counts[c.Path]++
	k.slow = max(k.slow, c.End.Sub(c.Start))
	if c.Outcome != OK {
		k.failed = append(k.failed, c)
	}
}

// Session checks the backend session that a call of owner was answered in: it is
// nobody else's, and if the owner is a client session it is the only one that this
// run of the server has seen of it. It returns what is wrong, or nothing.
func (k *Checker) Session(owner string, only bool, server, run, session string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if was, ok := k.owners[session]; ok && was != owner {
		return fmt.Sprintf("a backend session of %s answered a call of %s", was, owner)
	}
	k.owners[session] = owner
	if !only {
		return ""
	}
	home := owner + " " + server + " " + run
	if was, ok := k.homes[home]; ok && was != session {
		return fmt.Sprintf("two backend sessions of one client session at one run of %s", server)
	}
	k.homes[home] = session
	return ""
}

// Again notes how many calls a run of a server has got more than once, and
// returns what is new.
func (k *Checker) Again(server, run string, n int64) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	more := n - k.again[server+" "+run]
	if more > 0 {
		k.again[server+" "+run] = n
	}
	return max(more, 0)
}

// Totals are the calls so far by path, all of them, and the longest.
func (k *Checker) Totals() (byPath map[Path]int, all int, slowest time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	byPath = map[Path]int{}
	for p, n := range k.counts {
		byPath[p] = n
	}
	return byPath, k.total, k.slow
}

// Failed are the calls that failed and ended between two times.
func (k *Checker) Failed(from, to time.Time) []Call {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []Call
	for _, c := range k.failed {
		if !c.End.Before(from) && c.End.Before(to) {
			found = append(found, c)
		}
	}
	return found
}

// Excuse says which calls may fail how, if they ran between From and To.
type Excuse struct {
	From, To time.Time
	Calls    func(*Call) bool
	// As are the outcomes besides Clean that are excused.
	As []Outcome
}

// Holds reports whether the excuse is one for a call.
func (e *Excuse) Holds(c *Call) bool {
	return c.Outcome != Wrong && !c.End.Before(e.From) && c.Start.Before(e.To) &&
		(c.Outcome == Clean || slices.Contains(e.As, c.Outcome)) && e.Calls(c)
}

// Unexcused are the calls that no excuse holds for.
func Unexcused(calls []Call, excuses ...Excuse) []Call {
	return slices.DeleteFunc(slices.Clone(calls), func(c Call) bool {
		return slices.ContainsFunc(excuses, func(e Excuse) bool { return e.Holds(&c) })
	})
}

// Summary counts calls by how and where they failed, most first.
func Summary(calls []Call) string {
	counts := map[string]int{}
	for _, c := range calls {
		what := string(c.Path) + " " + string(c.Outcome)
		if c.Outcome == Clean {
			what += fmt.Sprintf(" %d/%d", c.Status, c.Code)
		}
		counts[what]++
	}
	keys := make([]string, 0, len(counts))
	for what := range counts {
		keys = append(keys, what)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	for i, what := range keys {
		keys[i] = fmt.Sprintf("%d %s", counts[what], what)
	}
	return strings.Join(keys, ", ")
}
