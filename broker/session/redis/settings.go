package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"

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
	return parseHeld(f)
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
		sub, err := parseSubscription(v)
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
	answer, err := s.run(ctx, s.scripts.subscribe, id.Key(), formatSubscription(sub), limit).Int()
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
	found, err := s.run(ctx, s.scripts.unsubscribe, id.Key(), formatSubscription(sub)).Bool()
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

// A subscription is stored as "<length of the server's name>:<server><uri>".

func formatSubscription(s session.Subscription) string {
	return strconv.Itoa(len(s.Server)) + ":" + s.Server + s.URI
}

func parseSubscription(v string) (session.Subscription, error) {
	length, rest, _ := strings.Cut(v, ":")
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > len(rest) {
		return session.Subscription{}, malformed("subscription")
	}
	return session.Subscription{Server: rest[:n], URI: rest[n:]}, nil
}
