package sessiontest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mcp-gateway/broker/session"
)

func wantSettings(t *testing.T, st session.Store, id session.ID, want session.Settings) {
	t.Helper()
	got, err := st.Settings(t.Context(), id)
	must(t, err)
	byBoth := func(a, b session.Subscription) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.URI, b.URI))
	}
	slices.SortFunc(got.Subscriptions, byBoth)
	slices.SortFunc(want.Subscriptions, byBoth)
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("settings (-want +got):\n%s", diff)
	}
}

func subscribe(t *testing.T, st session.Store, id session.ID, s session.Subscription, want bool) {
	t.Helper()
	added, err := st.Subscribe(t.Context(), id, s)
	must(t, err)
	if added != want {
		t.Fatalf("Subscribe %+v: added %v, want %v", s, added, want)
	}
}

func keepsSettings(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id, other := create(t, a), create(t, a)
	wantSettings(t, b, id, session.Settings{})
	must(t, a.SetLevel(t.Context(), id, "debug"))
	must(t, b.SetLevel(t.Context(), id, "error"))
	subs := []session.Subscription{
		{Server: "weather", URI: "file:///a"},
		{Server: "weather:", URI: "file:///a"},
		{Server: "weather", URI: ":file:///a"},
		{Server: "7:weather", URI: ""},
		{Server: "é\n", URI: " +\x00\xff%20"},
		{Server: "cal", URI: strings.Repeat("x", session.LongestURI)},
	}
	for _, s := range subs {
		subscribe(t, a, id, s, true)
		subscribe(t, b, id, s, false)
	}
	wantSettings(t, b, id, session.Settings{Level: "error", Subscriptions: subs})
	wantSettings(t, b, other, session.Settings{})

	must(t, b.Unsubscribe(t.Context(), id, subs[0]))
	must(t, b.Unsubscribe(t.Context(), id, subs[0]))
	wantSettings(t, a, id, session.Settings{Level: "error", Subscriptions: subs[1:]})
	subscribe(t, a, id, subs[0], true)
}

// settingsAreNoBackends: neither Backends nor Delete takes one for the other.
func settingsAreNoBackends(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id := create(t, a)
	held, err := a.Backends(t.Context(), id)
	must(t, err)
	if len(held) != 0 {
		t.Errorf("Backends of a new session: %v", held)
	}
	must(t, a.SetLevel(t.Context(), id, "s:x:y"))
	subscribe(t, a, id, session.Subscription{Server: "weather", URI: "s:x:y"}, true)
	opened(t, a, id, "weather", aBackend("w"))
	opened(t, b, id, "cal", session.Backend{})
	claimed(t, b, id, "under way")
	want := []session.Held{{Server: "cal"}, {Server: "weather", Backend: aBackend("w")}}
	held, err = b.Backends(t.Context(), id)
	must(t, err)
	if diff := gocmp.Diff(want, sorted(held)); diff != "" {
		t.Errorf("Backends (-want +got):\n%s", diff)
	}
	must(t, a.Drop(t.Context(), id, "weather", "w"))
	held, err = b.Backends(t.Context(), id)
	must(t, err)
	if diff := gocmp.Diff(want[:1], held); diff != "" {
		t.Errorf("Backends after Drop (-want +got):\n%s", diff)
	}
	held, err = b.Delete(t.Context(), id)
	must(t, err)
	if diff := gocmp.Diff(want[:1], held); diff != "" {
		t.Errorf("Delete (-want +got):\n%s", diff)
	}
}

