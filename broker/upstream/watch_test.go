package upstream

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

func (s *Server) toolsNow() string { return fmt.Sprint(texts(s.Snapshot().Lists.Tools)) }

func TestListChangedReadsThatListOnceAfterTheDebounce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := rawserver.NewFeed()
		sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty(), Stream: events.ServeHTTP}
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		if n := len(sc.Requests("POST", "tools/list")); n != 1 || s.Snapshot().State != Ready {
			t.Fatalf("%d listings with an open stream, state %s", n, s.Snapshot().State)
		}
		before := s.Snapshot()

		sc.Set("tools/list", `{"tools":[{"name":"new"}]}`)
		for range 20 {
			events.Out <- ": x\n" + rawserver.Notification("notifications/tools/list_changed")
		}
		events.Out <- "data: garbage\n\n"
		time.Sleep(99 * time.Millisecond)
		synctest.Wait()
		if n := len(sc.Requests("POST", "tools/list")); n != 1 {
			t.Errorf("%d listings within the debounce, want 1", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if n, p := len(sc.Requests("POST", "tools/list")), len(sc.Requests("POST", "prompts/list")); n != 2 || p != 1 {
			t.Errorf("%d listings of tools and %d of prompts, want 2 and 1", n, p)
		}
		if got := s.toolsNow(); got != `[{"name":"new"}]` {
			t.Errorf("tools %s", got)
		}
		if before.Lists.Tools != nil {
			t.Errorf("an older snapshot has changed: %q", before.Lists.Tools)
		}

		events.Out <- rawserver.Notification("notifications/resources/list_changed")
		time.Sleep(time.Second)
		synctest.Wait()
		if r, rt := len(sc.Requests("POST", "resources/list")), len(sc.Requests("POST", "resources/templates/list")); r != 2 || rt != 2 {
			t.Errorf("%d listings of resources and %d of templates, want 2 and 2", r, rt)
		}
	})
}

func TestServerThatChangesAllTheTimeIsAskedAFifthOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := rawserver.NewFeed()
		sc := &rawserver.Server{Hello: rawserver.Hello(`{"tools":{}}`), Session: "s", Results: rawserver.Empty(), Stream: events.ServeHTTP}
		sc.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method == "tools/list" {
				time.Sleep(time.Second)
			}
			return false
		}
		transport, _ := rawserver.Serve(t, sc)
		start(t, transport, nil)
		for range 100 * 10 {
			time.Sleep(100 * time.Millisecond)
			events.Out <- rawserver.Notification("notifications/tools/list_changed")
		}
		if n := len(sc.Requests("POST", "tools/list")); n < 18 || n > 21 {
			t.Errorf("%d listings of a second each in 100 seconds, want 20", n)
		}
	})
}

func TestUnchangedListsKeepTheirPointer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := rawserver.NewFeed()
		sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty(), Stream: events.ServeHTTP}
		sc.Set("tools/list", `{"tools":[{"name":"a"}]}`)
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		before := s.Snapshot()
		events.Out <- rawserver.Notification("notifications/tools/list_changed")
		time.Sleep(time.Second)
		synctest.Wait()
		if after := s.Snapshot(); after.Lists != before.Lists || !after.ListedAt.After(before.ListedAt) {
			t.Errorf("same lists: pointer kept %v, times %v %v", after.Lists == before.Lists, before.ListedAt, after.ListedAt)
		}
	})
}

func TestRequestsOnTheStreamAreAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := rawserver.NewFeed()
		sc := &rawserver.Server{Hello: rawserver.Hello("{}"), Session: "s", Stream: events.ServeHTTP}
		transport, _ := rawserver.Serve(t, sc)
		start(t, transport, nil)
		synctest.Wait()
		events.Out <- "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"ping\"}\n\n"
		events.Out <- "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n\n"
		synctest.Wait()
		answers := sc.Requests("POST", "")
		if len(answers) != 2 || answers[0].Body != `{"jsonrpc":"2.0","id":9007199254740993,"result":{}}` ||
			answers[1].Body != `{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}` {
			t.Errorf("answers %+v", answers)
		}
	})
}

func TestReopenedStreamReadsTheListsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := rawserver.NewFeed()
		sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty(), Stream: events.ServeHTTP}
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		events.Out <- "retry: 5000\n\n"
		sc.Set("tools/list", `{"tools":[{"name":"missed"}]}`)
		events.Out <- rawserver.End
		synctest.Wait()
		time.Sleep(4900 * time.Millisecond)
		synctest.Wait()
		if n := events.Opened.Load(); n != 1 {
			t.Errorf("stream opened %d times within its retry time", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := events.Opened.Load(); n != 2 || s.toolsNow() != `[{"name":"missed"}]` {
			t.Errorf("stream opened %d times, tools %s", n, s.toolsNow())
		}
		if n := len(sc.Requests("POST", "initialize")); n != 1 {
			t.Errorf("%d sessions for one server", n)
		}
	})
}

func TestStreamThatEndsAtOnceIsNotHammered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int32
		sc := &rawserver.Server{Hello: rawserver.Hello(`{"tools":{}}`), Session: "s", Results: rawserver.Empty()}
		sc.Stream = func(w http.ResponseWriter, _ *http.Request) {
			opened.Add(1)
			w.Header().Set("Content-Type", "text/event-stream")
		}
		transport, _ := rawserver.Serve(t, sc)
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
		sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty()}
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		sc.Set("tools/list", `{"tools":[{"name":"a"}]}`)
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
		sc.Set("tools/list", `{"tools":[{"name":"b"}]}`)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := s.toolsNow(); got != `[{"name":"b"}]` {
			t.Errorf("tools %s after 5 minutes", got)
		}
		if n := len(sc.Requests("GET", "")); n != 1 {
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
				events := rawserver.NewFeed()
				var current atomic.Pointer[string]
				set := func(id string) { current.Store(&id) }
				set("first")
				sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Results: rawserver.Empty()}
				if withStream {
					sc.Stream = events.ServeHTTP
				}
				sc.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
					switch {
					case method == "initialize":
						w.Header().Set("Mcp-Session-Id", *current.Load())
						rawserver.Respond(w, id, sc.Hello)
						return true
					case r.Header.Get("Mcp-Session-Id") != *current.Load():
						w.WriteHeader(http.StatusNotFound)
						return true
					}
					return false
				}
				transport, _ := rawserver.Serve(t, sc)
				s, _ := start(t, transport, nil)
				time.Sleep(6 * time.Second)
				sc.Set("tools/list", `{"tools":[{"name":"second life"}]}`)
				set("second")
				if withStream {
					events.Out <- rawserver.End
				} else {
					s.Recheck()
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := s.Snapshot(); got.State != Ready || s.toolsNow() != `[{"name":"second life"}]` {
					t.Errorf("state %s, error %v, tools %s", got.State, got.Err, s.toolsNow())
				}
				if n := len(sc.Requests("POST", "initialize")); n != 2 {
					t.Errorf("%d sessions, want 2", n)
				}
			})
		})
	}
}

func TestLostServerKeepsItsListsAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty()}
		sc.Set("tools/list", `{"tools":[{"name":"a"}]}`)
		events := rawserver.NewFeed()
		sc.Stream = events.ServeHTTP
		var attempts atomic.Int32
		down, stop := rawserver.Serve(t, sc)
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
		up, _ := rawserver.Serve(t, sc)
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
		sc := &rawserver.Server{Hello: rawserver.Hello(`{"tools":{}}`), Session: "s", Results: rawserver.Empty()}
		sc.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
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
		transport, _ := rawserver.Serve(t, sc)
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

// Another version may be there now, which speaks otherwise.
func TestServerThatHasNoStreamAnyMoreIsLookedAtAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := rawserver.NewFeed()
		var without atomic.Bool
		sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty()}
		sc.Stream = func(w http.ResponseWriter, r *http.Request) {
			if without.Load() {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			events.ServeHTTP(w, r)
		}
		transport, _ := rawserver.Serve(t, sc)
		start(t, transport, nil)
		synctest.Wait()
		if n := len(sc.Requests("POST", "tools/list")); n != 1 {
			t.Fatalf("%d listings", n)
		}
		without.Store(true)
		events.Out <- rawserver.End
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := len(sc.Requests("POST", "tools/list")); n != 2 {
			t.Errorf("%d listings, want 2", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(sc.Requests("POST", "tools/list")); n != 2 {
			t.Errorf("%d listings a minute later, want 2", n)
		}
	})
}
