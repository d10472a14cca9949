package memory_test

import (
	"errors"
	"testing"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
	"mcp-gateway/broker/session/sessiontest"
)

func open(tb testing.TB, o memory.Options) *memory.Store {
	tb.Helper()
	st, err := memory.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return st
}

func TestConformance(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, func(t *testing.T, timeouts session.Timeouts) sessiontest.Fixture {
		c := sessiontest.NewClock()
		st := open(t, memory.Options{Timeouts: timeouts, Now: c.Now})
		return sessiontest.Fixture{
			Open:    func(testing.TB) session.Store { return st },
			Advance: c.Advance,
		}
	})
}

func TestRefusesBadOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]memory.Options{
		"no idle":     {Timeouts: session.Timeouts{Lifetime: time.Hour}},
		"no lifetime": {Timeouts: session.Timeouts{Idle: time.Hour}},
		"negative":    {Timeouts: session.Timeouts{Idle: -1, Lifetime: time.Hour}},
	} {
		if _, err := memory.New(o); err == nil {
			t.Errorf("%s: New accepted %+v", name, o)
		}
	}
}

func TestBound(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), sessiontest.NewClock()
	st := open(t, memory.Options{
		Timeouts: session.Timeouts{Idle: time.Minute, Lifetime: time.Hour},
		Now:      c.Now,
	})
	create := func() (session.ID, error) {
		id := session.NewID()
		return id, st.Create(ctx, session.Session{ID: id}, session.Caps{Total: 2})
	}
	mustCreate := func() session.ID {
		t.Helper()
		id, err := create()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	wantFull := func() {
		t.Helper()
		if _, err := create(); !errors.Is(err, session.ErrFull) {
			t.Fatalf("Create: got error %v, want ErrFull", err)
		}
	}

	mustCreate()
	id := mustCreate()
	wantFull()
	if err := st.Create(ctx, session.Session{ID: id}, session.Caps{Total: 2}); err != nil {
		t.Errorf("the same Create again, in a full store: %v", err)
	}
	if _, err := st.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	mustCreate()
	wantFull()

	// Expired sessions give way; Expired still hands them out.
	c.Advance(time.Minute)
	mustCreate()
	mustCreate()
	wantFull()
	// Nobody calls Expired: then as many again wait for it, but not more.
	c.Advance(time.Minute)
	wantFull()
	for _, want := range []int{1, 3, 0} {
		limit := 3
		if want == 1 {
			limit = 1
		}
		ended, err := st.Expired(ctx, limit)
		if err != nil || len(ended) != want {
			t.Fatalf("Expired(%d): got %d sessions, %v, want %d", limit, len(ended), err, want)
		}
	}
	mustCreate()
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	ctx := t.Context()
	st, id := warm(t)
	for name, f := range map[string]func(){
		"Get":   func() { _, _ = st.Get(ctx, id) },
		"Claim": func() { _, _ = st.Claim(ctx, id, "weather", time.Minute) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	st, id := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := st.Get(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHave(b *testing.B) {
	st, id := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		if c, err := st.Claim(b.Context(), id, "weather", time.Minute); err != nil || c.State != session.Have {
			b.Fatal(c, err)
		}
	}
}

// warm returns a store with a session that has a backend session at weather.
func warm(tb testing.TB) (*memory.Store, session.ID) {
	tb.Helper()
	st := open(tb, memory.Options{
		Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour},
	})
	ctx, id := tb.Context(), session.NewID()
	if err := st.Create(ctx, session.Session{ID: id}, session.Caps{}); err != nil {
		tb.Fatal(err)
	}
	c, err := st.Claim(ctx, id, "weather", time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	if won, err := st.Commit(ctx, id, "weather", c.Token, session.Backend{ID: "b"}); !won || err != nil {
		tb.Fatal(won, err)
	}
	return st, id
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), sessiontest.NewClock()
	lifetime := time.Hour
	st := open(t, memory.Options{Timeouts: session.Timeouts{Idle: time.Minute, Lifetime: lifetime}, Now: c.Now, Adopts: true})
	end := c.Now().Add(lifetime)
	adopt := func(id session.ID) error { return st.Adopt(ctx, session.Session{ID: id}, session.Caps{}, end) }
	for range 100 {
		id := session.NewID()
		if err := adopt(id); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := adopt(id); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Adopt of what has ended: got error %v, want ErrNotFound", err)
		}
	}
	for _, step := range []struct {
		advance time.Duration
		want    int
	}{{lifetime - time.Millisecond, 100}, {time.Minute, 0}} {
		c.Advance(step.advance)
		if _, err := st.Expired(ctx, 10); err != nil {
			t.Fatal(err)
		}
		if n := memory.Remembered(st); n != step.want {
			t.Errorf("after %v: %d ended sessions are remembered, want %d", step.advance, n, step.want)
		}
	}
}
