package legacy

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(100) // a share is 25
		var mu sync.Mutex
		var order []string
		await := func(name string, n int64) context.CancelFunc {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				if r.await(ctx, name, n) {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, name)
				}
			}()
			synctest.Wait()
			return cancel
		}
		want := func(what string, names ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(order)
			if !slices.Equal(order, names) {
				t.Fatalf("%s: %v have room, want %v", what, order, names)
			}
			order = nil
		}
		for _, name := range []string{"a", "b", "c"} {
			await(name, 20)
		}
		want("at once", "a", "b", "c")
		if r.take("a", 6) || !r.take("", 30) || r.take("", 11) {
			t.Error("a share, or the whole, is not kept to")
		}
		await("a", 6)
		leave := await("d", 20)
		await("e", 5)
		await("f", 5)
		want("beyond a share, and behind one that needs more")
		leave()
		want("once that one has left", "e", "f")
		await("g", 10)
		r.give("a", 20)
		want("once there is room", "a", "g")
		for name, n := range map[string]int64{"a": 6, "b": 20, "c": 20, "e": 5, "f": 5, "g": 10, "": 30} {
			r.give(name, n)
		}
		if r.free != 100 || len(r.of) != 0 || len(r.queue) != 0 {
			t.Errorf("in the end: %d free, %v, %d wait", r.free, r.of, len(r.queue))
		}
	})
}
