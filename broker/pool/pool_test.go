package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker/upstream"
)

// fake is a server that notes what is asked of it.
type fake struct {
	mu       sync.Mutex
	opened   int
	live     map[string]upstream.Listener
	requests []string
	told     []string
	noStream bool
	fail     error
	// slow is how long opening takes.
	slow time.Duration
}

func newFake() *fake { return &fake{live: map[string]upstream.Listener{}} }

func (f *fake) OpenSession(ctx context.Context, c upstream.Client) (upstream.Session, error) {
	select {
	case <-time.After(f.slow):
	case <-ctx.Done():
		return upstream.Session{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return upstream.Session{}, f.fail
	}
	f.opened++
	id := fmt.Sprintf("s%d %s", f.opened, c.Capabilities)
	f.live[id] = upstream.Listener{}
	return upstream.Session{ID: id, Version: c.Version}, nil
}

func (f *fake) EndSession(_ context.Context, of upstream.Session) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.live, of.ID)
	return nil
}

func (f *fake) Listen(ctx context.Context, in upstream.Session, o upstream.Listener) error {
	if f.noStream {
		o.Settled(upstream.ErrNoStream)
		<-time.After(time.Millisecond) // what was told counts from now on, not from the end
		return upstream.ErrNoStream
	}
	f.mu.Lock()
	if _, ok := f.live[in.ID]; ok { // it may have ended already
		f.live[in.ID] = o
	}
	f.mu.Unlock()
	o.Settled(nil)
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Request(_ context.Context, _ upstream.Session, method string, params []byte) (upstream.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, method+" "+string(params))
	return upstream.Answer{Result: []byte("{}")}, nil
}

func (f *fake) Tell(_ context.Context, _ upstream.Session, message []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, string(message))
	return nil
}

func (f *fake) sessions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for id := range f.live {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func newPool(t *testing.T) *Pool {
	t.Helper()
	p := New(Options{
		Log: zaptest.NewLogger(t), Idle: time.Minute, Bounds: func() (int, int) { return 3, 2 },
		OpenTimeout: 10 * time.Second, EndTimeout: time.Second, CloseTimeout: time.Second,
	})
	t.Cleanup(p.Close)
	return p
}

func key(principal string) Key { return Key{Principal: principal, Capabilities: "{}"} }

func lease(t *testing.T, p *Pool, at Server, k Key) *Lease {
	t.Helper()
	l, err := p.Lease(t.Context(), at, k)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSessionsAreSharedAndEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, p := newFake(), newPool(t)
		f.slow = time.Second
		var all sync.WaitGroup
		leases := make([]*Lease, 3)
		for i := range leases {
			all.Go(func() { leases[i] = lease(t, p, f, key("a")) })
		}
		all.Wait()
		if f.opened != 1 || p.Count(f) != 1 {
			t.Fatalf("%d opened, %d counted", f.opened, p.Count(f))
		}
		leases[0].Release()
		leases[1].Release()
		leases[0].Release() // means nothing
		time.Sleep(time.Hour)
		if len(f.sessions()) != 1 {
			t.Fatal("a session in use has ended")
		}
		leases[2].Release()
		time.Sleep(59 * time.Second)
		l := lease(t, p, f, key("a"))
		l.Release()
		time.Sleep(59 * time.Second)
		if f.opened != 1 || len(f.sessions()) != 1 {
			t.Fatal("ended too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(f.sessions()) != 0 || p.Count(f) != 0 {
			t.Errorf("idle: %v", f.sessions())
		}
	})
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two, p := newFake(), newFake(), newPool(t)
		a := lease(t, p, one, key("a"))
		b := lease(t, p, one, key("b"))
		if _, err := p.Lease(t.Context(), one, key("c")); !errors.Is(err, ErrFull) {
			t.Fatalf("third at one server: %v", err)
		}
		b.Release()
		c := lease(t, p, one, key("c")) // b's goes
		synctest.Wait()
		if got := one.sessions(); !slices.Equal(got, []string{"s1 {}", "s3 {}"}) {
			t.Errorf("sessions %v", got)
		}
		a.Release()
		time.Sleep(time.Second)
		c.Release()
		lease(t, p, two, key("a"))
		lease(t, p, two, key("b")) // the fourth of all: a's is idle for longest
		synctest.Wait()
		if got := one.sessions(); !slices.Equal(got, []string{"s3 {}"}) {
			t.Errorf("sessions %v", got)
		}
	})
}

