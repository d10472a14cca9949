package broker

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/session"
)

// oneAtATime lets a session have one event stream, as SDKs do, and is slow to
// notice that it has gone.
type oneAtATime struct {
	*talker
	linger time.Duration

	mu    sync.Mutex
	open  bool
	after []string // Last-Event-ID of each GET that was let in
	late  int      // those that were not
}

func newOneAtATime(linger time.Duration) *oneAtATime {
	s := &oneAtATime{talker: newTalker("a"), linger: linger}
	feed := s.Stream
	s.Stream = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Session-Id") == "discovery" {
			feed(w, r)
			return
		}
		s.mu.Lock()
		taken := s.open
		if s.open = true; taken {
			s.late++
		} else {
			s.after = append(s.after, r.Header.Get("Last-Event-ID"))
		}
		s.mu.Unlock()
		if taken {
			w.WriteHeader(http.StatusConflict)
			return
		}
		feed(w, r)
		time.Sleep(s.linger)
		s.mu.Lock()
		s.open = false
		s.mu.Unlock()
	}
	return s
}

// A stream that takes over is resumed where the client has been also at a server
// that allows one stream for each session.
func TestStreamThatTakesOverIsResumed(t *testing.T) {
	t.Parallel()
	for name, linger := range map[string]time.Duration{"at once": 0, "when the server has noticed": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one := newOneAtATime(linger)
				g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
				id := g.open()
				g.join(id, "one")
				first := g.listen(id)
				first.wantNext(t, nil)
				second := g.listenBehind(id, "~"+mark(id, "one", "7"))
				first.wantNext(t, []string{"closed"})
				time.Sleep(15 * time.Second)
				second.wantNext(t, everyList())
				one.clients.Out <- "id: 8\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"
				second.wantNext(t, event("~"+mark(id, "one", "8"), `{"jsonrpc":"2.0","method":"x"}`))
				one.mu.Lock()
				defer one.mu.Unlock()
				if diff := cmp.Diff([]string{"", "7"}, one.after); diff != "" {
					t.Errorf("Last-Event-ID (-want +got):\n%s", diff)
				}
				if linger > turnWithin && one.late == 0 {
					t.Error("the server has refused no stream: this tests nothing")
				}
			})
		})
	}
}

func TestMergeWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.join(id, "one")
		g.broker.hub.open(context.Background(), session.ID(id).Key(), "", 0, false) // it never leaves
		g.listen(id)
		synctest.Wait()
		if n := one.clients.Opened.Load(); n != 0 {
			t.Error("opened before the stream before has left")
		}
		time.Sleep(turnWithin)
		synctest.Wait()
		if n := one.clients.Opened.Load(); n != 1 {
			t.Errorf("opened %d times", n)
		}
	})
}

// Also a stream whose client takes nothing leaves at once.
func TestStreamThatHangsGivesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newOneAtATime(0)
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.join(id, "one")
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://gateway/mcp", nil)
		r.Header.Set("Mcp-Session-Id", id)
		resp, err := g.public.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		synctest.Wait()
		one.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"" + strings.Repeat("x", 100<<10) + "\"}\n\n" // nobody reads it
		synctest.Wait()
		g.listen(id)
		time.Sleep(5 * time.Second)
		one.mu.Lock()
		defer one.mu.Unlock()
		if len(one.after) != 2 {
			t.Errorf("%d streams, %d attempts too early", len(one.after), one.late)
		}
	})
}
