package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// firstPause and longestPause pace the look at a claim that another replica
	// holds: short at first, since most servers initialize within milliseconds.
	firstPause   = 4 * time.Millisecond
	longestPause = 128 * time.Millisecond
	// settleTimeout bounds the call that records or gives back a claim; it runs
	// to its end even if every caller has left. A store bounds its answers itself,
	// and tighter: what is given up here is a backend session that was opened.
	settleTimeout = 20 * time.Second
	// claimLease is how long a replica that dies while it opens a session keeps the
	// others from doing so. One that lives renews its claim long before.
	claimLease = 5 * time.Second
	renewEvery = claimLease / 4
)

// Opener finds or opens backend sessions: it runs the claim protocol of a
// Store, so that any number of callers in any number of replicas open one
// backend session per (session, server), and none is left without an owner.
// Callers in one process share one attempt.
type Opener struct {
	store Store
	lease time.Duration

	mu      sync.Mutex
	flights map[flightKey]*flight
}

// NewOpener returns an Opener on store. The lease is how long one attempt to
// open may take.
func NewOpener(store Store, lease time.Duration) *Opener {
	return &Opener{store: store, lease: lease, flights: make(map[flightKey]*flight)}
}

// Request asks for the backend session of a client session at a server.
type Request struct {
	ID     ID
	Server string
	// Stale is the backend session that the server no longer knows, to be
	// replaced; empty for none.
	Stale string
	// Open opens a backend session. Its context ends with the lease, or when the
	// last caller has left. If it fails it leaves nothing open at the server.
	// Callers that share an attempt share the Open of the first of them.
	Open func(context.Context) (Backend, error)
	// Enter takes a place among those who open a session at the server, to be given
	// back by leave; false if none is free now and the caller does not want to
	// wait. Nobody waits with a claim in hand, so that the lease is for Open alone.
	// Nil where there are places for all.
	Enter func(ctx context.Context, wait bool) (leave func(), ok bool, err error)
	// Opened is called with what Open returned once that is recorded, before any
	// caller gets it; nil for nothing to do. What is news to the store from then
	// on finds the backend session there.
	Opened func(context.Context, Backend)
	// Discard takes a backend session that Open made and nobody will use, to end
	// it at the server. It must not block: callers wait for it.
	Discard func(Backend)
}

type flightKey struct {
	id     ID
	server string
}

// flight is one attempt that callers wait for.
type flight struct {
	cancel  context.CancelFunc
	waiters int           // under Opener.mu
	done    chan struct{} // closed after backend and err are set
	backend Backend
	err     error
}

// Open returns the backend session, opened if need be. ErrNotFound if the
// client session is not or no longer there, ErrUnavailable as of the store, the
// error of Request.Open as it is. A failed attempt is not repeated here.
func (o *Opener) Open(ctx context.Context, r Request) (Backend, error) {
	if r.Stale != "" {
		if err := o.store.Drop(ctx, r.ID, r.Server, r.Stale); err != nil {
			return Backend{}, err
		}
	}
	b, joined, err := o.share(ctx, r)
	if err == nil && joined && r.Stale != "" && b.ID == r.Stale {
		// The attempt that we joined had seen the store before our Drop. The
		// next one starts after it.
		b, _, err = o.share(ctx, r)
	}
	return b, err
}

// share waits for the attempt under way, or starts one.
func (o *Opener) share(ctx context.Context, r Request) (b Backend, joined bool, err error) {
	key := flightKey{r.ID, r.Server}
	o.mu.Lock()
	f, joined := o.flights[key]
	if !joined {
		// The first caller may leave before the others do.
		attempt, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{cancel: cancel, done: make(chan struct{})}
		o.flights[key] = f
		go func() {
			defer cancel()
			f.backend, f.err = o.run(attempt, r)
			o.forget(key, f)
			close(f.done)
		}()
	}
	f.waiters++
	o.mu.Unlock()

	select {
	case <-f.done:
		return f.backend, joined, f.err
	case <-ctx.Done():
		o.leave(key, f)
		return Backend{}, joined, fmt.Errorf("wait for the backend session at %s: %w", r.Server, context.Cause(ctx))
	}
}

// leave ends the attempt with its last waiter.
func (o *Opener) leave(key flightKey, f *flight) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.waiters--
	if f.waiters == 0 {
		f.cancel()
		o.forgetLocked(key, f)
	}
}

func (o *Opener) forget(key flightKey, f *flight) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetLocked(key, f)
}

