package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
)

// Backends implements session.Store.
func (s *Store) Backends(ctx context.Context, id session.ID) ([]session.Held, error) {
	f, err := s.run(ctx, s.scripts.backends, id.Key()).StringSlice()
	if errors.Is(err, goredis.Nil) {
		return nil, session.ErrNotFound
	}
	if err != nil {
		return nil, failed(ctx, "backends", err)
	}
	held, err := s.parseHeld(id.Key(), f)
	if err != nil {
		return nil, err
	}
	return held, nil
}

// Settings implements session.Store.
func (s *Store) Settings(ctx context.Context, id session.ID) (session.Settings, error) {
	f, err := s.run(ctx, s.scripts.settings, id.Key()).StringSlice()
	if errors.Is(err, goredis.Nil) {
		return session.Settings{}, session.ErrNotFound
	}
	if err != nil {
		return session.Settings{}, failed(ctx, "settings", err)
	}
	if len(f) == 0 {
		return session.Settings{}, malformed("settings")
	}
	out := session.Settings{Level: f[0]}
	for _, v := range f[1:] {
		sub, err := s.openSubscription(id.Key(), v)
		if err != nil {
			return session.Settings{}, err
		}
		out.Subscriptions = append(out.Subscriptions, sub)
	}
	return out, nil
}

// SetLevel implements session.Store.
func (s *Store) SetLevel(ctx context.Context, id session.ID, level string) error {
	found, err := s.run(ctx, s.scripts.setLevel, id.Key(), level).Bool()
	return s.changed(ctx, "set level", found, err)
}

// Subscribe implements session.Store.
func (s *Store) Subscribe(ctx context.Context, id session.ID, sub session.Subscription) (bool, error) {
	limit := session.MaxSubscriptions
	if len(sub.URI) > session.LongestURI {
		limit = 0 // the answer for a session that is gone stays the same
	}
	args := append([]any{limit}, s.sealSubscription(id.Key(), sub)...)
	answer, err := s.run(ctx, s.scripts.subscribe, id.Key(), args...).Int()
	switch {
	case err != nil:
		return false, failed(ctx, "subscribe", err)
	case answer == 0:
		return false, session.ErrNotFound
	case answer == 3:
		return false, session.ErrTooMuch
	}
	return answer == 1, nil
}

// Unsubscribe implements session.Store.
func (s *Store) Unsubscribe(ctx context.Context, id session.ID, sub session.Subscription) error {
	found, err := s.run(ctx, s.scripts.unsubscribe, id.Key(), s.sealSubscription(id.Key(), sub)...).Bool()
	return s.changed(ctx, "unsubscribe", found, err)
}

// changed is the outcome of a script that tells whether there is a session.
func (s *Store) changed(ctx context.Context, op string, found bool, err error) error {
	switch {
	case err != nil:
		return failed(ctx, op, err)
	case !found:
		return session.ErrNotFound
	}
	return nil
}