// One caller's sessions do not keep others from having some, nor end theirs as long
// as it has idle ones of its own.
func TestOneCallerHasAShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, p := newFake(), newPool(t)
		p.o.Bounds = func() (int, int) { return 32, 16 } // shares are 8 and 4
		declares := func(who string, i int) Key {
			return Key{Principal: who, Capabilities: fmt.Sprintf(`{"sampling":{"x":%d}}`, i)}
		}
		lease(t, p, one, key("other")).Release() // idle for longest of all
		var leases []*Lease
		for i := range 4 {
			leases = append(leases, lease(t, p, one, declares("hog", i)))
		}
		if _, err := p.Lease(t.Context(), one, declares("hog", 4)); !errors.Is(err, ErrFull) {
			t.Errorf("beyond a share of a server: %v", err)
		}
		lease(t, p, one, declares("other", 1))
		var servers []*fake
		for i := range 4 {
			servers = append(servers, newFake())
			leases = append(leases, lease(t, p, servers[i], key("hog")))
		}
		if _, err := p.Lease(t.Context(), newFake(), key("hog")); !errors.Is(err, ErrFull) {
			t.Errorf("beyond a share of all: %v", err)
		}
		for _, l := range leases {
			time.Sleep(time.Second)
			l.Release()
		}
		p.o.Bounds = func() (int, int) { return 32, 6 } // are there
		lease(t, p, one, declares("hog", 5))
		synctest.Wait()
		got := one.sessions()
		if len(got) != 6 || !slices.Contains(got, "s1 {}") || slices.Contains(got, `s2 {"sampling":{"x":0}}`) {
			t.Errorf("sessions %v", got)
		}
		lease(t, p, one, key("third")) // what is idle for longest, whosever it is
		synctest.Wait()
		if got := one.sessions(); len(got) != 6 || slices.Contains(got, "s1 {}") {
			t.Errorf("sessions %v", got)
		}
	})
}

func TestFailuresAreNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, p := newFake(), newPool(t)
		f.fail = errors.New("no")
		for range 5 {
			if _, err := p.Lease(t.Context(), f, key("a")); err != f.fail {
				t.Fatal(err)
			}
		}
		f.fail, f.slow = nil, 5*time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Lease(ctx, f, key("a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		l := lease(t, p, f, key("a")) // the same opening
		if f.opened != 1 {
			t.Errorf("%d opened", f.opened)
		}
		l.Lost()
		select {
		case <-l.Gone():
		default:
			t.Error("a lost session is not gone")
		}
		other := lease(t, p, f, key("a"))
		if other.Session() == l.Session() {
			t.Error("a lost session is leased again")
		}
		l.Release()
		synctest.Wait()
		if n := p.Count(f); n != 1 {
			t.Errorf("%d sessions", n)
		}
		p.Drop(f)
		if got := f.sessions(); len(got) != 2 {
			t.Errorf("dropped in use: %v", got)
		}
		other.Release()
		synctest.Wait()
		if got := f.sessions(); len(got) != 1 { // the lost one was not ended
			t.Errorf("dropped: %v", got)
		}
		p.Close()
		if _, err := p.Lease(t.Context(), f, key("a")); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestCloseEndsWhatIsInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, p := newFake(), newPool(t)
		l := lease(t, p, f, key("a"))
		p.Close()
		if got := f.sessions(); len(got) != 0 {
			t.Errorf("left %v", got)
		}
		l.Release()
	})
}

func TestSubscriptionsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, p := newFake(), newPool(t)
		l := lease(t, p, f, key("a"))
		heard := 0
		hear := func(string, []byte) { heard++ }
		var ends []func()
		for range 2 {
			end, err := l.Subscribe(t.Context(), "a:b", hear)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end)
		}
		stream := f.live[l.Session().ID]
		updated := func(uri string) {
			message := `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"` + uri + `"}}`
			if err := stream.Message([]byte(message), nil); err != nil {
				t.Fatal(err)
			}
		}
		updated("a:b")
		updated("a:c")
		if heard != 2 {
			t.Errorf("heard %d", heard)
		}
		updated("a:bc")
		updated("a:b/part") // each watcher
		ends[0]()
		updated("a:b")
		ends[1]()
		updated("a:b")
		want := []string{`resources/subscribe {"uri":"a:b"}`, `resources/unsubscribe {"uri":"a:b"}`}
		if heard != 5 || !slices.Equal(f.requests, want) {
			t.Errorf("heard %d, requests %v", heard, f.requests)
		}
		f.noStream = true
		mute := lease(t, p, f, key("b"))
		if _, err := mute.Subscribe(t.Context(), "a:b", hear); !errors.Is(err, upstream.ErrNoStream) {
			t.Errorf("without a stream: %v", err)
		}
	})
}

func TestLevelOnlyGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, p := newFake(), newPool(t)
		l := lease(t, p, f, key("a"))
		for _, level := range []string{"error", "warning", "error", "warning", "debug", "emergency"} {
			if err := l.SetLevel(t.Context(), level); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{`logging/setLevel {"level":"error"}`, `logging/setLevel {"level":"warning"}`, `logging/setLevel {"level":"debug"}`}
		if !slices.Equal(f.requests, want) {
			t.Errorf("%v", f.requests)
		}
		if l.SetLevel(t.Context(), "loud") == nil {
			t.Error("a level that is none")
		}
	})
}
