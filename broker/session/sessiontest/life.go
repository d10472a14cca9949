package sessiontest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/mcp"
)

func keepsSession(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	for name, want := range map[string]session.Session{
		"plain": aSession(),
		"bare":  {ID: session.NewID(), Version: mcp.Revision20250326},
		"odd bytes": {
			ID:           session.NewID(),
			Version:      mcp.Revision20251125,
			ClientInfo:   json.RawMessage(" {\"n\" : 1.0e400,\r\n\"\\u0000\":9007199254740993, \"é\":\":\"} "),
			Capabilities: json.RawMessage(`{"x:y":"1:2"}`),
			Endpoint:     "team.a-1",
			Principal:    "https://issuer.example|sub:1\n",
		},
		"large": {
			ID:         session.NewID(),
			Version:    mcp.Revision20251125,
			ClientInfo: json.RawMessage(`"` + strings.Repeat("x", 64<<10) + `"`),
		},
	} {
		if f.LargestSession > 0 && len(want.ClientInfo) > f.LargestSession {
			continue
		}
		must(t, a.Create(t.Context(), want, session.Caps{}))
		got, err := b.Get(t.Context(), want.ID)
		must(t, err)
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: other handle (-created +got):\n%s", name, diff)
		}
	}

	// The caller's buffers are the caller's again.
	s := aSession()
	want := string(s.ClientInfo)
	must(t, a.Create(t.Context(), s, session.Caps{}))
	s.ClientInfo[0] = 'X'
	got, err := a.Get(t.Context(), s.ID)
	must(t, err)
	if string(got.ClientInfo) != want {
		t.Errorf("ClientInfo after the caller changed its buffer: got %s, want %s", got.ClientInfo, want)
	}
}

func createIsRepeatable(t *testing.T, f Fixture) {
	st := f.Open(t)
	s := aSession()
	must(t, st.Create(t.Context(), s, session.Caps{}))
	opened(t, st, s.ID, server, aBackend("b"))
	f.Advance(idle - time.Second)
	must(t, st.Create(t.Context(), s, session.Caps{}))
	wantHave(t, st, s.ID, server, aBackend("b"))

	for name, change := range map[string]func(*session.Session){
		"version":      func(s *session.Session) { s.Version = mcp.Revision20250326 },
		"endpoint":     func(s *session.Session) { s.Endpoint = "other" },
		"principal":    func(s *session.Session) { s.Principal = "q" },
		"clientInfo":   func(s *session.Session) { s.ClientInfo = nil },
		"capabilities": func(s *session.Session) { s.Capabilities = json.RawMessage(`{}`) },
	} {
		other := s
		change(&other)
		if err := st.Create(t.Context(), other, session.Caps{}); !errors.Is(err, session.ErrExists) {
			t.Errorf("Create with another %s: got error %v, want ErrExists", name, err)
		}
	}
	got, err := st.Get(t.Context(), s.ID)
	must(t, err)
	if diff := gocmp.Diff(s, got); diff != "" {
		t.Errorf("first session (-want +got):\n%s", diff)
	}
}

func unknownSession(t *testing.T, f Fixture) {
	st, ctx := f.Open(t), t.Context()
	create(t, st)
	for _, id := range []session.ID{session.NewID(), "", "*", "x y\n{}", session.ID(strings.Repeat("a", 10_000))} {
		wantNotFound(t, st, id)
		if _, err := st.Delete(ctx, id); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Delete: got error %v, want ErrNotFound", err)
		}
		wantState(t, st, id, server, session.Gone)
		wantCommit(t, st, id, server, "token", aBackend("b"), false)
		must(t, st.Abandon(ctx, id, server, "token"))
		must(t, st.Drop(ctx, id, server, "b"))
		wantNotFound(t, st, id)
	}
}

func idleSessionExpires(t *testing.T, f Fixture) {
	st := f.Open(t)
	id := create(t, st)
	f.Advance(idle - time.Millisecond)
	if _, err := st.Delete(t.Context(), create(t, st)); err != nil {
		t.Errorf("Delete of a live session: %v", err)
	}
	f.Advance(time.Millisecond)
	wantNotFound(t, st, id)
	wantState(t, st, id, server, session.Gone)
	if _, err := st.Delete(t.Context(), id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Delete: got error %v, want ErrNotFound", err)
	}
}

