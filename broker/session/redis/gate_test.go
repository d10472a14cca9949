package redis

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// However many wait, and however long that takes, they do not give up on a Redis
// that answers.
func TestGateWaitsForAsLongAsThereAreAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const patience, each, all = 300 * time.Millisecond, 200 * time.Millisecond, 100
		g := newGate(2, patience)
		done := make(chan error, all)
		for i := range all {
			go func() {
				err := g.pass(t.Context(), false, func() error {
					time.Sleep(each)
					if i%2 == 0 {
						return nil
					}
					return goredis.Nil
				})
				if errors.Is(err, goredis.Nil) {
					err = nil
				}
				done <- err
			}()
		}
		began := time.Now()
		for range all {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != all/2*each || len(g.places) != 0 {
			t.Errorf("took %v, %d places are taken", took, len(g.places))
		}
	})
}

func TestGateGivesUpOnSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const patience = 300 * time.Millisecond
		g := newGate(1, patience)
		timeout := errors.New("i/o timeout")
		end := make(chan error)
		hold := func(err error) { end <- g.pass(t.Context(), false, func() error { <-end; return err }) }
		nothing := func() error { return nil }
		go hold(timeout)
		synctest.Wait()
		began := time.Now()
		if err := g.pass(t.Context(), false, nothing); !errors.Is(err, errSilent) || time.Since(began) != patience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		// A failure is no answer, but it makes room.
		go func() {
			time.Sleep(patience / 2)
			end <- nil
		}()
		if _, err := g.enter(t.Context(), false); err != nil || g.answered.Load() != 0 {
			t.Errorf("%v, answered %d", err, g.answered.Load())
		}
		if err := <-end; !errors.Is(err, timeout) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience/3)
		defer cancel()
		if err := g.pass(ctx, false, nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("past the caller's time: %v", err)
		}
		<-g.places
		if err := g.pass(t.Context(), false, nothing); err != nil || g.answered.Load() == 0 || len(g.places) != 0 {
			t.Errorf("%v, answered %d, %d places are taken", err, g.answered.Load(), len(g.places))
		}
	})
}

// Who has a claim does not wait behind those who want one.
func TestGateLetsTheUrgentPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const each = 100 * time.Millisecond
		g := newGate(4, time.Second)
		slow := func() error { time.Sleep(each); return nil }
		var all sync.WaitGroup
		for range 300 {
			all.Go(func() { _ = g.pass(t.Context(), false, slow) })
		}
		synctest.Wait()
		began := time.Now()
		for range 2 {
			all.Go(func() {
				if err := g.pass(t.Context(), true, slow); err != nil || time.Since(began) > 3*each {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took != 300/3*each {
			t.Errorf("the others took %v", took)
		}
		if len(g.places) != 0 || len(g.reserved) != 0 {
			t.Errorf("%d and %d places are taken", len(g.places), len(g.reserved))
		}
	})
}
