package redis

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// errSilent says that Redis has given no answer for so long that it is of no use
// to wait for one's turn to ask.
var errSilent = errors.New("no answer for a while, and others wait already")

// gate has commands wait for their turn before their time begins. When very many
// come at once, a Redis that answers each in good time could not answer the last
// within the time that one has: it would seem to be away. As long as there are
// answers, there is no hurry; without, nobody waits longer than patience.
type gate struct {
	places   chan struct{} // holds a token for each command under way
	patience time.Duration
	answered atomic.Int64 // Unix nanoseconds of the last answer
}

func newGate(places int, patience time.Duration) *gate {
	return &gate{places: make(chan struct{}, max(1, places)), patience: patience}
}

// enter waits for a place, to be given back by leave. The error is errSilent, or
// that of ctx.
func (g *gate) enter(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
		return nil
	default:
	}
	began := time.Now()
	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	for {
		select {
		case g.places <- struct{}{}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		last := time.Unix(0, g.answered.Load())
		if last.Before(began) {
			last = began
		}
		left := g.patience - time.Since(last)
		if left <= 0 {
			return errSilent
		}
		timer.Reset(left)
	}
}

// leave gives the place back. An error that Redis has answered with is an answer.
func (g *gate) leave(err error) {
	if err == nil || errors.As(err, new(goredis.Error)) {
		g.answered.Store(time.Now().UnixNano())
	}
	<-g.places
}

// poolSize is how many commands the client has connections for, at each node.
func poolSize(c goredis.UniversalClient) int {
	switch c := c.(type) {
	case *goredis.Client:
		return c.Options().PoolSize
	case *goredis.ClusterClient:
		return c.Options().PoolSize
	}
	return 1
}