func useExtendsBelowHalf(t *testing.T, f Fixture) {
	st := f.Open(t)
	early, late := create(t, st), create(t, st)

	f.Advance(idle / 2)
	wantLive(t, st, early) // half is left: no write
	f.Advance(time.Millisecond)
	wantLive(t, st, late) // less than half: ten more minutes

	f.Advance(idle/2 - time.Millisecond)
	wantNotFound(t, st, early)
	f.Advance(idle / 2)
	wantLive(t, st, late)
	f.Advance(idle)
	wantNotFound(t, st, late)
}

func claimIsUse(t *testing.T, f Fixture) {
	st := f.Open(t)
	id := create(t, st)
	opened(t, st, id, server, aBackend("b"))
	for range 5 {
		f.Advance(idle - time.Millisecond)
		wantHave(t, st, id, server, aBackend("b"))
	}
}

func lifetimeEndsUsedSession(t *testing.T, f Fixture) {
	st := f.Open(t)
	id := create(t, st)
	const step = idle - time.Minute
	var age time.Duration
	for ; age+step < lifetime; age += step {
		f.Advance(step)
		wantLive(t, st, id)
	}
	f.Advance(lifetime - age - time.Millisecond)
	wantLive(t, st, id)
	f.Advance(time.Millisecond)
	wantNotFound(t, st, id)
}

func lifetimeShorterThanIdle(t *testing.T, f Fixture) {
	st := f.Open(t)
	id := create(t, st)
	f.Advance(idle - time.Millisecond)
	wantLive(t, st, id)
	f.Advance(time.Millisecond)
	wantNotFound(t, st, id)
}

func deleteReturnsBackends(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id, other := create(t, a), create(t, a)
	opened(t, a, id, "weather", aBackend("w"))
	opened(t, b, id, "cal", aBackend("c"))
	opened(t, b, id, "plain", session.Backend{Version: mcp.Revision20250326})
	claimed(t, b, id, "under way")
	opened(t, b, other, "weather", aBackend("o"))

	held, err := b.Delete(t.Context(), id)
	must(t, err)
	want := []session.Held{
		{Server: "cal", Backend: aBackend("c")},
		{Server: "plain", Backend: session.Backend{Version: mcp.Revision20250326}},
		{Server: "weather", Backend: aBackend("w")},
	}
	if diff := gocmp.Diff(want, sorted(held)); diff != "" {
		t.Errorf("Delete (-want +got):\n%s", diff)
	}
	wantNotFound(t, a, id)
	wantState(t, a, id, "weather", session.Gone)
	if _, err := a.Delete(t.Context(), id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("second Delete: got error %v, want ErrNotFound", err)
	}
	wantHave(t, a, other, "weather", aBackend("o"))

	if held, err := a.Delete(t.Context(), create(t, a)); err != nil || len(held) != 0 {
		t.Errorf("Delete of a session without backends: got %v, %v, want none and no error", held, err)
	}
}

func sorted(held []session.Held) []session.Held {
	slices.SortFunc(held, func(a, b session.Held) int { return cmp.Compare(a.Server, b.Server) })
	return held
}

func deleteHasOneWinner(t *testing.T, f Fixture) {
	stores := []session.Store{f.Open(t), f.Open(t)}
	id := create(t, stores[0])
	opened(t, stores[0], id, server, aBackend("b"))
	var mu sync.Mutex
	var winners int
	together(20, func(i int) {
		held, err := stores[i%2].Delete(t.Context(), id)
		if errors.Is(err, session.ErrNotFound) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		winners++
		if err != nil || len(held) != 1 {
			t.Errorf("Delete: got %v, %v, want one backend session", held, err)
		}
	})
	if winners != 1 {
		t.Errorf("%d callers of Delete got the backend sessions, want 1", winners)
	}
}

