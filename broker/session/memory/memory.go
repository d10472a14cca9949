// Package memory keeps sessions in the memory of one process: the store of a
// gateway with a single broker. They end with the process.
package memory

import (
	"bytes"
	"container/heap"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"mcp-gateway/broker/session"
)

// Options configure a Store.
type Options struct {
	session.Timeouts
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Adopts says that sessions come by Adopt. What ends is then remembered until
	// its lifetime is over, so that it does not come again.
	Adopts bool
}

// Store implements session.Store. One mutex guards it: no call holds it longer
// than a map access and a step in the heap, and the data path has a cache of
// its own in front.
type Store struct {
	opts   Options
	events session.Broadcast
	mail   mailboxes

	mu       sync.Mutex
	sessions map[session.Key]*entry
	byExpiry expiryHeap
	// principals counts the sessions in the map above.
	principals map[string]int
	// swept are expired sessions that had to make room before Expired asked.
	swept []session.Ended
	ended endings
}

var _ session.Store = (*Store)(nil)

// New returns an empty store.
func New(o Options) (*Store, error) {
	if err := o.Timeouts.Validate(); err != nil {
		return nil, fmt.Errorf("memory session store: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	st := &Store{opts: o, sessions: make(map[session.Key]*entry), principals: make(map[string]int)}
	if o.Adopts {
		st.ended.over = make(map[session.Key]time.Time)
	}
	return st, nil
}

// entry is one session. The plain id is not in it.
type entry struct {
	key      session.Key
	session  session.Session // without ID
	deadline time.Time       // the earlier of idle and lifetime
	end      time.Time       // lifetime
	index    int             // in the heap
	servers  map[string]backend
	level    string
	subs     map[session.Subscription]struct{}
}

// backend is a claim while token is set, else a backend session.
type backend struct {
	token    session.Token
	lease    time.Time // end of the claim
	existing session.Backend
}

// Mint implements session.Store.
func (s *Store) Mint(session.Session) (session.ID, error) { return session.NewID(), nil }

// Create implements session.Store.
func (s *Store) Create(ctx context.Context, v session.Session, caps session.Caps) error {
	return s.Adopt(ctx, v, caps, s.opts.Now().Add(s.opts.Lifetime))
}

func same(a, b session.Session) bool {
	return a.Version == b.Version && a.Endpoint == b.Endpoint && a.Principal == b.Principal &&
		bytes.Equal(a.ClientInfo, b.ClientInfo) && bytes.Equal(a.Capabilities, b.Capabilities)
}

// makeRoom sets expired sessions aside for Expired, the oldest first, until there
// is room for one more. As many as may live can wait there: then a sweeper that
// does not keep up stops new sessions.
func (s *Store) makeRoom(now time.Time, principal string, caps session.Caps) error {
	for {
		full := caps.Total > 0 && len(s.sessions) >= caps.Total
		many := caps.Principal > 0 && principal != "" && s.principals[principal] >= caps.Principal
		if !full && !many {
			return nil
		}
		e := s.oldestExpired(now)
		waits := caps.Total > 0 && len(s.swept) >= caps.Total
		switch {
		case e != nil && !waits:
			s.remove(e)
			s.swept = append(s.swept, session.Ended{Key: e.key, Backends: e.held()})
		case full:
			return session.ErrFull
		default:
			return session.ErrTooMany
		}
	}
}

// Get implements session.Store.
func (s *Store) Get(ctx context.Context, id session.ID) (v session.Session, err error) {
	err = s.change(ctx, id, func(e *entry) error {
		v = e.session
		v.ID = id
		return nil
	})
	return v, err
}

// Delete implements session.Store.
func (s *Store) Delete(ctx context.Context, id session.ID) (held []session.Held, err error) {
	err = s.look(ctx, id, func(e *entry) error {
		s.remove(e)
		held = e.held()
		return nil
	})
	return held, err
}

// Claim implements session.Store.
func (s *Store) Claim(ctx context.Context, id session.ID, server string, lease time.Duration) (session.Claim, error) {
	if err := ctx.Err(); err != nil {
		return session.Claim{}, err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.use(key)
	if e == nil {
		return session.Claim{State: session.Gone}, nil
	}
	now := s.opts.Now()
	b, ok := e.servers[server]
	switch {
	case ok && b.token == "":
		return session.Claim{State: session.Have, Backend: b.existing}, nil
	case ok && now.Before(b.lease):
		return session.Claim{State: session.Wait, Wait: b.lease.Sub(now)}, nil
	}
	if e.servers == nil {
		e.servers = make(map[string]backend)
	}
	b = backend{token: session.Token(rand.Text()), lease: now.Add(lease)}
	e.servers[server] = b
	return session.Claim{State: session.Claimed, Token: b.token}, nil
}

// Renew implements session.Store.
func (s *Store) Renew(ctx context.Context, id session.ID, server string, t session.Token, lease time.Duration) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	e := s.live(key, now)
	if e == nil || t == "" || e.servers[server].token != t {
		return false, nil
	}
	e.servers[server] = backend{token: t, lease: now.Add(lease)}
	return true, nil
}

// Commit implements session.Store.
func (s *Store) Commit(ctx context.Context, id session.ID, server string, t session.Token, v session.Backend) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.live(key, s.opts.Now())
	if e == nil {
		return false, nil
	}
	b, ok := e.servers[server]
	switch {
	case !ok:
		return false, nil
	case b.token == "": // our own, the second time, or somebody else's
		return b.existing == v, nil
	case b.token != t:
		return false, nil
	}
	e.servers[server] = backend{existing: v}
	s.events.Publish(session.Invalidation{Key: key, Server: server, Opened: true})
	return true, nil
}

// Abandon implements session.Store.
func (s *Store) Abandon(ctx context.Context, id session.ID, server string, t session.Token) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.sessions[key]; e != nil && t != "" && e.servers[server].token == t {
		delete(e.servers, server)
	}
	return nil
}

