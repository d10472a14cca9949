// Package report holds what a benchmark measured and writes it down: JSON with
// every round, Markdown with one figure per question.
package report

import (
	"encoding/json"
	"io"
	"slices"
	"time"
)

// Report is one run.
type Report struct {
	Machine  Machine   `json:"machine"`
	Settings Settings  `json:"settings"`
	Calls    []Cell    `json:"calls"`
	Lists    []Cell    `json:"lists,omitempty"`
	Streams  []Stream  `json:"streams,omitempty"`
	Finished time.Time `json:"finished"`
}

// Machine is where the run took place.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Envoy  string `json:"envoy"`
	// Load is the load average of one minute before the run.
	Load float64 `json:"load"`
}

// Settings are the flags that shape the figures.
type Settings struct {
	Rounds   int           `json:"rounds"`
	Duration time.Duration `json:"duration"`
	// RateShare is the fixed rate as a share of what plain Envoy served at most.
	RateShare float64 `json:"rateShare"`
	// StandIn says that test/golanghost was in the place of contrib's filter for Go.
	StandIn bool `json:"standIn,omitempty"`
}

// Cell is one load on all targets.
type Cell struct {
	// Size of the arguments in bytes; number of tools for a list.
	Size        int `json:"size"`
	Connections int `json:"connections"`
	// Rate of Row.Fixed in calls per second; 0 without.
	Rate float64 `json:"rate,omitempty"`
	Rows []Row   `json:"rows"`
}

// Row is one target in a cell.
type Row struct {
	Target string `json:"target"`
	// Closed are rounds in a closed loop, Fixed at the cell's rate.
	Closed []Round `json:"closed,omitempty"`
	Fixed  []Round `json:"fixed,omitempty"`
	// RSS is the most resident memory of all processes of the target together
	// after a round, in bytes.
	RSS int64 `json:"rss,omitempty"`
	// Error says why there is no more to see.
	Error string `json:"error,omitempty"`
}

// Round is one measurement.
type Round struct {
	Calls   int           `json:"calls"`
	Elapsed time.Duration `json:"elapsed"`
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
	// CPU of the target's processes by command, user and system, in
	// nanoseconds. Nothing is subtracted.
	CPU map[string]time.Duration `json:"cpu,omitempty"`
}

// Stream is how server-sent events come through a target.
type Stream struct {
	Target string        `json:"target"`
	Rounds []StreamRound `json:"rounds,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// StreamRound is one measurement of events.
type StreamRound struct {
	Events int `json:"events"`
	// First is the median time from a request to its first event.
	First time.Duration `json:"first"`
	// TransitP50 and TransitP99 are the time of an event between the server's
	// write and the client's read.
	TransitP50 time.Duration `json:"transitP50"`
	TransitP99 time.Duration `json:"transitP99"`
}

func (r StreamRound) first() time.Duration      { return r.First }
func (r StreamRound) transitP50() time.Duration { return r.TransitP50 }
func (r StreamRound) transitP99() time.Duration { return r.TransitP99 }

func (r *Report) stream(target string) *Stream {
	for i := range r.Streams {
		if s := &r.Streams[i]; s.Target == target && s.Error == "" && len(s.Rounds) > 0 {
			return s
		}
	}
	return nil
}

// CPUPerCall is the least CPU per call of all rounds, which is the one that the
// rest of the machine disturbed least. With a command it is that of its
// processes alone. 0 when there is none.
func CPUPerCall(rounds []Round, command string) time.Duration {
	var least time.Duration
	for _, r := range rounds {
		var sum time.Duration
		for name, used := range r.CPU {
			if command == "" || name == command {
				sum += used
			}
		}
		if per := sum / time.Duration(max(r.Calls, 1)); least == 0 || per < least {
			least = per
		}
	}
	return least
}

// Median is the median over the rounds of one of their figures, the lower one
// of two in the middle.
func Median[R Round | StreamRound, T float64 | time.Duration](rounds []R, figure func(R) T) T {
	if len(rounds) == 0 {
		return 0
	}
	values := make([]T, 0, len(rounds))
	for _, r := range rounds {
		values = append(values, figure(r))
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// PerSecond is the rate of a round.
func PerSecond(r Round) float64 { return float64(r.Calls) / r.Elapsed.Seconds() }

func p50(r Round) time.Duration { return r.P50 }
func p99(r Round) time.Duration { return r.P99 }

// Row returns the row of a target, nil when it was not measured or failed.
func (c *Cell) Row(target string) *Row {
	for i := range c.Rows {
		if c.Rows[i].Target == target && c.Rows[i].Error == "" {
			return &c.Rows[i]
		}
	}
	return nil
}

// Failed reports whether any target failed anywhere.
func (r *Report) Failed() bool {
	failed := func(c Cell) bool {
		return slices.ContainsFunc(c.Rows, func(row Row) bool { return row.Error != "" })
	}
	return slices.ContainsFunc(r.Calls, failed) || slices.ContainsFunc(r.Lists, failed) ||
		slices.ContainsFunc(r.Streams, func(s Stream) bool { return s.Error != "" })
}

// WriteJSON writes the whole report.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
