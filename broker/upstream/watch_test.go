package upstream

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/internal/gatewayconfig"
)

// feed is an event stream that the test writes to.
type feed struct {
	opened atomic.Int32
	out    chan string // raw bytes for the open stream, or end
}

// end makes a feed end the open stream.
const end = "end"

func newFeed() *feed { return &feed{out: make(chan string)} }

func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.opened.Add(1)
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case text := <-f.out:
			if text == end {
				return
			}
			_, _ = w.Write([]byte(text))
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func notification(method string) string {
	return fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"method\":%q}\n\n", method)
}

func (s *Server) toolsNow() string { return fmt.Sprint(texts(s.Snapshot().Lists.Tools)) }

func TestListChangedReadsThatListOnceAfterTheDebounce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := newFeed()
		sc := &script{hello: helloFor(allCapabilities), session: "s", results: emptyLists(), stream: events.ServeHTTP}
		transport, _ := serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		if n := len(sc.requests("POST", "tools/list")); n != 1 || s.Snapshot().State != Ready {
			t.Fatalf("%d listings with an open stream, state %s", n, s.Snapshot().State)
		}
		before := s.Snapshot()

		sc.set("tools/list", `{"tools":[{"name":"new"}]}`)
		for range 20 {
			events.out <- ": x\n" + notification("notifications/tools/list_changed")
		}
		events.out <- "data: garbage\n\n"
		time.Sleep(99 * time.Millisecond)
		synctest.Wait()
		if n := len(sc.requests("POST", "tools/list")); n != 1 {
			t.Errorf("%d listings within the debounce, want 1", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if n, p := len(sc.requests("POST", "tools/list")), len(sc.requests("POST", "prompts/list")); n != 2 || p != 1 {
			t.Errorf("%d listings of tools and %d of prompts, want 2 and 1", n, p)
		}
		if got := s.toolsNow(); got != `[{"name":"new"}]` {
			t.Errorf("tools %s", got)
		}
		if before.Lists.Tools != nil {
			t.Errorf("an older snapshot has changed: %q", before.Lists.Tools)
		}

		events.out <- notification("notifications/resources/list_changed")
		time.Sleep(time.Second)
		synctest.Wait()
		if r, rt := len(sc.requests("POST", "resources/list")), len(sc.requests("POST", "resources/templates/list")); r != 2 || rt != 2 {
			t.Errorf("%d listings of resources and %d of templates, want 2 and 2", r, rt)
		}
	})
}

func TestUnchangedListsKeepTheirPointer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := newFeed()
		sc := &script{hello: helloFor(allCapabilities), session: "s", results: emptyLists(), stream: events.ServeHTTP}
		sc.set("tools/list", `{"tools":[{"name":"a"}]}`)
		transport, _ := serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		before := s.Snapshot()
		events.out <- notification("notifications/tools/list_changed")
		time.Sleep(time.Second)
		synctest.Wait()
		if after := s.Snapshot(); after.Lists != before.Lists || !after.ListedAt.After(before.ListedAt) {
			t.Errorf("same lists: pointer kept %v, times %v %v", after.Lists == before.Lists, before.ListedAt, after.ListedAt)
		}
	})
}

func TestPingOnTheStreamIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := newFeed()
		sc := &script{hello: helloFor("{}"), session: "s", stream: events.ServeHTTP}
		transport, _ := serve(t, sc)
		start(t, transport, nil)
		synctest.Wait()
		events.out <- "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"ping\"}\n\n"
		events.out <- "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n\n"
		synctest.Wait()
		pongs := sc.requests("POST", "")
		if len(pongs) != 1 || pongs[0].body != `{"jsonrpc":"2.0","id":9007199254740993,"result":{}}` {
			t.Errorf("answers %+v", pongs)
		}
	})
}

func TestReopenedStreamReadsTheListsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := newFeed()
		sc := &script{hello: helloFor(allCapabilities), session: "s", results: emptyLists(), stream: events.ServeHTTP}
		transport, _ := serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		events.out <- "retry: 5000\n\n"
		sc.set("tools/list", `{"tools":[{"name":"missed"}]}`)
		events.out <- end
		synctest.Wait()
		time.Sleep(4900 * time.Millisecond)
		synctest.Wait()
		if n := events.opened.Load(); n != 1 {
			t.Errorf("stream opened %d times within its retry time", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := events.opened.Load(); n != 2 || s.toolsNow() != `[{"name":"missed"}]` {
			t.Errorf("stream opened %d times, tools %s", n, s.toolsNow())
		}
		if n := len(sc.requests("POST", "initialize")); n != 1 {
			t.Errorf("%d sessions for one server", n)
		}
	})
}

func TestStreamThatEndsAtOnceIsNotHammered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int32
		sc := &script{hello: helloFor(`{"tools":{}}`), session: "s", results: emptyLists()}
		sc.stream = func(w http.ResponseWriter, _ *http.Request) {
			opened.Add(1)
			w.Header().Set("Content-Type", "text/event-stream")
		}
		transport, _ := serve(t, sc)
		start(t, transport, nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := opened.Load(); n < 20 || n > 60 {
			t.Errorf("opened %d times in 10 minutes, want a wait of 15s to 30s between", n)
		}
	})
}

