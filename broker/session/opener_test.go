package session_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
)

const (
	lease  = 30 * time.Second
	server = "weather"
)

// spy is a store whose answers a test counts, holds back or replaces.
type spy struct {
	session.Store
	claims  atomic.Int32
	claimed func()       // after each claim, before its answer
	commit  func() error // replaces Commit if not nil
}

func (s *spy) Claim(ctx context.Context, id session.ID, server string, lease time.Duration) (session.Claim, error) {
	s.claims.Add(1)
	c, err := s.Store.Claim(ctx, id, server, lease)
	if s.claimed != nil {
		s.claimed()
	}
	return c, err
}

func (s *spy) Commit(ctx context.Context, id session.ID, server string, t session.Token, b session.Backend) (bool, error) {
	if s.commit != nil {
		return false, s.commit()
	}
	return s.Store.Commit(ctx, id, server, t, b)
}

// bench is a store with one session, on the clock of a synctest bubble.
func bench(t *testing.T) (*spy, session.ID) {
	t.Helper()
	st, err := memory.New(memory.Options{
		Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := session.NewID()
	if err := st.Create(t.Context(), session.Session{ID: id}, session.Caps{}); err != nil {
		t.Fatal(err)
	}
	return &spy{Store: st}, id
}

// opens returns a request whose Open answers b, and which may not discard.
func opens(t *testing.T, id session.ID, b string) session.Request {
	return session.Request{
		ID: id, Server: server,
		Open:    func(context.Context) (session.Backend, error) { return session.Backend{ID: b}, nil },
		Discard: func(b session.Backend) { t.Errorf("discarded %q", b.ID) },
	}
}

func wantOpen(t *testing.T, o *session.Opener, r session.Request, want string) {
	t.Helper()
	b, err := o.Open(t.Context(), r)
	if err != nil || b.ID != want {
		t.Errorf("Open: got %q, %v, want %q", b.ID, err, want)
	}
}

func TestOpenSharesOneAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		o := session.NewOpener(st, lease)
		var opened int
		r := opens(t, id, "b")
		r.Open = func(context.Context) (session.Backend, error) {
			opened++
			time.Sleep(time.Second) // of the bubble
			return session.Backend{ID: "b"}, nil
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { wantOpen(t, o, r, "b") })
		}
		wg.Wait()
		if n := st.claims.Load(); n != 1 || opened != 1 {
			t.Errorf("50 callers: %d claims, %d opened, want 1 and 1", n, opened)
		}
		wantOpen(t, o, r, "b")
		if n := st.claims.Load(); n != 2 {
			t.Errorf("a later caller: %d claims in all, want 2: the answer is not kept", n)
		}
	})
}

func TestOpenOutlivesItsFirstCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		o := session.NewOpener(st, lease)
		r := opens(t, id, "b")
		release := make(chan struct{})
		r.Open = func(ctx context.Context) (session.Backend, error) {
			<-release
			return session.Backend{ID: "b"}, ctx.Err()
		}
		ctx, leave := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { _, err := o.Open(ctx, r); first <- err }()
		synctest.Wait()
		var wg sync.WaitGroup
		wg.Go(func() { wantOpen(t, o, r, "b") })
		synctest.Wait()
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("caller that left: got error %v, want context.Canceled", err)
		}
		close(release)
		wg.Wait()
	})
}

func TestLastCallerTakesTheAttemptAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		o := session.NewOpener(st, lease)
		r := opens(t, id, "b")
		const slow = time.Second // to notice that nobody waits
		r.Open = func(ctx context.Context) (session.Backend, error) {
			<-ctx.Done()
			time.Sleep(slow) // of the bubble
			return session.Backend{}, ctx.Err()
		}
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := o.Open(ctx, r); !errors.Is(err, context.Canceled) {
					t.Errorf("got error %v, want context.Canceled", err)
				}
			})
		}
		synctest.Wait()
		leave()
		wg.Wait()
		start := time.Now()
		wantOpen(t, o, opens(t, id, "b"), "b") // has no part in what was canceled
		if d := time.Since(start); d > slow+200*time.Millisecond {
			t.Errorf("the next caller waited %v for a claim that nobody uses", d)
		}
	})
}

// TestOpenedForNobodyIsKept: the server has answered, the callers are gone.
func TestOpenedForNobodyIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		o := session.NewOpener(st, lease)
		r := opens(t, id, "b")
		r.Open = func(ctx context.Context) (session.Backend, error) {
			<-ctx.Done()
			return session.Backend{ID: "b"}, nil
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := o.Open(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want context.DeadlineExceeded", err)
		}
		synctest.Wait()
		wantOpen(t, o, opens(t, id, "another"), "b")
	})
}

func TestFailedOpenGivesTheClaimBack(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, tc := range map[string]struct {
		open func(context.Context) (session.Backend, error)
		want func(error) bool
	}{
		"error": {
			func(context.Context) (session.Backend, error) { return session.Backend{}, refused },
			func(err error) bool { return errors.Is(err, refused) },
		},
		"panic": {
			func(context.Context) (session.Backend, error) { panic("oops") },
			func(err error) bool { return strings.Contains(err.Error(), "oops") },
		},
		"lease is over": {
			func(ctx context.Context) (session.Backend, error) {
				<-ctx.Done()
				return session.Backend{}, ctx.Err()
			},
			func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st, id := bench(t)
				o := session.NewOpener(st, lease)
				r := opens(t, id, "")
				r.Open = tc.open
				if _, err := o.Open(t.Context(), r); err == nil || !tc.want(err) {
					t.Errorf("got error %v", err)
				}
				start := time.Now()
				wantOpen(t, o, opens(t, id, "b"), "b")
				if d := time.Since(start); d != 0 {
					t.Errorf("the next caller waited %v", d)
				}
			})
		})
	}
}

func TestOpenWaitsForAnotherReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		c, err := st.Store.Claim(t.Context(), id, server, lease)
		if err != nil {
			t.Fatal(err)
		}
		const busy = 3 * time.Second
		time.AfterFunc(busy, func() {
			if won, err := st.Store.Commit(context.Background(), id, server, c.Token, session.Backend{ID: "theirs"}); !won || err != nil {
				t.Errorf("Commit: got %v, %v", won, err)
			}
		})
		start := time.Now()
		wantOpen(t, session.NewOpener(st, lease), opens(t, id, "mine"), "theirs")
		if d := time.Since(start) - busy; d < 0 || d > 200*time.Millisecond {
			t.Errorf("answered %v after the other replica had finished", d)
		}
		if n := st.claims.Load(); n > 50 {
			t.Errorf("asked the store %d times in %v", n, busy)
		}
	})
}

func TestOpenTakesOverFromDeadReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		if _, err := st.Store.Claim(t.Context(), id, server, lease); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantOpen(t, session.NewOpener(st, lease), opens(t, id, "mine"), "mine")
		if d := time.Since(start); d < lease || d > lease+200*time.Millisecond {
			t.Errorf("took over after %v, want about %v", d, lease)
		}
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		if _, err := st.Store.Claim(t.Context(), id, server, lease); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := session.NewOpener(st, lease).Open(ctx, opens(t, id, "")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want context.DeadlineExceeded", err)
		}
		asked := st.claims.Load()
		time.Sleep(time.Minute) // of the bubble
		if n := st.claims.Load(); n != asked {
			t.Errorf("asked the store %d times after the last caller had left", n-asked)
		}
	})
}

func TestDiscards(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		during func(*spy, session.ID) // while the server opens
		want   error
	}{
		"session deleted meanwhile": {
			func(st *spy, id session.ID) { _, _ = st.Delete(context.Background(), id) },
			session.ErrNotFound,
		},
		"store lost meanwhile": {
			func(st *spy, _ session.ID) { st.commit = func() error { return session.ErrUnavailable } },
			session.ErrUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st, id := bench(t)
			var discarded []string
			_, err := session.NewOpener(st, lease).Open(t.Context(), session.Request{
				ID: id, Server: server,
				Open: func(context.Context) (session.Backend, error) {
					tc.during(st, id)
					return session.Backend{ID: "b"}, nil
				},
				Discard: func(b session.Backend) { discarded = append(discarded, b.ID) },
			})
			if !errors.Is(err, tc.want) {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
			if len(discarded) != 1 || discarded[0] != "b" {
				t.Errorf("discarded %q, want b", discarded)
			}
			if c, err := st.Store.Claim(t.Context(), id, server, lease); err != nil || c.State == session.Wait {
				t.Errorf("Claim of the next: got %+v, %v, want no wait for the lease", c, err)
			}
		})
	}
}

// TestStaleAttemptIsNotTheAnswer joins an attempt that looked into the store
// before the caller's Drop.
func TestStaleAttemptIsNotTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		o := session.NewOpener(st, lease)
		wantOpen(t, o, opens(t, id, "old"), "old")

		release := make(chan struct{})
		st.claimed = func() { <-release }
		var wg sync.WaitGroup
		wg.Go(func() { wantOpen(t, o, opens(t, id, "new"), "old") })
		synctest.Wait()
		wg.Go(func() {
			r := opens(t, id, "new")
			r.Stale = "old"
			wantOpen(t, o, r, "new")
		})
		synctest.Wait()
		close(release)
		wg.Wait()
	})
}

// TestServerReusesItsID is a server that gives every session one id.
func TestServerReusesItsID(t *testing.T) {
	t.Parallel()
	st, id := bench(t)
	o := session.NewOpener(st, lease)
	wantOpen(t, o, opens(t, id, "same"), "same")
	r := opens(t, id, "same")
	r.Stale = "same"
	wantOpen(t, o, r, "same")
	if n := st.claims.Load(); n != 2 {
		t.Errorf("%d claims, want 2", n)
	}
}

func TestOpenWithoutSession(t *testing.T) {
	t.Parallel()
	st, _ := bench(t)
	if _, err := session.NewOpener(st, lease).Open(t.Context(), opens(t, session.NewID(), "")); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("got error %v, want ErrNotFound", err)
	}
}

// TestOpenedSeesTheRecord: between Open and the record news may come, which
// Opened must be able to find.
func TestOpenedSeesTheRecord(t *testing.T) {
	t.Parallel()
	st, id := bench(t)
	r := opens(t, id, "b")
	var seen []session.Held
	r.Opened = func(ctx context.Context, b session.Backend) {
		seen, _ = st.Backends(ctx, id)
		if len(seen) != 1 || seen[0].Backend != b {
			t.Errorf("Opened with %+v while the store has %+v", b, seen)
		}
	}
	o := session.NewOpener(st, lease)
	wantOpen(t, o, r, "b")
	if seen == nil {
		t.Error("Opened was not called")
	}
	r.Opened = func(context.Context, session.Backend) { t.Error("Opened for what was there") }
	wantOpen(t, o, r, "b")
}
