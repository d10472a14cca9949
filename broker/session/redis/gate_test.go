package redis

import (
	"context"
	"errors"
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
				err := g.enter(t.Context())
				if err == nil {
					time.Sleep(each)
					answer := error(goredis.Nil)
					if i%2 == 0 {
						answer = nil
					}
					g.leave(answer)
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
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := g.enter(t.Context()); !errors.Is(err, errSilent) || time.Since(began) != patience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		// A failure is no answer, but it makes room.
		go func() {
			time.Sleep(patience / 2)
			g.leave(errors.New("i/o timeout"))
		}()
		if err := g.enter(t.Context()); err != nil || g.answered.Load() != 0 {
			t.Errorf("%v, answered %d", err, g.answered.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience/3)
		defer cancel()
		if err := g.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("past the caller's time: %v", err)
		}
		g.leave(nil)
		if len(g.places) != 0 {
			t.Error("a place is taken")
		}
	})
}
