package golang

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// brokers are two behind one name, which answer with their own number.
type brokers struct {
	*replicas
	servers [2]*httptest.Server
	unready [2]atomic.Bool
	silent  [2]atomic.Bool
}

func newBrokers(t *testing.T) *brokers {
	t.Helper()
	b := &brokers{}
	var addrs []netip.Addr
	port := "0"
	for i, host := range []string{"127.0.0.2", "127.0.0.3"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Skipf("no address %s here: %v", host, err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if b.silent[i].Load() {
				<-r.Context().Done()
				return
			}
			if r.URL.Path == "/readyz" && b.unready[i].Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			w.Header().Set("Number", host)
		}))
		s.Listener.Close() //nolint:errcheck // one of its own
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
		b.servers[i] = s
		addrs = append(addrs, netip.MustParseAddr(host))
	}
	b.replicas = newReplicas("brokers.test", port)
	b.patience = 50 * time.Millisecond
	b.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if host != "brokers.test" {
			t.Errorf("looked for %q", host)
		}
		return slices.Clone(addrs), nil
	}
	t.Cleanup(b.CloseIdleConnections)
	return b
}

// ask is which one answers a question, empty for none.
func (b *brokers) ask(t *testing.T) string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://mcp-broker/v1/resolve", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.RoundTrip(q)
	if err != nil {
		return ""
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Number")
}

// only waits until ten questions in a row are answered by one.
func (b *brokers) only(t *testing.T, want string) {
	t.Helper()
	eventually(t, "only "+want+" is asked", func() bool {
		for range 10 {
			if b.ask(t) != want {
				return false
			}
		}
		return true
	})
}

func (b *brokers) both(t *testing.T) {
	t.Helper()
	eventually(t, "both are asked", func() bool {
		first := b.ask(t)
		return first != b.ask(t)
	})
}

func TestReplicasAreAskedInTurn(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	got := []string{b.ask(t), b.ask(t), b.ask(t), b.ask(t)}
	if got[0] == got[1] || got[0] != got[2] || got[1] != got[3] || slices.Contains(got, "") {
		t.Errorf("asked %q", got)
	}
}

func TestReplicaThatIsNotReadyGetsNothing(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	b.both(t)
	b.unready[0].Store(true)
	b.only(t, "127.0.0.3")
	b.unready[0].Store(false)
	b.both(t)
}

// One question is lost at most: the core asks it again, which the other one gets.
func TestReplicaThatHasGone(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	b.both(t)
	b.servers[1].CloseClientConnections()
	b.servers[1].Close()
	lost := 0
	for range 20 {
		if b.ask(t) == "" {
			lost++
		}
	}
	if lost > 1 {
		t.Errorf("%d of 20 questions were lost", lost)
	}
}

func TestReplicaThatHangs(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	b.both(t)
	b.silent[0].Store(true)
	eventually(t, "a replica that hangs is noticed", func() bool { return (*b.list.Load())[0].missed.Load() >= checkChances })
	b.only(t, "127.0.0.3")
	b.silent[0].Store(false)
	b.both(t)
}

// What fails everywhere leaves no choice: both are tried.
func TestReplicasThatAreAllUnready(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	b.unready[0].Store(true)
	b.unready[1].Store(true)
	b.ask(t)
	eventually(t, "both were checked", func() bool {
		list := *b.list.Load()
		return list[0].missed.Load() >= checkChances && list[1].missed.Load() >= checkChances
	})
	b.both(t)
}

// The addresses of a name change, and a name server that is away changes nothing.
func TestAddressesOfAName(t *testing.T) {
	t.Parallel()
	r := newReplicas("brokers.test", "80")
	defer r.CloseIdleConnections()
	var answer []string
	r.lookup = func(context.Context, string, string) (all []netip.Addr, err error) {
		if answer == nil {
			return nil, errors.New("no answer")
		}
		for _, text := range answer {
			all = append(all, netip.MustParseAddr(text))
		}
		return all, nil
	}
	if _, err := r.pick(t.Context()); err == nil {
		t.Error("something was found")
	}
	var first *replica
	for _, tt := range []struct {
		answer []string
		count  int
		kept   bool // what is known of the first address
	}{
		{[]string{"::1", "10.0.0.2", "10.0.0.1", "::ffff:10.0.0.2"}, 2, false},
		{nil, 2, true},
		{[]string{}, 2, true},
		{[]string{"10.0.0.1"}, 1, true},
		{[]string{"::1"}, 1, false},
	} {
		answer = tt.answer
		err := r.find(t.Context())
		list := *r.list.Load()
		if (err != nil) != (len(tt.answer) == 0) || len(list) != tt.count || (list[0] == first) != tt.kept {
			t.Errorf("%q: %d addresses, %v", tt.answer, len(list), err)
		}
		first = list[0]
	}
}
