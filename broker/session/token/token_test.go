package token_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/sessiontest"
	"mcp-gateway/broker/session/token"
)

var usual = session.Timeouts{Idle: time.Hour, Lifetime: 24 * time.Hour}

// replica returns a store of a fleet with the clock and the keys.
func replica(tb testing.TB, c *sessiontest.Clock, timeouts session.Timeouts, keys ...string) *token.Store {
	tb.Helper()
	st, err := token.New(token.Options{Timeouts: timeouts, Keys: keys, Now: c.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return st
}

// TestConformance is about one replica: what a fleet does not keep of the contract
// TestFleet shows.
func TestConformance(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, func(t *testing.T, timeouts session.Timeouts) sessiontest.Fixture {
		c := sessiontest.NewClock()
		st := &named{Store: replica(t, c, timeouts, "key"), minted: map[session.ID]session.ID{}, names: map[session.Key]session.Key{}}
		return sessiontest.Fixture{
			Open:           func(testing.TB) session.Store { return st },
			Advance:        c.Advance,
			MintsIDs:       true,
			LargestSession: 2000,
		}
	})
}

func aSession() session.Session {
	return session.Session{
		Version: "2025-11-25", Endpoint: "s3cret-endpoint", Principal: "s3cret-principal",
		ClientInfo: []byte(`{"name":"s3cret-client", "version":1.0e400}`), Capabilities: []byte(`{"s3cret":{}}`),
	}
}

func begin(t *testing.T, st session.Store) session.Session {
	t.Helper()
	s := aSession()
	id, err := session.Begin(t.Context(), st, s, session.Caps{})
	if err != nil {
		t.Fatal(err)
	}
	s.ID = id
	return s
}

func wantSession(t *testing.T, st session.Store, want session.Session) {
	t.Helper()
	got, err := st.Get(t.Context(), want.ID)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Get (-begun +got):\n%s", diff)
	}
}

func wantNone(t *testing.T, st session.Store, id session.ID) {
	t.Helper()
	if _, err := st.Get(t.Context(), id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Get: got error %v, want ErrNotFound", err)
	}
	if c, err := st.Claim(t.Context(), id, "weather", time.Minute); err != nil || c.State != session.Gone {
		t.Errorf("Claim: got %+v, %v, want Gone", c, err)
	}
}

func TestFleet(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), sessiontest.NewClock()
	a, b := replica(t, c, usual, "key"), replica(t, c, usual, "key")
	s := begin(t, a)
	wantSession(t, b, s)
	sub := session.Subscription{Server: "weather", URI: "file:///a"}
	if added, err := a.Subscribe(ctx, s.ID, sub); err != nil || !added {
		t.Fatal(added, err)
	}

	// What is not settled by initialize is of one replica.
	for _, st := range []*token.Store{a, b} {
		if claim, err := st.Claim(ctx, s.ID, "weather", time.Minute); err != nil || claim.State != session.Claimed {
			t.Errorf("Claim at each: got %+v, %v, want Claimed", claim, err)
		}
	}
	if settings, err := b.Settings(ctx, s.ID); err != nil || len(settings.Subscriptions) != 0 {
		t.Errorf("settings of another replica: got %+v, %v", settings, err)
	}
	if delivered, err := a.Send(ctx, "b", []byte("x")); err != nil || delivered {
		t.Errorf("Send to another replica: got %v, %v, want false", delivered, err)
	}

	// DELETE ends it where it arrives, for good.
	if _, err := a.Delete(ctx, s.ID); err != nil {
		t.Fatal(err)
	}
	wantNone(t, a, s.ID)
	wantSession(t, b, s)
	if _, err := a.Delete(ctx, s.ID); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("second Delete: got error %v, want ErrNotFound", err)
	}
	unseen := begin(t, a)
	if _, err := b.Delete(ctx, unseen.ID); err != nil {
		t.Errorf("Delete at a replica that has not met the session: %v", err)
	}
	wantNone(t, b, unseen.ID)

	// A replica that has restarted knows it again, and the lifetime ends it.
	c.Advance(usual.Lifetime - time.Millisecond)
	late := replica(t, c, usual, "key")
	wantSession(t, late, unseen)
	c.Advance(time.Millisecond)
	wantNone(t, late, unseen.ID)
	wantNone(t, replica(t, c, usual, "key"), unseen.ID)
}

