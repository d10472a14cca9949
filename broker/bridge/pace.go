package bridge

import "time"

// A server that lived for steady is sound: its end starts the count anew.
const (
	steady   = 10 * time.Second
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
)

// pace keeps a server that cannot live from being started all the time. The
// first failure costs nothing; from the second in a row on, the pause doubles.
type pace struct {
	failures int
	last     time.Time // of the last failure that counts
	until    time.Time // no start before
}

// failed takes note that a connection opened at began is over at now. Of many
// that end together, or for the same reason, one counts.
func (p *pace) failed(began, now time.Time) {
	if p.failures > 0 && began.Before(p.last) {
		return
	}
	if now.Sub(began) >= steady {
		p.failures = 0
	}
	p.failures++
	p.last = now
	if p.failures > 1 {
		p.until = now.Add(min(minPause<<min(p.failures-2, 10), maxPause))
	}
}

// wait is how long no connection may be opened.
func (p *pace) wait(now time.Time) time.Duration { return p.until.Sub(now) }
