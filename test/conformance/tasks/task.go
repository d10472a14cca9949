package tasks

import (
	"encoding/json"
	"slices"
	"time"
)

// work is what a tool does: nothing for a while, and then this.
type work struct {
	takes   time.Duration
	result  object
	failure object // instead of a result
}

// task is work under way. What it is now follows from the clock.
type task struct {
	work
	id               string
	created, updated time.Time
	cancelled        bool
	pending          []string // what the user is still asked for
}

func (t *task) status(now time.Time) string {
	switch {
	case t.cancelled:
		return "cancelled"
	case len(t.pending) > 0:
		return "input_required"
	case now.Before(t.updated.Add(t.takes)):
		return "working"
	case t.failure != nil:
		return "failed"
	}
	return "completed"
}

// state is what tasks/get tells.
func (t *task) state(now time.Time) object {
	out := object{
		"taskId": t.id, "status": t.status(now), "ttlMs": lifetime.Milliseconds(), "pollIntervalMs": poll.Milliseconds(),
		"createdAt": t.created.UTC().Format(time.RFC3339Nano), "lastUpdatedAt": t.updated.UTC().Format(time.RFC3339Nano),
	}
	switch out["status"] {
	case "input_required":
		requests := object{}
		for _, key := range t.pending {
			requests[key] = elicitation(key)
		}
		out["inputRequests"] = requests
	case "completed":
		out["result"] = t.result
	case "failed":
		out["error"] = t.failure
	}
	return out
}

// cancel changes nothing at a task that is over.
func (t *task) cancel(now time.Time) {
	if s := t.status(now); s == "working" || s == "input_required" {
		t.cancelled, t.updated = true, now
	}
}

// update takes the answers that are asked for, and no others.
func (t *task) update(answers map[string]json.RawMessage, now time.Time) {
	if t.status(now) != "input_required" {
		return
	}
	t.pending = slices.DeleteFunc(slices.Clone(t.pending), func(key string) bool { return answers[key] != nil })
	t.updated = now
}