func TestServerWithoutStreamIsReadNowAndThenAndOnRecheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &script{hello: helloFor(allCapabilities), session: "s", results: emptyLists()}
		transport, _ := serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		sc.set("tools/list", `{"tools":[{"name":"a"}]}`)
		s.Recheck() // too early
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := s.toolsNow(); got != "[]" {
			t.Errorf("tools %s right after a listing", got)
		}
		s.Recheck()
		synctest.Wait()
		if got := s.toolsNow(); got != `[{"name":"a"}]` {
			t.Errorf("tools %s after Recheck", got)
		}
		sc.set("tools/list", `{"tools":[{"name":"b"}]}`)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := s.toolsNow(); got != `[{"name":"b"}]` {
			t.Errorf("tools %s after 5 minutes", got)
		}
		if n := len(sc.requests("GET", "")); n != 1 {
			t.Errorf("%d GET to a server without stream", n)
		}
	})
}

func TestRestartedServerGetsANewSession(t *testing.T) {
	t.Parallel()
	for name, withStream := range map[string]bool{"with stream": true, "without stream": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				events := newFeed()
				var current atomic.Pointer[string]
				set := func(id string) { current.Store(&id) }
				set("first")
				sc := &script{hello: helloFor(allCapabilities), results: emptyLists()}
				if withStream {
					sc.stream = events.ServeHTTP
				}
				sc.intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
					switch {
					case method == "initialize":
						w.Header().Set("Mcp-Session-Id", *current.Load())
						respond(w, id, sc.hello)
						return true
					case r.Header.Get("Mcp-Session-Id") != *current.Load():
						w.WriteHeader(http.StatusNotFound)
						return true
					}
					return false
				}
				transport, _ := serve(t, sc)
				s, _ := start(t, transport, nil)
				time.Sleep(6 * time.Second)
				sc.set("tools/list", `{"tools":[{"name":"second life"}]}`)
				set("second")
				if withStream {
					events.out <- end
				} else {
					s.Recheck()
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := s.Snapshot(); got.State != Ready || s.toolsNow() != `[{"name":"second life"}]` {
					t.Errorf("state %s, error %v, tools %s", got.State, got.Err, s.toolsNow())
				}
				if n := len(sc.requests("POST", "initialize")); n != 2 {
					t.Errorf("%d sessions, want 2", n)
				}
			})
		})
	}
}

func TestLostServerKeepsItsListsAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &script{hello: helloFor(allCapabilities), session: "s", results: emptyLists()}
		sc.set("tools/list", `{"tools":[{"name":"a"}]}`)
		events := newFeed()
		sc.stream = events.ServeHTTP
		var attempts atomic.Int32
		down, stop := serve(t, sc)
		via := &swap{}
		via.use(down)
		s, _ := start(t, via, nil)
		synctest.Wait()
		listed := s.Snapshot().ListedAt
		stop()
		via.use(count{down, &attempts})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := s.Snapshot(); got.State != Failed || s.toolsNow() != `[{"name":"a"}]` || !got.ListedAt.Equal(listed) || !got.Listed {
			t.Errorf("state %s, tools %s, listed %v at %v", got.State, s.toolsNow(), got.Listed, got.ListedAt)
		}
		time.Sleep(time.Hour)
		if n := attempts.Load(); n < 100 || n > 300 {
			t.Errorf("%d attempts in an hour, want one each 15s to 30s", n)
		}
		up, _ := serve(t, sc)
		via.use(up)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if got := s.Snapshot(); got.State != Ready || got.Err != nil {
			t.Errorf("state %s, error %v after the server came back", got.State, got.Err)
		}
	})
}

func TestListsOfTheServerBeforeServeUntilTheFirstListing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &script{hello: helloFor(`{"tools":{}}`), session: "s", results: emptyLists()}
		sc.intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method != "initialize" {
				return false
			}
			select {
			case <-time.After(3 * time.Second):
				return false
			case <-r.Context().Done():
				return true
			}
		}
		transport, _ := serve(t, sc)
		s, _ := start(t, transport, func(_ *gatewayconfig.Server, o *Options) {
			o.Log = zaptest.NewLogger(t)
			o.Before = &Snapshot{State: Ready, Listed: true, Lists: &Lists{
				Tools: [][]byte{[]byte(`{"name":"old"}`)}, Prompts: [][]byte{[]byte(`{"name":"old"}`)},
			}}
		})
		time.Sleep(time.Second)
		if got := s.Snapshot(); got.State != Connecting || !got.Listed || s.toolsNow() != `[{"name":"old"}]` {
			t.Errorf("%+v", got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := s.Snapshot(); got.State != Ready || got.Lists.Tools != nil || got.Lists.Prompts != nil {
			t.Errorf("%+v, tools %s", got, s.toolsNow())
		}
	})
}

// swap is a transport that can be exchanged while it is in use.
type swap struct{ now atomic.Value }

func (s *swap) use(t http.RoundTripper) { s.now.Store(holder{t}) }

func (s *swap) RoundTrip(r *http.Request) (*http.Response, error) {
	return s.now.Load().(holder).RoundTrip(r)
}

type holder struct{ http.RoundTripper }

type count struct {
	http.RoundTripper
	n *atomic.Int32
}

func (c count) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}
