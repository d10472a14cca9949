package backoff_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/backoff"
)

func TestNextDoublesUpToMaxWithJitter(t *testing.T) {
	t.Parallel()
	for range 100 {
		b := backoff.Backoff{Min: time.Second, Max: 5 * time.Second}
		for _, bound := range []time.Duration{1, 2, 4, 5, 5} {
			bound *= time.Second
			if got := b.Next(); got < bound/2 || got > bound {
				t.Fatalf("Next() = %v, want %v to %v", got, bound/2, bound)
			}
		}
		b.Reset()
		if got := b.Next(); got > time.Second {
			t.Fatalf("Next() after Reset = %v, want at most 1s", got)
		}
	}
}

func TestJitterSpreads(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 50 {
		seen[backoff.Jitter(time.Minute)] = true
	}
	if len(seen) < 2 {
		t.Error("50 jittered durations are all equal")
	}
	if got := backoff.Jitter(0); got != 0 {
		t.Errorf("Jitter(0) = %v", got)
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := backoff.Backoff{Min: time.Minute, Max: time.Minute}
		began := time.Now()
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 30*time.Second || took > time.Minute {
			t.Errorf("Wait took %v, want 30s to 1m", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began = time.Now()
		if err := b.Wait(ctx); err != context.Canceled {
			t.Errorf("Wait = %v, want context.Canceled", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("Wait took %v after a cancel at 1s", took)
		}
	})
}
