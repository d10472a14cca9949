// Package backoff spaces the attempts to reach a peer that fails: each wait is
// longer than the one before, up to a bound, with jitter, so that many waiting
// callers do not come back in the same instant.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the state between attempts. Not safe for concurrent use.
type Backoff struct {
	// Min is the first wait, Max the longest; each without its jitter.
	Min, Max time.Duration

	last time.Duration
}

// Next returns the next wait: twice the one before, of which a random part up
// to a half is taken off.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(2*b.last, b.Min), b.Max)
	return Jitter(b.last)
}

// Reset makes Next begin at Min again.
func (b *Backoff) Reset() { b.last = 0 }

// Wait sleeps until the next attempt is due. It returns the context's error if
// that ends first.
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Jitter returns a random duration between d/2 and d.
func Jitter(d time.Duration) time.Duration {
	if d <= 1 {
		return d
	}
	return d - rand.N(d/2)
}

// Sleep waits for d, or less if ctx ends: then it returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