func TestIdleSessionStaysEnded(t *testing.T) {
	t.Parallel()
	c := sessiontest.NewClock()
	st := replica(t, c, usual, "key")
	s := begin(t, st)
	c.Advance(usual.Idle)
	wantNone(t, st, s.ID)
	if ended, err := st.Expired(t.Context(), 10); err != nil || len(ended) != 1 {
		t.Fatalf("Expired: got %v, %v, want one", ended, err)
	}
	wantNone(t, st, s.ID)
}

func TestNoRoomForAdoption(t *testing.T) {
	t.Parallel()
	c := sessiontest.NewClock()
	a, b := replica(t, c, usual, "key"), replica(t, c, usual, "key")
	s := begin(t, a)
	if _, err := session.Begin(t.Context(), b, aSession(), session.Caps{Total: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), s.ID); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("Get: got error %v, want ErrUnavailable", err)
	}
	if _, err := b.Claim(t.Context(), s.ID, "weather", time.Minute); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("Claim: got error %v, want ErrUnavailable", err)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	c := sessiontest.NewClock()
	st := replica(t, c, usual, "key")
	s, twin := begin(t, st), begin(t, st)
	if s.ID == twin.ID {
		t.Error("two sessions have the same id")
	}
	t.Logf("an id of %d characters", len(s.ID))
	if len(s.ID) > 300 || strings.ContainsFunc(string(s.ID), func(r rune) bool { return r <= ' ' || r > '~' }) || strings.Contains(string(s.ID), "s3cret") {
		t.Errorf("id %q: want at most 300 visible characters, and nothing to read", s.ID)
	}
	for i := range len(s.ID) {
		changed := []byte(s.ID)
		changed[i] ^= 3
		wantNone(t, st, session.ID(changed))
		wantNone(t, st, s.ID[:i])
	}
	wantNone(t, st, s.ID+"=")
	wantNone(t, st, s.ID+"\n")
	wantNone(t, st, session.NewID())
	if err := st.Create(t.Context(), session.Session{ID: session.NewID()}, session.Caps{}); !errors.Is(err, session.ErrExists) {
		t.Errorf("Create under an id of another kind: got error %v, want ErrExists", err)
	}
	large := aSession()
	large.ClientInfo = []byte(`"` + strings.Repeat("x", token.LongestID) + `"`)
	if _, err := session.Begin(t.Context(), st, large, session.Caps{}); !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("Begin of what fits into no id: got error %v, want ErrTooLarge", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	c := sessiontest.NewClock()
	old, both, swapped := replica(t, c, usual, "old"), replica(t, c, usual, "old", "new"), replica(t, c, usual, "new", "old")
	first, second := begin(t, old), begin(t, swapped)
	wantSession(t, both, first)
	wantSession(t, swapped, first)
	wantSession(t, both, second)
	wantNone(t, old, second.ID)
	wantNone(t, replica(t, c, usual, "new"), first.ID)
	for name, o := range map[string]token.Options{
		"no key":      {Timeouts: usual},
		"empty key":   {Timeouts: usual, Keys: []string{""}},
		"no timeouts": {Keys: []string{"key"}},
	} {
		if _, err := token.New(o); err == nil {
			t.Errorf("%s: New accepted it", name)
		}
	}
}

func TestSweptSessionStaysEnded(t *testing.T) {
	t.Parallel()
	c := sessiontest.NewClock()
	st := replica(t, c, usual, "key")
	s := begin(t, st)
	c.Advance(usual.Idle)
	if _, err := session.Begin(t.Context(), st, aSession(), session.Caps{Total: 1}); err != nil {
		t.Fatal(err)
	}
	wantNone(t, st, s.ID)
}