func settingsAreBounded(t *testing.T, f Fixture) {
	stores := []session.Store{f.Open(t), f.Open(t)}
	st := stores[0]
	id := create(t, st)
	long := session.Subscription{Server: "w", URI: strings.Repeat("x", session.LongestURI+1)}
	if _, err := st.Subscribe(t.Context(), id, long); !errors.Is(err, session.ErrTooMuch) {
		t.Errorf("Subscribe with %d bytes: got error %v, want ErrTooMuch", len(long.URI), err)
	}
	const callers = 20
	var added, refused atomic.Int64
	together(callers, func(i int) {
		for j := range session.MaxSubscriptions / callers * 2 {
			ok, err := stores[i%2].Subscribe(t.Context(), id, session.Subscription{Server: "w", URI: fmt.Sprint(i, "/", j)})
			switch {
			case errors.Is(err, session.ErrTooMuch):
				refused.Add(1)
			case err != nil || !ok:
				t.Errorf("Subscribe: %v, %v", ok, err)
			default:
				added.Add(1)
			}
		}
	})
	if added.Load() != session.MaxSubscriptions || refused.Load() != session.MaxSubscriptions {
		t.Errorf("%d added, %d refused, want %d of each", added.Load(), refused.Load(), session.MaxSubscriptions)
	}
	got, err := st.Settings(t.Context(), id)
	must(t, err)
	if len(got.Subscriptions) != session.MaxSubscriptions {
		t.Fatalf("%d subscriptions", len(got.Subscriptions))
	}
	subscribe(t, st, id, got.Subscriptions[0], false)
	must(t, st.Unsubscribe(t.Context(), id, got.Subscriptions[0]))
	subscribe(t, st, id, session.Subscription{Server: "w", URI: "one more"}, true)
}

func settingsEndWithSession(t *testing.T, f Fixture) {
	st, ctx := f.Open(t), t.Context()
	sub := session.Subscription{Server: "weather", URI: "file:///secret"}
	set := func() session.ID {
		id := create(t, st)
		must(t, st.SetLevel(ctx, id, "debug"))
		subscribe(t, st, id, sub, true)
		return id
	}
	deleted, expired := set(), set()
	_, err := st.Delete(ctx, deleted)
	must(t, err)
	f.Advance(idle)
	for _, id := range []session.ID{deleted, expired, session.NewID(), ""} {
		if _, err := st.Backends(ctx, id); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Backends: got error %v, want ErrNotFound", err)
		}
		if _, err := st.Settings(ctx, id); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Settings: got error %v, want ErrNotFound", err)
		}
		if err := st.SetLevel(ctx, id, "info"); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("SetLevel: got error %v, want ErrNotFound", err)
		}
		if _, err := st.Subscribe(ctx, id, sub); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Subscribe: got error %v, want ErrNotFound", err)
		}
		long := session.Subscription{URI: strings.Repeat("x", session.LongestURI+1)}
		if _, err := st.Subscribe(ctx, id, long); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Subscribe with a long URI: got error %v, want ErrNotFound", err)
		}
		if err := st.Unsubscribe(ctx, id, sub); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Unsubscribe: got error %v, want ErrNotFound", err)
		}
	}
	_, err = st.Expired(ctx, 10)
	must(t, err)
	if f.Dump != nil {
		if dump := f.Dump(t); strings.Contains(dump, "file:///secret") {
			t.Error("a subscription outlives its session")
		}
	}
}

func settingsAreUses(t *testing.T, f Fixture) {
	st, ctx := f.Open(t), t.Context()
	id := create(t, st)
	sub := session.Subscription{Server: "w", URI: "u"}
	for _, use := range []func() error{
		func() error { return st.SetLevel(ctx, id, "info") },
		func() error { _, err := st.Subscribe(ctx, id, sub); return err },
		func() error { return st.Unsubscribe(ctx, id, sub) },
	} {
		f.Advance(idle - time.Millisecond)
		must(t, use())
	}
	subscribe(t, st, id, sub, true)
	f.Advance(idle - time.Millisecond)
	wantSettings(t, st, id, session.Settings{Level: "info", Subscriptions: []session.Subscription{sub}})
	_, err := st.Backends(ctx, id)
	must(t, err)
	f.Advance(time.Millisecond)
	wantNotFound(t, st, id) // those two were none
}
