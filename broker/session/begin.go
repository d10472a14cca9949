package session

import (
	"context"
	"errors"
)

// draws is how many ids Begin tries. A store may have its room in shares, to one of
// which an id belongs by chance: that in Redis is full with some 97 % of 10,000
// sessions, or 99 % of 100,000 (simulated).
const draws = 16

// Begin creates s under a new id, which it returns. ErrFull, ErrTooMany,
// ErrUnavailable as of the store, ErrTooLarge as of Store.Mint.
func Begin(ctx context.Context, store Store, s Session, caps Caps) (ID, error) {
	var err error
	for range draws {
		if s.ID, err = store.Mint(s); err != nil {
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
