package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/session"
)

// failing is a store whose next steps fail.
type failing struct {
	session.Store
	left int
	err  error
}

func (f *failing) next() error {
	if f.left == 0 {
		return nil
	}
	f.left--
	return f.err
}

func (f *failing) Get(ctx context.Context, id session.ID) (session.Session, error) {
	if err := f.next(); err != nil {
		return session.Session{}, err
	}
	return f.Store.Get(ctx, id)
}

func (f *failing) Claim(ctx context.Context, id session.ID, server string, lease time.Duration) (session.Claim, error) {
	if err := f.next(); err != nil {
		return session.Claim{}, err
	}
	return f.Store.Claim(ctx, id, server, lease)
}

func TestPatientStoreTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		away := fmt.Errorf("test: %w", session.ErrUnavailable)
		f := &failing{Store: st, left: 2, err: away}
		p := session.Patient(f)
		if got, err := p.Get(t.Context(), id); err != nil || got.ID != "" && got.ID != id {
			t.Errorf("Get after two failures: %v, %v", got, err)
		}
		f.left = 2
		if c, err := p.Claim(t.Context(), id, server, lease); err != nil || c.State != session.Claimed {
			t.Errorf("Claim after two failures: %+v, %v", c, err)
		}
		f.left = 100
		began := time.Now()
		if _, err := p.Get(t.Context(), id); !errors.Is(err, session.ErrUnavailable) || f.left != 97 {
			t.Errorf("Get of a store that is away: %v, after %d tries", err, 100-f.left)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("gave up after %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := p.Get(ctx, id); !errors.Is(err, session.ErrUnavailable) || f.left != 96 {
			t.Errorf("Get of a caller that leaves: %v, %d left", err, f.left)
		}
		f.err, f.left = session.ErrNotFound, 100
		if _, err := p.Get(t.Context(), id); !errors.Is(err, session.ErrNotFound) || f.left != 99 {
			t.Errorf("Get of a session that is gone: %v, tried again", err)
		}
	})
}
