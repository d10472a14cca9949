package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/session"
)

// turns is a server with one place for who opens a session.
type turns struct {
	free chan struct{}
	busy error // for who would wait
}

func newTurns() *turns {
	t := &turns{free: make(chan struct{}, 1)}
	t.free <- struct{}{}
	return t
}

func (t *turns) enter(ctx context.Context, wait bool) (leave func(), ok bool, err error) {
	leave = func() { t.free <- struct{}{} }
	select {
	case <-t.free:
		return leave, true, nil
	default:
	}
	switch {
	case !wait:
		return nil, false, nil
	case t.busy != nil:
		return nil, false, t.busy
	}
	select {
	case <-t.free:
		return leave, true, nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// However long the turn takes to come, the lease is for opening alone: nobody has
// the claim meanwhile, and what another replica opens is found.
func TestWaitingForATurnHoldsNoClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		o, at := session.NewOpener(st, lease), newTurns()
		first, err := st.Claim(t.Context(), id, "other", lease)
		if err != nil || first.State != session.Claimed {
			t.Fatal(first, err)
		}
		taken, _, _ := at.enter(t.Context(), false)
		r := opens(t, id, "b")
		r.Enter = at.enter
		r.Open = func(ctx context.Context) (session.Backend, error) {
			if left, ok := ctx.Deadline(); !ok || time.Until(left) < lease-time.Second {
				t.Errorf("%v are left to open a session, want %v", time.Until(left), lease)
			}
			return session.Backend{ID: "b"}, nil
		}
		got := make(chan error, 1)
		go func() { _, err := o.Open(t.Context(), r); got <- err }()
		time.Sleep(2 * lease)
		c, err := st.Claim(t.Context(), id, server, lease)
		if err != nil || c.State != session.Claimed {
			t.Errorf("a claim while another caller waits for its turn: %+v, %v", c, err)
		}
		if err := st.Abandon(t.Context(), id, server, c.Token); err != nil {
			t.Error(err)
		}
		taken()
		if err := <-got; err != nil {
			t.Error(err)
		}
		wantOpen(t, o, r, "b") // found, without a turn
		if len(at.free) != 1 {
			t.Error("the place was not given back")
		}

		// Of two sessions in turn the second finds what another replica opened.
		taken, _, _ = at.enter(t.Context(), false)
		r.Server = "other"
		r.Open = func(context.Context) (session.Backend, error) {
			t.Error("opened a second one")
			return session.Backend{}, errors.New("not to be opened")
		}
		go func() { _, err := o.Open(t.Context(), r); got <- err }()
		synctest.Wait()
		if won, err := st.Commit(t.Context(), id, "other", first.Token, session.Backend{ID: "theirs"}); err != nil || won {
			t.Errorf("commit after the lease: %v %v", won, err) // somebody claimed since
		}
		again, err := st.Claim(t.Context(), id, "other", lease)
		if err != nil || again.State != session.Claimed {
			t.Fatal(again, err)
		}
		if won, err := st.Commit(t.Context(), id, "other", again.Token, session.Backend{ID: "theirs"}); err != nil || !won {
			t.Fatal(won, err)
		}
		taken()
		if err := <-got; err != nil || len(at.free) != 1 {
			t.Errorf("Open: %v, %d places", err, len(at.free))
		}
	})
}

func TestNoTurnIsNoSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		o, at := session.NewOpener(st, lease), newTurns()
		at.busy = errors.New("busy")
		taken, _, _ := at.enter(t.Context(), false)
		r := opens(t, id, "b")
		r.Enter = at.enter
		if _, err := o.Open(t.Context(), r); !errors.Is(err, at.busy) {
			t.Errorf("Open: %v, want the error of Enter", err)
		}
		taken()
		wantOpen(t, o, r, "b") // at once: the claim was given back
		r.Server, r.Open = "failing", func(context.Context) (session.Backend, error) { return session.Backend{}, at.busy }
		if _, err := o.Open(t.Context(), r); err == nil || len(at.free) != 1 {
			t.Errorf("Open that fails: %v, %d places", err, len(at.free))
		}
	})
}
