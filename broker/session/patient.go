package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// pauses are those before a step is tried again. A store that refuses connections
// is given up after their sum, and one that hangs after three times its own
// patience.
var pauses = []time.Duration{30 * time.Millisecond, 100 * time.Millisecond}

// patient is a store that tries again what may be repeated.
type patient struct{ Store }

// Patient returns a store that does not take a moment for an outage: steps that
// may be repeated, and whose failure a client would see, are tried again while
// store is unavailable. A busy machine may well hold up one of thousands of
// commands for longer than a store waits.
func Patient(store Store) Store { return patient{store} }

func (p patient) Create(ctx context.Context, s Session, caps Caps) error {
	_, err := again(ctx, func() (struct{}, error) { return struct{}{}, p.Store.Create(ctx, s, caps) })
	return err
}

func (p patient) Get(ctx context.Context, id ID) (Session, error) {
	return again(ctx, func() (Session, error) { return p.Store.Get(ctx, id) })
}

func (p patient) Claim(ctx context.Context, id ID, server string, lease time.Duration) (Claim, error) {
	return again(ctx, func() (Claim, error) { return p.Store.Claim(ctx, id, server, lease) })
}

func (p patient) Commit(ctx context.Context, id ID, server string, t Token, b Backend) (bool, error) {
	return again(ctx, func() (bool, error) { return p.Store.Commit(ctx, id, server, t, b) })
}

func (p patient) Settings(ctx context.Context, id ID) (Settings, error) {
	return again(ctx, func() (Settings, error) { return p.Store.Settings(ctx, id) })
}

// again calls f until it does something else than fail with ErrUnavailable.
func again[T any](ctx context.Context, f func() (T, error)) (T, error) {
	v, err := f()
	for _, pause := range pauses {
		if !errors.Is(err, ErrUnavailable) {
			break
		}
		timer := time.NewTimer(pause + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return v, err
		}
		v, err = f()
	}
	return v, err
}
