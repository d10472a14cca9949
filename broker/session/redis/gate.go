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
	// places hold a token for each command under way, and reserved for those of
	// who has a claim: behind thousands of others it would end before its outcome is
	// recorded, and somebody else would open a second session.
	places, reserved chan struct{}
	patience         time.Duration
	answered         atomic.Int64 // Unix nanoseconds of the last answer
}

func newGate(places int, patience time.Duration) *gate {
	g := &gate{patience: patience}
	if reserved := places / 4; reserved > 0 {
		g.reserved = make(chan struct{}, reserved)
		places -= reserved
	}
	g.places = make(chan struct{}, max(1, places))
	return g
}

// pass has f ask Redis when its turn has come, before others if it is urgent. The
// error is errSilent, that of ctx, or of f.
func (g *gate) pass(ctx context.Context, urgent bool, f func() error) error {
	in, err := g.enter(ctx, urgent)
	if err != nil {
		return err
	}
	defer func() { <-in }()
	err = f()
	// An error that Redis has answered with is an answer.
	if err == nil || errors.As(err, new(goredis.Error)) {
		g.answered.Store(time.Now().UnixNano())
	}
	return err
}

// enter waits for a place. What it returns holds the token.
func (g *gate) enter(ctx context.Context, urgent bool) (chan struct{}, error) {
	var reserved chan struct{} // nil has no place
	if urgent {
		reserved = g.reserved
	}
	select {
	case g.places <- struct{}{}:
		return g.places, nil
	case reserved <- struct{}{}:
		return reserved, nil
	default:
	}
	began := time.Now()
	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	for {
		select {
		case g.places <- struct{}{}:
			return g.places, nil
		case reserved <- struct{}{}:
			return reserved, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
		last := time.Unix(0, g.answered.Load())
		if last.Before(began) {
			last = began
		}
		left := g.patience - time.Since(last)
		if left <= 0 {
			return nil, errSilent
		}
		timer.Reset(left)
	}
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