// Drop implements session.Store.
func (s *Store) Drop(ctx context.Context, id session.ID, server, stale string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.sessions[key]
	if e == nil {
		return nil
	}
	if b, ok := e.servers[server]; ok && b.token == "" && b.existing.ID == stale {
		delete(e.servers, server)
		s.events.Publish(session.Invalidation{Key: key, Server: server})
	}
	return nil
}

// Expired implements session.Store.
func (s *Store) Expired(ctx context.Context, limit int) ([]session.Ended, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := max(0, min(limit, len(s.swept)))
	out := slices.Clone(s.swept[:n])
	s.swept = slices.Delete(s.swept, 0, n)
	now := s.opts.Now()
	s.ended.prune(now)
	for len(out) < limit {
		e := s.oldestExpired(now)
		if e == nil {
			break
		}
		s.remove(e)
		out = append(out, session.Ended{Key: e.key, Backends: e.held()})
	}
	return out, nil
}

// Invalidations implements session.Store.
func (s *Store) Invalidations(ctx context.Context) <-chan session.Invalidation {
	return s.events.Subscribe(ctx, session.Invalidation{Flush: true})
}

// look calls f with a live session, change with one that is thereby used. Both
// hold the lock meanwhile and fail with ErrNotFound for any other.
func (s *Store) look(ctx context.Context, id session.ID, f func(*entry) error) error {
	return s.with(ctx, id, func(key session.Key) *entry { return s.live(key, s.opts.Now()) }, f)
}

func (s *Store) change(ctx context.Context, id session.ID, f func(*entry) error) error {
	return s.with(ctx, id, s.use, f)
}

func (s *Store) with(ctx context.Context, id session.ID, find func(session.Key) *entry, f func(*entry) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := find(key)
	if e == nil {
		return session.ErrNotFound
	}
	return f(e)
}

// live returns the session if it has not expired.
func (s *Store) live(key session.Key, now time.Time) *entry {
	if e := s.sessions[key]; e != nil && now.Before(e.deadline) {
		return e
	}
	return nil
}

// use is live and moves the idle deadline.
func (s *Store) use(key session.Key) *entry {
	now := s.opts.Now()
	e := s.live(key, now)
	if e == nil || e.deadline.Sub(now) >= s.opts.Idle/2 {
		return e
	}
	if d := earlier(now.Add(s.opts.Idle), e.end); d.After(e.deadline) {
		e.deadline = d
		heap.Fix(&s.byExpiry, e.index)
	}
	return e
}

func (s *Store) oldestExpired(now time.Time) *entry {
	if len(s.byExpiry) == 0 || now.Before(s.byExpiry[0].deadline) {
		return nil
	}
	return s.byExpiry[0]
}

// remove forgets the session and says so.
func (s *Store) remove(e *entry) {
	heap.Remove(&s.byExpiry, e.index)
	delete(s.sessions, e.key)
	s.ended.add(e)
	if p := e.session.Principal; p != "" {
		if s.principals[p]--; s.principals[p] == 0 {
			delete(s.principals, p)
		}
	}
	s.events.Publish(session.Invalidation{Key: e.key})
}

// held returns the backend sessions, without claims under way.
func (e *entry) held() []session.Held {
	var out []session.Held
	for server, b := range e.servers {
		if b.token == "" {
			out = append(out, session.Held{Server: server, Backend: b.existing})
		}
	}
	return out
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
