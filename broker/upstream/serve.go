package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/rescue"
)

// serve keeps to one way of speaking with the server, from the first contact
// until it fails or ctx ends. It calls ready after each complete listing.
func (s *Server) serve(ctx context.Context, ready func()) (err error) {
	defer rescue.From(s.log, &err)
	f, err := s.find(ctx)
	if err != nil {
		return err
	}
	l := f.link
	defer l.leave(ctx)
	s.greet(f)

	changed := newChanges()
	f.announced = newChanges()
	l.notified = func(method []byte) {
		f.announced.add(changedBy(method))
		changed.add(changedBy(method))
	}
	watchCtx, stop := context.WithCancel(ctx)
	watched, settled := make(chan error, 1), make(chan struct{})
	go func() {
		var err error
		defer func() { watched <- err }()
		defer rescue.From(s.log, &err)
		err = l.watch(watchCtx, s.timing, changed, func() { close(settled) })
	}()
	ended := false
	defer func() {
		stop()
		if !ended {
			<-watched
		}
	}()

	grace := time.NewTimer(s.timing.grace)
	defer grace.Stop()
	select {
	case <-settled:
		// The listing below comes after the opening, which is a change of
		// everything.
		changed.take()
	case <-grace.C:
	case <-ctx.Done():
		return ctx.Err()
	}

	relist := time.NewTimer(0)
	defer relist.Stop()
	for due, first := everything, true; ; first = false {
		began := time.Now()
		if due == everything && !first {
			if err := s.findAgain(ctx, f); err != nil {
				return err
			}
		}
		if err := s.list(ctx, f, due); err != nil {
			return err
		}
		ready()
		if due == everything {
			relist.Reset(s.period(f, watched != nil))
		}
		// A server that changes all the time is asked no more than a fifth of it.
		pause := max(s.timing.debounce, 4*time.Since(began))
	idle:
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-watched:
				ended = true
				if !errors.Is(err, ErrNoStream) {
					return err
				}
				s.log.Debug("server offers no event stream, reading its lists now and then")
				watched = nil
				relist.Reset(s.period(f, false))
			case <-changed.wake:
				if err := backoff.Sleep(ctx, pause); err != nil {
					return err
				}
				if due = changed.take(); due != 0 {
					break idle
				}
			case <-s.recheck:
				due = everything
				break idle
			case <-relist.C:
				due = everything
				break idle
			}
		}
	}
}

// period returns when the lists are due without a reason. Who announces all
// changes is asked as rarely as any other; a stateless server that does not says
// for how long its lists are good.
func (s *Server) period(f *finding, watched bool) time.Duration {
	p := s.timing.relist
	if ttl, _ := f.link.freshness(); ttl > 0 && (!watched || f.hello.offers&^f.hello.announces != 0) {
		p = min(p, max(ttl, 2*s.timing.fastest)) // of which jitter takes a half
	}
	if f.unsure {
		p = min(p, s.timing.retryMax)
	}
	return backoff.Jitter(p)
}

// greet records what the first contact has brought.
func (s *Server) greet(f *finding) {
	h := f.hello
	if len(h.instructions) > longestInstructions {
		s.log.Warn("server's instructions are left out: too long",
			zap.Int("bytes", len(h.instructions)), zap.Int("limit", longestInstructions))
		h.instructions = ""
	}
	s.update(func(next *Snapshot) {
		next.Version, next.Info, next.Instructions = f.link.version, h.info, h.instructions
		next.Modern, next.Legacy = f.modern, f.legacy
		next.Tools, next.Prompts, next.Resources = h.offers&tools != 0, h.offers&prompts != 0, h.offers&resources != 0
		next.Subscribe = h.subscribe || f.inSession.subscribe
		next.Logging = h.logging || f.inSession.logging
		next.Completions = h.completions || f.inSession.completions
		next.Capabilities = nil
		if len(h.capabilities) <= longestCapabilities {
			next.Capabilities = h.capabilities
		}
	})
}

// list reads what the set names and publishes it, even if a part of it failed.
func (s *Server) list(ctx context.Context, f *finding, set kinds) error {
	ctx, cancel := context.WithTimeoutCause(ctx, budget*s.client.timeout,
		fmt.Errorf("reading the lists takes more than %v", budget*s.client.timeout))
	defer cancel()
	s.checkedAt.Store(time.Now().UnixNano())
	announced := f.announced.take()
	f.announced.add(announced &^ set) // came too late for this time
	old := s.Snapshot().Lists
	offers := f.hello.offers
	lists, got, err := f.link.read(ctx, set&offers, old, s.limits)
	forget(lists, offers)
	s.known |= got | everything&^offers
	s.update(func(next *Snapshot) {
		if !lists.equal(old) {
			next.Lists = lists
		}
		next.TTL, next.Private = f.link.freshness()
		next.Listed = s.known&(tools|prompts) == tools|prompts
		if err == nil {
			next.State, next.Err, next.ListedAt = Ready, nil, time.Now()
			next.Announced = next.Announced.and(announced & set)
		}
	})
	return err
}

// forget empties the lists that the server, perhaps a new version of it, does
// not offer.
func forget(l *Lists, offers kinds) {
	if offers&tools == 0 {
		l.Tools = nil
	}
	if offers&prompts == 0 {
		l.Prompts = nil
	}
	if offers&resources == 0 {
		l.Resources, l.Templates = nil, nil
	}
}
