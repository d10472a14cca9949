package sessiontest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"mcp-gateway/broker/session"
)

// of returns a session of a principal.
func of(principal string) session.Session {
	s := aSession()
	s.Principal = principal
	return s
}

// admitted creates a session of a principal that may have most of them.
func admitted(t *testing.T, st session.Store, principal string, most int) session.Session {
	t.Helper()
	s := of(principal)
	must(t, st.Create(t.Context(), s, session.Caps{Principal: most}))
	return s
}

func wantTooMany(t *testing.T, st session.Store, principal string, most int) {
	t.Helper()
	s := of(principal)
	if err := st.Create(t.Context(), s, session.Caps{Principal: most}); !errors.Is(err, session.ErrTooMany) {
		t.Fatalf("Create beyond the cap of a principal: got error %v, want ErrTooMany", err)
	}
	wantNotFound(t, st, s.ID)
}

func capOfPrincipal(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	first := admitted(t, a, "p", 3)
	admitted(t, b, "p", 3)
	admitted(t, a, "p", 3)
	wantTooMany(t, a, "p", 3)
	wantTooMany(t, b, "p", 3)
	must(t, b.Create(t.Context(), first, session.Caps{Principal: 3})) // the same again

	admitted(t, a, "q", 1) // who has sessions of its own
	wantTooMany(t, a, "q", 1)
	for range 5 { // nobody in particular
		admitted(t, a, "", 3)
	}

	if _, err := b.Delete(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	admitted(t, a, "p", 3)
	wantTooMany(t, b, "p", 3)

	// Nobody calls Expired: what has ended takes no place all the same.
	f.Advance(idle)
	for range 3 {
		admitted(t, b, "p", 3)
	}
	wantTooMany(t, a, "p", 3)
}

// capSparesUsedSession: a session that is used beyond the first idle timeout
// keeps its place, and gives it back when it ends at last.
func capSparesUsedSession(t *testing.T, f Fixture) {
	st := f.Open(t)
	used := admitted(t, st, "p", 2)
	admitted(t, st, "p", 2)
	for range 3 {
		f.Advance(idle - time.Minute)
		wantLive(t, st, used.ID)
	}
	admitted(t, st, "p", 2)
	wantTooMany(t, st, "p", 2)
	wantLive(t, st, used.ID)
	f.Advance(idle)
	admitted(t, st, "p", 2)
	admitted(t, st, "p", 2)
	wantTooMany(t, st, "p", 2)
}

func capFreedByExpired(t *testing.T, f Fixture) {
	st := f.Open(t)
	admitted(t, st, "p", 2)
	admitted(t, st, "p", 2)
	f.Advance(idle)
	if ended, err := st.Expired(t.Context(), 10); err != nil || len(ended) != 2 {
		t.Fatalf("Expired: got %d sessions, %v, want 2", len(ended), err)
	}
	admitted(t, st, "p", 2)
	admitted(t, st, "p", 2)
	wantTooMany(t, st, "p", 2)
}

// capIsThatOfTheCall: a cap that was lowered ends no session.
func capIsThatOfTheCall(t *testing.T, f Fixture) {
	st := f.Open(t)
	var all []session.Session
	for range 4 {
		all = append(all, admitted(t, st, "p", 4))
	}
	wantTooMany(t, st, "p", 4)
	wantTooMany(t, st, "p", 2)
	all = append(all, admitted(t, st, "p", 5))
	wantTooMany(t, st, "p", 5)
	for _, s := range all {
		wantLive(t, st, s.ID)
	}
}

// capOfAllSessions leaves a store that keeps shares some of its room: it never
// takes more than the cap, and not much less.
func capOfAllSessions(t *testing.T, f Fixture) {
	const most, least = 1024, 700
	stores := handles(t, f, 2)
	fill := func() (ids []session.ID) {
		t.Helper()
		for {
			s := of("")
			id, err := session.Begin(t.Context(), stores[len(ids)%2], s, session.Caps{Total: most})
			if errors.Is(err, session.ErrFull) {
				break
			}
			must(t, err)
			if ids = append(ids, id); len(ids) > most {
				t.Fatalf("%d sessions, want at most %d", len(ids), most)
			}
		}
		if len(ids) < least {
			t.Fatalf("full with %d sessions, want at least %d", len(ids), least)
		}
		return ids
	}
	ids := fill()
	wantLive(t, stores[1], ids[0])

	// The place of one that ends is free, for an id that falls there.
	if _, err := stores[0].Delete(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if f.MintsIDs {
		_, err := session.Begin(t.Context(), stores[1], of(""), session.Caps{Total: most})
		must(t, err)
	} else {
		must(t, stores[1].Create(t.Context(), session.Session{ID: ids[0]}, session.Caps{Total: most}))
		must(t, stores[1].Create(t.Context(), session.Session{ID: ids[0]}, session.Caps{Total: most})) // the same again
	}

	f.Advance(idle)
	fill()
}

func racingCreatesKeepCaps(t *testing.T, f Fixture) {
	const most = 5
	stores := handles(t, f, 4)
	var mu sync.Mutex
	var ids []session.ID
	race := func() {
		t.Helper()
		together(40, func(i int) {
			s := of("p")
			err := stores[i%len(stores)].Create(t.Context(), s, session.Caps{Principal: most})
			if errors.Is(err, session.ErrTooMany) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, s.ID)
		})
		if len(ids) != most {
			t.Fatalf("%d sessions were admitted, want %d", len(ids), most)
		}
	}
	race()
	for _, id := range ids {
		if _, err := stores[0].Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	ids = nil
	race()
	f.Advance(idle) // the places are looked for by many at once
	ids = nil
	race()
}