// TestDeleteIsForGood uses sessions just as they end.
func TestDeleteIsForGood(t *testing.T) {
	t.Parallel()
	st := replica(t, sessiontest.NewClock(), usual, "key")
	for range 2000 {
		s := begin(t, st)
		var use sync.WaitGroup
		use.Go(func() {
			for {
				if _, err := st.Get(t.Context(), s.ID); err != nil {
					return
				}
			}
		})
		if _, err := st.Delete(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Get(t.Context(), s.ID); !errors.Is(err, session.ErrNotFound) {
			t.Fatalf("Get after Delete: got error %v, want ErrNotFound", err)
		}
		use.Wait()
		if err := st.Create(t.Context(), s, session.Caps{}); !errors.Is(err, session.ErrExists) {
			t.Fatalf("Create of what has ended: got error %v, want ErrExists", err)
		}
	}
}

// named is a store for the conformance suite, which chooses ids itself: each
// stands for one that was minted.
type named struct {
	*token.Store
	mu     sync.Mutex
	minted map[session.ID]session.ID
	names  map[session.Key]session.Key // of the suite, by that of the minted id
}

func (n *named) id(id session.ID) session.ID {
	n.mu.Lock()
	defer n.mu.Unlock()
	if minted, ok := n.minted[id]; ok {
		return minted
	}
	return id
}

func (n *named) name(key session.Key) session.Key {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.names[key]; ok {
		return name
	}
	return key
}

func (n *named) Create(ctx context.Context, s session.Session, caps session.Caps) error {
	if n.id(s.ID) == s.ID && len(s.ID) == 43 { // not one of Begin's, which are minted already
		minted, err := n.Mint(s)
		if err != nil {
			return err
		}
		n.mu.Lock()
		n.minted[s.ID], n.names[minted.Key()] = minted, s.ID.Key()
		n.mu.Unlock()
	}
	name := s.ID
	s.ID = n.id(s.ID)
	err := n.Store.Create(ctx, s, caps)
	if errors.Is(err, session.ErrFull) || errors.Is(err, session.ErrTooMany) {
		// Nobody gets the id that was minted for it.
		n.mu.Lock()
		delete(n.minted, name)
		n.mu.Unlock()
	}
	return err
}

func (n *named) Get(ctx context.Context, id session.ID) (session.Session, error) {
	s, err := n.Store.Get(ctx, n.id(id))
	if err == nil {
		s.ID = id
	}
	return s, err
}

func (n *named) Delete(ctx context.Context, id session.ID) ([]session.Held, error) {
	return n.Store.Delete(ctx, n.id(id))
}

func (n *named) Claim(ctx context.Context, id session.ID, server string, lease time.Duration) (session.Claim, error) {
	return n.Store.Claim(ctx, n.id(id), server, lease)
}

func (n *named) Renew(ctx context.Context, id session.ID, server string, t session.Token, lease time.Duration) (bool, error) {
	return n.Store.Renew(ctx, n.id(id), server, t, lease)
}

func (n *named) Commit(ctx context.Context, id session.ID, server string, t session.Token, b session.Backend) (bool, error) {
	return n.Store.Commit(ctx, n.id(id), server, t, b)
}

func (n *named) Abandon(ctx context.Context, id session.ID, server string, t session.Token) error {
	return n.Store.Abandon(ctx, n.id(id), server, t)
}

func (n *named) Drop(ctx context.Context, id session.ID, server, stale string) error {
	return n.Store.Drop(ctx, n.id(id), server, stale)
}

func (n *named) Backends(ctx context.Context, id session.ID) ([]session.Held, error) {
	return n.Store.Backends(ctx, n.id(id))
}

func (n *named) Settings(ctx context.Context, id session.ID) (session.Settings, error) {
	return n.Store.Settings(ctx, n.id(id))
}

func (n *named) SetLevel(ctx context.Context, id session.ID, level string) error {
	return n.Store.SetLevel(ctx, n.id(id), level)
}

func (n *named) Subscribe(ctx context.Context, id session.ID, s session.Subscription) (bool, error) {
	return n.Store.Subscribe(ctx, n.id(id), s)
}

func (n *named) Unsubscribe(ctx context.Context, id session.ID, s session.Subscription) error {
	return n.Store.Unsubscribe(ctx, n.id(id), s)
}

func (n *named) Expired(ctx context.Context, limit int) ([]session.Ended, error) {
	ended, err := n.Store.Expired(ctx, limit)
	for i := range ended {
		ended[i].Key = n.name(ended[i].Key)
	}
	return ended, err
}

func (n *named) Invalidations(ctx context.Context) <-chan session.Invalidation {
	out := make(chan session.Invalidation, 1000)
	go func() {
		defer close(out)
		for inv := range n.Store.Invalidations(ctx) {
			inv.Key = n.name(inv.Key)
			out <- inv
		}
	}()
	return out
}
