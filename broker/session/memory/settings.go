package memory

import (
	"context"
	"maps"
	"slices"

	"mcp-gateway/broker/session"
)

// Backends implements session.Store.
func (s *Store) Backends(ctx context.Context, id session.ID) ([]session.Held, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.live(key, s.opts.Now())
	if e == nil {
		return nil, session.ErrNotFound
	}
	return e.held(), nil
}

// Settings implements session.Store.
func (s *Store) Settings(ctx context.Context, id session.ID) (session.Settings, error) {
	if err := ctx.Err(); err != nil {
		return session.Settings{}, err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.live(key, s.opts.Now())
	if e == nil {
		return session.Settings{}, session.ErrNotFound
	}
	return session.Settings{Level: e.level, Subscriptions: slices.Collect(maps.Keys(e.subs))}, nil
}

// SetLevel implements session.Store.
func (s *Store) SetLevel(ctx context.Context, id session.ID, level string) error {
	return s.change(ctx, id, func(e *entry) error {
		e.level = level
		return nil
	})
}

// Subscribe implements session.Store.
func (s *Store) Subscribe(ctx context.Context, id session.ID, sub session.Subscription) (added bool, err error) {
	err = s.change(ctx, id, func(e *entry) error {
		if _, there := e.subs[sub]; there {
			return nil
		}
		if len(sub.URI) > session.LongestURI || len(e.subs) >= session.MaxSubscriptions {
			return session.ErrTooMuch
		}
		if e.subs == nil {
			e.subs = make(map[session.Subscription]struct{})
		}
		e.subs[sub] = struct{}{}
		added = true
		return nil
	})
	return added, err
}

// Unsubscribe implements session.Store.
func (s *Store) Unsubscribe(ctx context.Context, id session.ID, sub session.Subscription) error {
	return s.change(ctx, id, func(e *entry) error {
		delete(e.subs, sub)
		return nil
	})
}

// change calls f with a session that it uses.
func (s *Store) change(ctx context.Context, id session.ID, f func(*entry) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := id.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.use(key)
	if e == nil {
		return session.ErrNotFound
	}
	return f(e)
}
