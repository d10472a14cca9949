package session

import (
	"context"
	"errors"
)

// draws is how many ids Begin tries. A store may have its room in shares, to one of
// which an id belongs by chance: that in Redis is full with some 97 % of 10,000
// sessions, or 99 % of 100,000 (simulated).
const draws = 16

// Minter is a Store that makes the ids of its sessions: they hold the session.
type Minter interface {
	// Mint returns an id for s, to be created under it at once. ErrTooLarge if s
	// does not fit into one.
	Mint(s Session) (ID, error)
}

// Begin creates s under a new id, which it returns. ErrFull, ErrTooMany,
// ErrUnavailable as of the store, ErrTooLarge as of Minter.
func Begin(ctx context.Context, store Store, s Session, caps Caps) (ID, error) {
	mint := func(Session) (ID, error) { return NewID(), nil }
	if m, ok := store.(Minter); ok {
		mint = m.Mint
	}
	var err error
	for range draws {
		if s.ID, err = mint(s); err != nil {
			break
		}
		if err = store.Create(ctx, s, caps); !errors.Is(err, ErrFull) {
			break
		}
	}
	if err != nil {
		return "", err
	}
	return s.ID, nil
}
