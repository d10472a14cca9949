// Package token keeps what initialize settled in the session id itself, sealed
// with keys that all replicas of the broker share: any of them accepts the
// session, and none needs a Redis. It is for small fleets behind a load balancer
// that sends a session to the same replica as long as that is there.
//
// All else stays with the replica that holds the session, in memory: backend
// sessions, log level, subscriptions. Another replica that meets the session
// begins with none of these. What the contract of session.Store promises of all
// replicas holds for one of them only: one backend session for each server, the
// idle timeout, caps, DELETE, invalidations and mail. The lifetime ends a session
// everywhere.
package token

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
	"mcp-gateway/broker/session/seal"
)

// Options configure a Store.
type Options struct {
	session.Timeouts
	// Keys seal the ids: the first seals, all open. At least one. Secrets.
	Keys []string
	// Now is the clock; nil means time.Now. Those of the replicas should agree.
	Now func() time.Time
}

// record is what ids are bound to, besides the keys.
const record = "session id"

// LongestID bounds an id, in characters.
const LongestID = 4096

// Store implements session.Store.
type Store struct {
	*memory.Store // what this replica holds
	opts          Options
	ring          *seal.Ring

	mu   sync.Mutex
	caps session.Caps // the latest
}

var _ session.Store = (*Store)(nil)

// New returns a store without sessions.
func New(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	ring, err := seal.New(o.Keys...)
	if err == nil && ring == nil {
		err = errors.New("no key")
	}
	if err != nil {
		return nil, fmt.Errorf("token session store: %w", err)
	}
	held, err := memory.New(memory.Options{Timeouts: o.Timeouts, Now: o.Now, Adopts: true})
	if err != nil {
		return nil, fmt.Errorf("token session store: %w", err)
	}
	return &Store{Store: held, opts: o, ring: ring}, nil
}

// Mint implements session.Store.
func (s *Store) Mint(v session.Session) (session.ID, error) {
	sealed := s.ring.Seal(record, "", encode(v, s.opts.Now().Add(s.opts.Lifetime)))
	if base64.RawURLEncoding.EncodedLen(len(sealed)) > LongestID {
		return "", fmt.Errorf("token session store: %w", session.ErrTooLarge)
	}
	return session.ID(base64.RawURLEncoding.EncodeToString([]byte(sealed))), nil
}

// open returns what an id holds, and when its lifetime is over. ErrNotFound if it
// is none of ours, or over.
func (s *Store) open(id session.ID) (v session.Session, end time.Time, err error) {
	if len(id) > LongestID {
		return v, end, session.ErrNotFound
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(string(id))
	if err != nil || base64.RawURLEncoding.EncodeToString(sealed) != string(id) {
		return v, end, session.ErrNotFound
	}
	text, err := s.ring.Open(record, "", string(sealed))
	if err != nil {
		return v, end, session.ErrNotFound
	}
	v, end, ok := decode(text)
	if !ok || !s.opts.Now().Before(end) {
		return v, end, session.ErrNotFound
	}
	v.ID = id
	return v, end, nil
}

// Create implements session.Store for an id that Mint has made for v.
func (s *Store) Create(ctx context.Context, v session.Session, caps session.Caps) error {
	minted, end, err := s.open(v.ID)
	if err != nil || !same(minted, v) {
		return fmt.Errorf("token session store: %w: the id is not of this session", session.ErrExists)
	}
	s.mu.Lock()
	s.caps = caps
	s.mu.Unlock()
	if err := s.Store.Adopt(ctx, v, caps, end); !errors.Is(err, session.ErrNotFound) {
		return err
	}
	return fmt.Errorf("token session store: %w: it has ended", session.ErrExists)
}

func same(a, b session.Session) bool {
	return a.Version == b.Version && a.Endpoint == b.Endpoint && a.Principal == b.Principal &&
		string(a.ClientInfo) == string(b.ClientInfo) && string(a.Capabilities) == string(b.Capabilities)
}

// adopt takes a session that this replica does not hold. ErrNotFound if there is
// none; ErrUnavailable if there is no room for it, as the client has done nothing
// wrong.
func (s *Store) adopt(ctx context.Context, id session.ID) error {
	v, end, err := s.open(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	caps := s.caps
	s.mu.Unlock()
	if err := s.Store.Adopt(ctx, v, caps, end); err != nil {
		if ctx.Err() != nil || errors.Is(err, session.ErrNotFound) {
			return err
		}
		return fmt.Errorf("token session store: %w: no room for the session of another replica", session.ErrUnavailable)
	}
	return nil
}

// held calls f, and once more with the session adopted if it is not here.
func (s *Store) held(ctx context.Context, id session.ID, f func() error) error {
	err := f()
	if !errors.Is(err, session.ErrNotFound) {
		return err
	}
	if err := s.adopt(ctx, id); err != nil {
		return err
	}
	return f()
}

// Get implements session.Store.
func (s *Store) Get(ctx context.Context, id session.ID) (v session.Session, err error) {
	err = s.held(ctx, id, func() error { v, err = s.Store.Get(ctx, id); return err })
	return v, err
}

// Claim implements session.Store.
func (s *Store) Claim(ctx context.Context, id session.ID, server string, lease time.Duration) (c session.Claim, err error) {
	c, err = s.Store.Claim(ctx, id, server, lease)
	if err != nil || c.State != session.Gone {
		return c, err
	}
	switch err := s.adopt(ctx, id); {
	case errors.Is(err, session.ErrNotFound):
		return c, nil
	case err != nil:
		return session.Claim{}, err
	}
	return s.Store.Claim(ctx, id, server, lease)
}

// Backends implements session.Store.
func (s *Store) Backends(ctx context.Context, id session.ID) (held []session.Held, err error) {
	err = s.held(ctx, id, func() error { held, err = s.Store.Backends(ctx, id); return err })
	return held, err
}

// Settings implements session.Store.
func (s *Store) Settings(ctx context.Context, id session.ID) (v session.Settings, err error) {
	err = s.held(ctx, id, func() error { v, err = s.Store.Settings(ctx, id); return err })
	return v, err
}

// SetLevel implements session.Store.
func (s *Store) SetLevel(ctx context.Context, id session.ID, level string) error {
	return s.held(ctx, id, func() error { return s.Store.SetLevel(ctx, id, level) })
}

// Subscribe implements session.Store.
func (s *Store) Subscribe(ctx context.Context, id session.ID, sub session.Subscription) (added bool, err error) {
	err = s.held(ctx, id, func() error { added, err = s.Store.Subscribe(ctx, id, sub); return err })
	return added, err
}

// Unsubscribe implements session.Store.
func (s *Store) Unsubscribe(ctx context.Context, id session.ID, sub session.Subscription) error {
	return s.held(ctx, id, func() error { return s.Store.Unsubscribe(ctx, id, sub) })
}

// Delete implements session.Store. The session ends at this replica: another
// accepts it until its lifetime is over.
func (s *Store) Delete(ctx context.Context, id session.ID) (held []session.Held, err error) {
	err = s.held(ctx, id, func() error { held, err = s.Store.Delete(ctx, id); return err })
	return held, err
}
