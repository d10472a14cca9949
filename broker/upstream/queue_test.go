package upstream

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

func TestQueueAdmitsInTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue{places: 2, room: 3}
		if err := q.enter(t.Context()); err != nil || !q.try() || q.try() {
			t.Fatalf("two places: %v", err)
		}
		admitted := make(chan int, 4)
		wait := func(i int, ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() {
				err := q.enter(ctx)
				if err == nil {
					admitted <- i
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		ctx, cancel := context.WithCancel(t.Context())
		wait(0, t.Context())
		leaving := wait(1, ctx)
		wait(2, t.Context())
		if err := <-wait(3, t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("a fourth in the queue: %v, want ErrBusy", err)
		}
		cancel()
		if err := <-leaving; !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves the queue: %v", err)
		}
		wait(4, t.Context()) // there is room again
		for range 5 {
			q.leave()
			synctest.Wait()
		}
		close(admitted)
		var got []int
		for i := range admitted {
			got = append(got, i)
		}
		if !slices.Equal(got, []int{0, 2, 4}) || q.inside != 0 || q.waiting.Len() != 0 {
			t.Errorf("admitted %v, %d inside, %d waiting, want 0 2 4, none and none", got, q.inside, q.waiting.Len())
		}
	})
}

func TestQueueTakesNewBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue{places: 1, room: 10}
		for range 3 {
			go func() { _ = q.enter(t.Context()) }()
		}
		synctest.Wait()
		q.resize(2, 0)
		if q.inside != 2 || q.waiting.Len() != 1 {
			t.Errorf("%d inside, %d waiting, want 2 and 1", q.inside, q.waiting.Len())
		}
		q.resize(1, 0)
		q.leave()
		if q.inside != 1 || q.waiting.Len() != 1 || q.try() || !errors.Is(q.enter(t.Context()), ErrBusy) {
			t.Errorf("%d inside, %d waiting, want 1 and 1, and no more", q.inside, q.waiting.Len())
		}
		q.leave()
		q.leave()
	})
}