func expiredHandsOutOnce(t *testing.T, f Fixture) {
	stores := []session.Store{f.Open(t), f.Open(t)}
	want := map[session.Key]string{}
	for i := range 50 {
		id := create(t, stores[0])
		want[id.Key()] = fmt.Sprint("b", i)
		opened(t, stores[0], id, server, aBackend(want[id.Key()]))
		claimed(t, stores[0], id, "under way")
	}
	f.Advance(idle)
	fresh := create(t, stores[0])

	var mu sync.Mutex
	got := map[session.Key]string{}
	together(4, func(i int) {
		ended, err := stores[i%2].Expired(t.Context(), 1000)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, e := range ended {
			if _, twice := got[e.Key]; twice {
				t.Error("a session was handed out twice")
			}
			if len(e.Backends) != 1 || e.Backends[0].Server != server {
				t.Errorf("backends of an expired session: got %v, want one at %s", e.Backends, server)
				continue
			}
			got[e.Key] = e.Backends[0].Backend.ID
		}
	})
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("expired (-want +got):\n%s", diff)
	}
	wantLive(t, stores[1], fresh)
}

func expiredKeepsLimit(t *testing.T, f Fixture) {
	st := f.Open(t)
	for range 25 {
		create(t, st)
	}
	if ended, err := st.Expired(t.Context(), 10); err != nil || len(ended) != 0 {
		t.Fatalf("before the deadline: got %d sessions, error %v, want none", len(ended), err)
	}
	f.Advance(idle)
	for _, want := range []int{0, 10, 10, 5, 0} {
		limit := 10
		if want == 0 {
			limit = 0
		}
		ended, err := st.Expired(t.Context(), limit)
		must(t, err)
		if len(ended) != want {
			t.Fatalf("Expired(%d): got %d sessions, want %d", limit, len(ended), want)
		}
	}
}

func expiredSparesUsedSession(t *testing.T, f Fixture) {
	st := f.Open(t)
	used, unused := create(t, st), create(t, st)
	f.Advance(idle - time.Minute)
	wantLive(t, st, used)
	f.Advance(time.Minute)
	ended, err := st.Expired(t.Context(), 10)
	must(t, err)
	if len(ended) != 1 || ended[0].Key != unused.Key() {
		t.Errorf("Expired: got %d sessions, want only the unused one", len(ended))
	}
	wantLive(t, st, used)
}

func noPlainID(t *testing.T, f Fixture) {
	if f.Dump == nil {
		t.Skip("nobody can read this store")
	}
	st := f.Open(t)
	id := create(t, st)
	opened(t, st, id, server, aBackend("b"))
	claimed(t, st, id, "under way")
	dump := f.Dump(t)
	if !strings.Contains(dump, id.Key().String()) {
		t.Fatal("the dump does not show the session at all")
	}
	if strings.Contains(dump, string(id)) {
		t.Error("the store holds the plain session id")
	}
}

func canceledContext(t *testing.T, f Fixture) {
	st := f.Open(t)
	id := create(t, st)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Create":  func() error { return st.Create(ctx, aSession(), session.Caps{}) },
		"Get":     func() error { _, err := st.Get(ctx, id); return err },
		"Delete":  func() error { _, err := st.Delete(ctx, id); return err },
		"Claim":   func() error { _, err := st.Claim(ctx, id, server, lease); return err },
		"Renew":   func() error { _, err := st.Renew(ctx, id, server, "t", time.Minute); return err },
		"Commit":  func() error { _, err := st.Commit(ctx, id, server, "t", aBackend("b")); return err },
		"Abandon": func() error { return st.Abandon(ctx, id, server, "t") },
		"Drop":    func() error { return st.Drop(ctx, id, server, "b") },
		"Expired": func() error { _, err := st.Expired(ctx, 1); return err },

		"Backends":    func() error { _, err := st.Backends(ctx, id); return err },
		"Settings":    func() error { _, err := st.Settings(ctx, id); return err },
		"SetLevel":    func() error { return st.SetLevel(ctx, id, "info") },
		"Subscribe":   func() error { _, err := st.Subscribe(ctx, id, session.Subscription{}); return err },
		"Unsubscribe": func() error { return st.Unsubscribe(ctx, id, session.Subscription{}) },
		"Send":        func() error { _, err := st.Send(ctx, "a", nil); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) || errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: got error %v, want context.Canceled", name, err)
		}
	}
	wantLive(t, st, id)
}
