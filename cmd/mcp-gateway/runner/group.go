package runner

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// group is services that live and end together. One that ends by itself, with
// or without an error, is a failure of the group.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// failed gets the first failure.
	failed chan error
}

func newGroup() *group {
	g := &group{failed: make(chan error, 1)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// start runs f, which is to return when its context ends.
func (g *group) start(name string, f func(ctx context.Context) error) {
	g.wg.Go(func() {
		err := f(g.ctx)
		if g.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = fmt.Errorf("%s ended by itself", name)
		}
		select {
		case g.failed <- err:
		default:
		}
	})
}

// stop ends all and waits for them, though not longer than patience. It reports
// whether they ended.
func (g *group) stop(patience time.Duration) bool {
	g.cancel()
	done := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(done)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
