package sessiontest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/mcp"
)

func claimWaitCommitHave(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id := create(t, a)
	token := claimed(t, a, id, server)

	f.Advance(lease / 3)
	c, err := b.Claim(t.Context(), id, server, lease)
	must(t, err)
	if diff := cmp.Diff(session.Claim{State: session.Wait, Wait: lease - lease/3}, c); diff != "" {
		t.Fatalf("second Claim (-want +got):\n%s", diff)
	}
	wantCommit(t, b, id, server, "not the token", aBackend("x"), false)
	wantCommit(t, a, id, server, token, aBackend("b"), true)
	wantHave(t, b, id, server, aBackend("b"))
	wantHave(t, a, id, server, aBackend("b"))
}

func serversAreApart(t *testing.T, f Fixture) {
	st := f.Open(t)
	id, other := create(t, st), create(t, st)
	opened(t, st, id, "weather", aBackend("w"))
	for _, name := range []string{"", "Weather", "weather:", "x", "a b", "é\n"} {
		opened(t, st, id, name, aBackend("of "+name))
	}
	wantHave(t, st, id, "weather", aBackend("w"))
	wantHave(t, st, id, "a b", aBackend("of a b"))
	wantState(t, st, other, "weather", session.Claimed)
}

func keepsBackend(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id := create(t, a)
	for name, want := range map[string]session.Backend{
		"no session":  {Version: mcp.Revision20250326},
		"colons":      {ID: "s:2025-11-25:i:", Version: mcp.Revision20250618},
		"odd bytes":   {ID: "!~ \x00\n\xff", Version: mcp.Revision20251125},
		"no revision": {ID: "x"},
	} {
		opened(t, a, id, name, want)
		wantHave(t, b, id, name, want)
		must(t, b.Drop(t.Context(), id, name, want.ID))
		wantState(t, a, id, name, session.Claimed)
	}
}

func lapsedLeaseGoesToNext(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id := create(t, a)
	first := claimed(t, a, id, server)
	f.Advance(lease - time.Millisecond)
	wantState(t, b, id, server, session.Wait)
	f.Advance(time.Millisecond)
	second := claimed(t, b, id, server)

	wantCommit(t, a, id, server, first, aBackend("first"), false)
	wantState(t, a, id, server, session.Wait)
	wantCommit(t, b, id, server, second, aBackend("second"), true)
	wantCommit(t, a, id, server, first, aBackend("first"), false)
	wantHave(t, a, id, server, aBackend("second"))
}

func lateCommitCounts(t *testing.T, f Fixture) {
	st := f.Open(t)
	id := create(t, st)
	token := claimed(t, st, id, server)
	f.Advance(lease + time.Second)
	wantCommit(t, st, id, server, token, aBackend("b"), true)
	wantHave(t, st, id, server, aBackend("b"))
}

func commitIsRepeatable(t *testing.T, f Fixture) {
	st := f.Open(t)
	id := create(t, st)
	token := claimed(t, st, id, server)
	wantCommit(t, st, id, server, token, aBackend("b"), true)
	wantCommit(t, st, id, server, token, aBackend("b"), true)
	wantCommit(t, st, id, server, token, aBackend("c"), false)
	wantHave(t, st, id, server, aBackend("b"))
	must(t, st.Drop(t.Context(), id, server, "b"))
	wantCommit(t, st, id, server, token, aBackend("b"), false)
}

func renewedLeaseGoesOn(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id := create(t, a)
	renew := func(st session.Store, server string, token session.Token, want bool) {
		t.Helper()
		got, err := st.Renew(t.Context(), id, server, token, lease)
		must(t, err)
		if got != want {
			t.Errorf("Renew: got %t, want %t", got, want)
		}
	}
	renew(a, server, "token", false) // there is no claim
	first := claimed(t, a, id, server)
	for range 3 {
		f.Advance(lease - time.Millisecond)
		renew(a, server, first, true)
		wantState(t, b, id, server, session.Wait)
	}
	renew(a, server, "", false)
	renew(a, server, "other", false)
	renew(a, "another server", first, false)
	f.Advance(lease)
	renew(a, server, first, true) // late, but nobody has asked
	wantState(t, b, id, server, session.Wait)
	f.Advance(lease)
	second := claimed(t, b, id, server)
	renew(a, server, first, false)
	wantCommit(t, b, id, server, second, aBackend("second"), true)
	renew(b, server, second, false) // it is a claim no more
	wantHave(t, a, id, server, aBackend("second"))
	_, err := b.Delete(t.Context(), id)
	must(t, err)
	renew(b, server, second, false)
}

