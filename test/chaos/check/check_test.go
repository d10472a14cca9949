package check_test

import (
	"testing"
	"time"

	"mcp-gateway/test/chaos/check"
)

// A session is one owner's alone, and an owner's only one at a run of a server.
func TestSessionsAreTheirOwners(t *testing.T) {
	t.Parallel()
	k := check.New()
	for _, tt := range []struct {
		owner   string
		only    bool
		run     string
		session string
		wrong   bool
	}{
		{"client 1", true, "run 1", "a", false},
		{"client 1", true, "run 1", "a", false},
		{"client 2", true, "run 1", "a", true},
		{"client 1", true, "run 1", "b", true},
		{"client 1", true, "run 2", "c", false},
		{"caller 1", false, "run 1", "d", false},
		{"caller 1", false, "run 1", "e", false},
		{"caller 2", false, "run 1", "d", true},
		{"client 3", true, "run 1", "e", true},
	} {
		if got := k.Session(tt.owner, tt.only, "ann", tt.run, tt.session); (got != "") != tt.wrong {
			t.Errorf("%+v: %q", tt, got)
		}
	}
	if k.Again("ann", "run 1", 0) != 0 || k.Again("ann", "run 1", 2) != 2 || k.Again("ann", "run 1", 2) != 0 || k.Again("ann", "run 1", 1) != 0 {
		t.Error("calls that came twice are not counted once each")
	}
}

// An excuse is for its calls, its time and its outcomes, and never for a wrong
// answer.
func TestExcuses(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	e := check.Excuse{From: at(10), To: at(20), Calls: func(c *check.Call) bool { return c.Server == "cid" }, As: []check.Outcome{check.Late}}
	for _, tt := range []struct {
		call    check.Call
		excused bool
	}{
		{check.Call{Server: "cid", Outcome: check.Clean, Start: at(12), End: at(13)}, true},
		{check.Call{Server: "cid", Outcome: check.Clean, Start: at(5), End: at(10)}, true},   // in flight when it began
		{check.Call{Server: "cid", Outcome: check.Clean, Start: at(19), End: at(40)}, true},  // and when it ended
		{check.Call{Server: "cid", Outcome: check.Clean, Start: at(5), End: at(9)}, false},   // before
		{check.Call{Server: "cid", Outcome: check.Clean, Start: at(20), End: at(21)}, false}, // after
		{check.Call{Server: "ann", Outcome: check.Clean, Start: at(12), End: at(13)}, false}, // another server's
		{check.Call{Server: "cid", Outcome: check.Late, Start: at(12), End: at(13)}, true},
		{check.Call{Server: "cid", Outcome: check.Hang, Start: at(12), End: at(13)}, false},
		{check.Call{Server: "cid", Outcome: check.Empty, Start: at(12), End: at(13)}, false},
		{check.Call{Server: "cid", Outcome: check.Wrong, Start: at(12), End: at(13)}, false},
	} {
		left := check.Unexcused([]check.Call{tt.call}, check.Excuse{Calls: func(*check.Call) bool { return true }}, e)
		if (len(left) == 0) != tt.excused {
			t.Errorf("%+v: excused %t", tt.call, !tt.excused)
		}
	}
	wide := check.Excuse{To: at(100), Calls: func(*check.Call) bool { return true }, As: []check.Outcome{check.Wrong}}
	if len(check.Unexcused([]check.Call{{Outcome: check.Wrong, Start: at(1), End: at(2)}}, wide)) != 1 {
		t.Error("a wrong answer was excused")
	}
}
