package redis_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/redis/redistest"
)

// soon is how long an answer may take that the contract grants a second for: a
// busy machine needs more, and a client that waits as long as it likes takes
// longer than this.
const soon = 5 * time.Second

// wantUnavailable checks the answer, and that it comes soon.
func wantUnavailable(t *testing.T, name string, call func() error) {
	t.Helper()
	start := time.Now()
	err := call()
	if !errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrNotFound) {
		t.Errorf("%s: got error %v, want ErrUnavailable", name, err)
	}
	if d := time.Since(start); d >= soon {
		t.Errorf("%s: answered after %v, want less than a second, %v here", name, d, soon)
	}
}

// calls are all methods that can fail.
func calls(t *testing.T, st session.Store, id session.ID) map[string]func() error {
	ctx := t.Context()
	return map[string]func() error{
		"Create":  func() error { return st.Create(ctx, session.Session{ID: session.NewID()}, session.Caps{}) },
		"Get":     func() error { _, err := st.Get(ctx, id); return err },
		"Delete":  func() error { _, err := st.Delete(ctx, id); return err },
		"Claim":   func() error { _, err := st.Claim(ctx, id, "cal", time.Minute); return err },
		"Renew":   func() error { _, err := st.Renew(ctx, id, "cal", "t", time.Minute); return err },
		"Commit":  func() error { _, err := st.Commit(ctx, id, "cal", "t", session.Backend{}); return err },
		"Abandon": func() error { return st.Abandon(ctx, id, "cal", "t") },
		"Drop":    func() error { return st.Drop(ctx, id, "cal", "b") },
		"Expired": func() error { _, err := st.Expired(ctx, 1); return err },

		"Backends":    func() error { _, err := st.Backends(ctx, id); return err },
		"Settings":    func() error { _, err := st.Settings(ctx, id); return err },
		"SetLevel":    func() error { return st.SetLevel(ctx, id, "info") },
		"Subscribe":   func() error { _, err := st.Subscribe(ctx, id, session.Subscription{}); return err },
		"Unsubscribe": func() error { return st.Unsubscribe(ctx, id, session.Subscription{}) },
		"Send":        func() error { _, err := st.Send(ctx, "a", []byte("x")); return err },
	}
}

func TestKilledRedisComesBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	st := openAsIs(t, redis.Options{Timeouts: usual, URL: server.URL()})
	events := st.Invalidations(t.Context())
	wantFlush(t, events)
	id := create(t, st)
	commit(t, st, id, "weather", session.Backend{ID: "b", Version: "2025-11-25"})
	wantEvent(t, events, session.Invalidation{Key: id.Key(), Server: "weather", Opened: true})

	server.Kill()
	for name, call := range calls(t, st, id) {
		wantUnavailable(t, name, call)
	}

	server.Restart()
	wantBack(t, st, id)
	c, err := st.Claim(t.Context(), id, "weather", time.Minute)
	want := session.Claim{State: session.Have, Backend: session.Backend{ID: "b", Version: "2025-11-25"}}
	if err != nil || c != want {
		t.Errorf("Claim after the restart: got %+v, %v, want %+v", c, err, want)
	}
	wantFlush(t, events) // messages may be lost: every copy is in doubt
	if _, err := st.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	wantEvent(t, events, session.Invalidation{Key: id.Key()})
}

func TestHangingRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	st := openAsIs(t, redis.Options{Timeouts: usual, URL: server.URL()})
	id := create(t, st)
	server.Pause()
	for name, call := range calls(t, st, id) {
		if name != "Delete" { // it would take effect when Redis goes on
			wantUnavailable(t, name, call)
		}
	}
	server.Resume()
	wantBack(t, st, id)
}

// TestMuteServer accepts connections and says nothing: the hang begins before
// the first answer.
func TestMuteServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	st := openAsIs(t, redis.Options{Timeouts: usual, URL: "redis://" + l.Addr().String()})
	wantUnavailable(t, "Get", func() error { _, err := st.Get(t.Context(), session.NewID()); return err })
}

func TestStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Kill()
	st := openAsIs(t, redis.Options{Timeouts: usual, URL: server.URL()})
	events := st.Invalidations(t.Context())
	wantUnavailable(t, "Get", func() error { _, err := st.Get(t.Context(), session.NewID()); return err })
	server.Restart()
	wantFlush(t, events)
	id := session.NewID()
	eventually(t, func() error { return st.Create(t.Context(), session.Session{ID: id}, session.Caps{}) })
	wantBack(t, st, id)
}

// wantBack waits until the store answers, and wants the session in it.
func wantBack(t *testing.T, st session.Store, id session.ID) {
	t.Helper()
	eventually(t, func() error { _, err := st.Get(t.Context(), id); return err })
}

// eventually repeats a call while the store is unavailable: the client may look
// for a lost server only once a second.
func eventually(t testing.TB, call func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patient); ; <-tick.C {
		err := call()
		if err == nil {
			return
		}
		if !errors.Is(err, session.ErrUnavailable) || time.Now().After(limit) {
			t.Fatalf("the store did not come back: %v", err)
		}
	}
}

func wantFlush(t *testing.T, ch <-chan session.Invalidation) {
	t.Helper()
	wantEvent(t, ch, session.Invalidation{Flush: true})
}

func wantEvent(t *testing.T, ch <-chan session.Invalidation, want session.Invalidation) {
	t.Helper()
	select {
	case got := <-ch:
		if got != want {
			t.Fatalf("invalidation: got %+v, want %+v", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("invalidation: none arrived, want %+v", want)
	}
}
