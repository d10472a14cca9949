package metrics

import (
	"context"
	"errors"
	"time"

	"mcp-gateway/broker/session"
)

// operations are the values of the label operation: those that may go to a server.
var operations = []string{
	"create", "get", "delete", "claim", "renew", "commit", "abandon", "drop", "backends",
	"settings", "set_level", "subscribe", "unsubscribe", "expired", "send",
}

// observed is a store whose operations are noted. What it does not name here is
// the store's own.
type observed struct {
	session.Store
	m *Metrics
}

// note takes the time since start and what became of it. Answers of the store, as
// that a session is not there, are no errors, nor are callers that left.
func (o *observed) note(operation string, start time.Time, err error) {
	o.m.store.WithLabelValues(operation).Observe(time.Since(start).Seconds())
	if errors.Is(err, session.ErrUnavailable) {
		o.m.storeErrors.WithLabelValues(operation).Inc()
	}
}

func (o *observed) Create(ctx context.Context, s session.Session, caps session.Caps) (err error) {
	defer func(start time.Time) { o.note("create", start, err) }(time.Now())
	return o.Store.Create(ctx, s, caps)
}

func (o *observed) Get(ctx context.Context, id session.ID) (s session.Session, err error) {
	defer func(start time.Time) { o.note("get", start, err) }(time.Now())
	return o.Store.Get(ctx, id)
}

func (o *observed) Delete(ctx context.Context, id session.ID) (held []session.Held, err error) {
	defer func(start time.Time) { o.note("delete", start, err) }(time.Now())
	return o.Store.Delete(ctx, id)
}

func (o *observed) Claim(ctx context.Context, id session.ID, server string, lease time.Duration) (c session.Claim, err error) {
	defer func(start time.Time) { o.note("claim", start, err) }(time.Now())
	return o.Store.Claim(ctx, id, server, lease)
}

func (o *observed) Renew(ctx context.Context, id session.ID, server string, t session.Token, lease time.Duration) (held bool, err error) {
	defer func(start time.Time) { o.note("renew", start, err) }(time.Now())
	return o.Store.Renew(ctx, id, server, t, lease)
}

func (o *observed) Commit(ctx context.Context, id session.ID, server string, t session.Token, b session.Backend) (won bool, err error) {
	defer func(start time.Time) { o.note("commit", start, err) }(time.Now())
	return o.Store.Commit(ctx, id, server, t, b)
}

func (o *observed) Abandon(ctx context.Context, id session.ID, server string, t session.Token) (err error) {
	defer func(start time.Time) { o.note("abandon", start, err) }(time.Now())
	return o.Store.Abandon(ctx, id, server, t)
}

func (o *observed) Drop(ctx context.Context, id session.ID, server, stale string) (err error) {
	defer func(start time.Time) { o.note("drop", start, err) }(time.Now())
	return o.Store.Drop(ctx, id, server, stale)
}

func (o *observed) Backends(ctx context.Context, id session.ID) (held []session.Held, err error) {
	defer func(start time.Time) { o.note("backends", start, err) }(time.Now())
	return o.Store.Backends(ctx, id)
}

func (o *observed) Settings(ctx context.Context, id session.ID) (v session.Settings, err error) {
	defer func(start time.Time) { o.note("settings", start, err) }(time.Now())
	return o.Store.Settings(ctx, id)
}

func (o *observed) SetLevel(ctx context.Context, id session.ID, level string) (err error) {
	defer func(start time.Time) { o.note("set_level", start, err) }(time.Now())
	return o.Store.SetLevel(ctx, id, level)
}

func (o *observed) Subscribe(ctx context.Context, id session.ID, sub session.Subscription) (added bool, err error) {
	defer func(start time.Time) { o.note("subscribe", start, err) }(time.Now())
	return o.Store.Subscribe(ctx, id, sub)
}

func (o *observed) Unsubscribe(ctx context.Context, id session.ID, sub session.Subscription) (err error) {
	defer func(start time.Time) { o.note("unsubscribe", start, err) }(time.Now())
	return o.Store.Unsubscribe(ctx, id, sub)
}

func (o *observed) Expired(ctx context.Context, limit int) (ended []session.Ended, err error) {
	defer func(start time.Time) { o.note("expired", start, err) }(time.Now())
	return o.Store.Expired(ctx, limit)
}

func (o *observed) Send(ctx context.Context, mailbox string, message []byte) (delivered bool, err error) {
	defer func(start time.Time) { o.note("send", start, err) }(time.Now())
	return o.Store.Send(ctx, mailbox, message)
}