func (o *Opener) forgetLocked(key flightKey, f *flight) {
	if o.flights[key] == f { // else a newer attempt has the place
		delete(o.flights, key)
	}
}

// run goes through the claim protocol to its end.
func (o *Opener) run(ctx context.Context, r Request) (Backend, error) {
	pause := firstPause
	place := place{enter: r.Enter}
	defer place.leave()
	for {
		deadline := time.Now().Add(o.lease)
		c, err := o.store.Claim(ctx, r.ID, r.Server, min(claimLease, o.lease))
		if err != nil {
			return Backend{}, err
		}
		switch c.State {
		case Have:
			return c.Backend, nil
		case Wait:
			place.leave()
			if err := sleep(ctx, min(c.Wait, pause)); err != nil {
				return Backend{}, err
			}
			pause = min(2*pause, longestPause)
		case Claimed:
			if ok, err := place.take(ctx, false); err != nil || !ok {
				o.abandon(ctx, r, c.Token)
				if err == nil {
					_, err = place.take(ctx, true)
				}
				if err != nil {
					return Backend{}, err
				}
				continue
			}
			b, won, err := o.settle(ctx, r, c.Token, deadline, &place)
			if err != nil || won {
				return b, err
			}
		default:
			return Backend{}, ErrNotFound
		}
	}
}

// place is one among those who open a session at a server, or none yet.
type place struct {
	enter func(ctx context.Context, wait bool) (leave func(), ok bool, err error)
	left  func() // nil for none
}

// take takes a place, if there is none in hand.
func (p *place) take(ctx context.Context, wait bool) (ok bool, err error) {
	if p.enter == nil || p.left != nil {
		return true, nil
	}
	leave, ok, err := p.enter(ctx, wait)
	if ok && err == nil {
		p.left = leave
	}
	return ok, err
}

func (p *place) leave() {
	if p.left != nil {
		p.left()
		p.left = nil
	}
}

// abandon gives a claim back. If that fails, the lease frees it.
func (o *Opener) abandon(ctx context.Context, r Request, t Token) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	_ = o.store.Abandon(ctx, r.ID, r.Server, t)
}

// settle opens a backend session under a claim and records it. Won is false if
// somebody else's counts, or the client session ended meanwhile. It leaves its
// place.
func (o *Opener) settle(ctx context.Context, r Request, t Token, deadline time.Time, in *place) (b Backend, won bool, err error) {
	opening, lost := context.WithCancel(ctx)
	defer lost()
	// The claim is kept until the outcome is recorded: the store may take its time
	// for that, too, and whoever has the claim then opens another one.
	keeping, release := context.WithCancel(context.WithoutCancel(ctx))
	var kept sync.WaitGroup
	kept.Go(func() { o.keep(keeping, r, t, lost) })
	released := func() { release(); kept.Wait() }
	defer released()
	b, err = openWithin(opening, deadline, r)
	in.leave()
	if err != nil {
		released()           // or it is kept behind its end
		o.abandon(ctx, r, t) // the caller needs to know why there is no session
		return Backend{}, false, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	won, err = o.store.Commit(ctx, r.ID, r.Server, t, b)
	released()
	if err != nil || !won {
		// After an error the store may name b nevertheless. Its next user gets
		// 404 from the server and replaces it; keeping b could leave it without
		// an owner for good.
		r.Discard(b)
		if err != nil {
			o.abandon(ctx, r, t) // others would wait as long as the lease
		}
		return Backend{}, false, err
	}
	if r.Opened != nil {
		r.Opened(ctx, b)
	}
	return b, true, nil
}

// keep renews a claim until ctx ends. Once it is somebody else's, there is no use in
// going on: it calls lost. A store that does not answer may yet have it.
func (o *Opener) keep(ctx context.Context, r Request, t Token, lost func()) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if ok, err := o.store.Renew(ctx, r.ID, r.Server, t, claimLease); err == nil && !ok {
			lost()
			return
		}
	}
}

// openWithin calls r.Open and turns a panic into an error: the attempt has a
// goroutine of its own, beyond the recovery of any HTTP server.
func openWithin(ctx context.Context, deadline time.Time, r Request) (b Backend, err error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("open a backend session at %s: panic: %v", r.Server, v)
		}
	}()
	return r.Open(ctx)
}

// sleep waits for about d, at least a millisecond. The spread keeps replicas
// that wait for the same claim from asking in step.
func sleep(ctx context.Context, d time.Duration) error {
	d = max(d, time.Millisecond)
	t := time.NewTimer(d - d/4 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
