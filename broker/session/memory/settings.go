package memory

import (
	"context"
	"maps"
	"slices"

	"mcp-gateway/broker/session"
)

// Backends implements session.Store.
func (s *Store) Backends(ctx context.Context, id session.ID) (held []session.Held, err error) {
	err = s.look(ctx, id, func(e *entry) error {
		held = e.held()
		return nil
	})
	return held, err
}

// Settings implements session.Store.
func (s *Store) Settings(ctx context.Context, id session.ID) (v session.Settings, err error) {
	err = s.look(ctx, id, func(e *entry) error {
		v = session.Settings{Level: e.level, Subscriptions: slices.Collect(maps.Keys(e.subs))}
		return nil
	})
	return v, err
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