func commitAfterDeleteIsLost(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id := create(t, a)
	token := claimed(t, a, id, server)
	held, err := b.Delete(t.Context(), id)
	must(t, err)
	if len(held) != 0 {
		t.Errorf("Delete: got %v, want no backend session for a claim", held)
	}
	wantCommit(t, a, id, server, token, aBackend("b"), false)
	wantNotFound(t, a, id)
}

func commitAfterExpiryIsLost(t *testing.T, f Fixture) {
	st := f.Open(t)
	id := create(t, st)
	token := claimed(t, st, id, server)
	f.Advance(idle)
	wantCommit(t, st, id, server, token, aBackend("b"), false)
	ended, err := st.Expired(t.Context(), 10)
	must(t, err)
	if len(ended) != 1 || len(ended[0].Backends) != 0 {
		t.Errorf("Expired: got %v, want one session without backends", ended)
	}
	wantCommit(t, st, id, server, token, aBackend("b"), false)
}

func abandonFreesClaim(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	ctx := t.Context()
	id := create(t, a)
	first := claimed(t, a, id, server)
	must(t, a.Abandon(ctx, id, server, first))
	second := claimed(t, b, id, server) // at once
	must(t, a.Abandon(ctx, id, server, first))
	must(t, a.Abandon(ctx, id, server, ""))
	must(t, a.Abandon(ctx, id, "another server", second))
	wantState(t, a, id, server, session.Wait)
	wantCommit(t, a, id, server, first, aBackend("first"), false)

	wantCommit(t, b, id, server, second, aBackend("second"), true)
	must(t, b.Abandon(ctx, id, server, second))
	must(t, b.Abandon(ctx, id, server, ""))
	wantHave(t, a, id, server, aBackend("second"))
}

func dropForgetsOnlyTheOneNamed(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	ctx := t.Context()
	id := create(t, a)
	opened(t, a, id, server, aBackend("old"))
	opened(t, a, id, "cal", aBackend("old"))
	must(t, a.Drop(ctx, id, server, "old"))
	wantHave(t, a, id, "cal", aBackend("old"))

	token := claimed(t, b, id, server)
	must(t, a.Drop(ctx, id, server, "old")) // a claim is under way
	must(t, a.Drop(ctx, id, server, ""))
	wantState(t, a, id, server, session.Wait)
	wantCommit(t, b, id, server, token, aBackend("new"), true)

	for _, stale := range []string{"old", "", "ne", "new ", "2025-11-25:new", ":new"} {
		must(t, a.Drop(ctx, id, server, stale))
		wantHave(t, b, id, server, aBackend("new"))
	}
	must(t, a.Drop(ctx, id, server, "new"))
	wantState(t, b, id, server, session.Claimed)
}

func invalidationsReachOthers(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	channels := []<-chan session.Invalidation{a.Invalidations(t.Context()), b.Invalidations(t.Context())}
	expect := func(want session.Invalidation) {
		t.Helper()
		for _, ch := range channels {
			if diff := cmp.Diff(want, receive(t, ch)); diff != "" {
				t.Fatalf("invalidation (-want +got):\n%s", diff)
			}
		}
	}
	expect(session.Invalidation{Flush: true})

	ctx := t.Context()
	id, idler := create(t, a), create(t, a)
	token := claimed(t, a, id, "my server")
	wantCommit(t, a, id, "my server", "not the token", aBackend("b"), false)
	wantCommit(t, b, id, "my server", token, aBackend("b"), true)
	expect(session.Invalidation{Key: id.Key(), Server: "my server", Opened: true})
	must(t, a.Drop(ctx, id, "my server", "older")) // nothing happens
	must(t, a.Drop(ctx, id, "my server", "b"))
	expect(session.Invalidation{Key: id.Key(), Server: "my server"})

	f.Advance(idle - time.Second)
	wantLive(t, b, id)
	f.Advance(time.Second)
	_, err := b.Expired(ctx, 10)
	must(t, err)
	expect(session.Invalidation{Key: idler.Key()})

	_, err = b.Delete(ctx, id)
	must(t, err)
	expect(session.Invalidation{Key: id.Key()})
}

func invalidationsEnd(t *testing.T, f Fixture) {
	st := f.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	ch := st.Invalidations(ctx)
	receive(t, ch)
	cancel()
	limit, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				_, err := st.Delete(t.Context(), create(t, st)) // publishes to nobody
				must(t, err)
				return
			}
		case <-limit.Done():
			t.Fatal("the channel was not closed after its context ended")
		}
	}
}
