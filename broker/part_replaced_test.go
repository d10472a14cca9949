package broker

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
)

// place is where one server is, and then another.
type place struct{ atomic.Pointer[http.Handler] }

func (p *place) put(h http.Handler) { p.Store(&h) }

func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*p.Load()).ServeHTTP(w, r) }

// heard drains the stream but for comments.
func (e *events) heard() []string {
	return slices.DeleteFunc(e.drain(), func(line string) bool { return strings.HasPrefix(line, ":") })
}

func TestSubscriptionGoesOnAtAServerThatSpeaksAnotherEra(t *testing.T) {
	t.Parallel()
	updated := isUpdated("1", "one+a:b")
	newSessions := func() *sessional {
		s := newSessional("a")
		s.Results["resources/subscribe"], s.Results["resources/unsubscribe"] = `{}`, `{}`
		return s
	}
	t.Run("ToSessions", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var one place
			before, after := newTeller(), newSessions()
			one.put(before)
			g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": &one, "two": raw("b")})
			s := g.subscribe(`1`, `{"resourceSubscriptions":["one+a:b"]}`)
			s.expect(t, time.Second, acknowledged(`1`, `{"resourceSubscriptions":["one+a:b"]}`))
			one.put(after)
			before.out <- rawserver.End
			before.lists <- rawserver.End
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(after.Requests("POST", "resources/subscribe")); n != 1 {
				t.Fatalf("%d subscriptions at the server that took the place", n)
			}
			if got := s.heard(); !slices.Contains(got, updated) {
				t.Errorf("told %v", got)
			}
			after.streams["s2"] <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"a:b\"}}\n\n"
			synctest.Wait()
			if got := s.heard(); !slices.Equal(got, []string{updated}) {
				t.Errorf("heard %v", got)
			}
		})
	})
	t.Run("FromSessions", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var one place
			before, after := newSessions(), newTeller()
			one.put(before)
			g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": &one, "two": raw("b")})
			s := g.subscribe(`1`, `{"resourceSubscriptions":["one+a:b"]}`)
			s.expect(t, time.Second, acknowledged(`1`, `{"resourceSubscriptions":["one+a:b"]}`))
			one.put(after)
			for _, stream := range before.streams {
				select {
				case stream <- rawserver.End:
				case <-time.After(time.Millisecond): // the one of the probe has none
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := after.open.Load(); n != 1 {
				t.Fatalf("%d subscriptions at the server that took the place", n)
			}
			if got := s.heard(); !slices.Contains(got, updated) {
				t.Errorf("told %v", got)
			}
			initialized := len(after.Requests("POST", "initialize"))
			after.out <- isUpdated("ID", "a:b")
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if got := s.heard(); !slices.Equal(got, []string{updated}) {
				t.Errorf("heard %v", got)
			}
			if n := len(after.Requests("POST", "initialize")); n > initialized+3 {
				t.Errorf("%d attempts to open a session where there are none", n-initialized)
			}
		})
	})
}

// A proxy answers for a while in the place of a server: what was promised holds
// when that is over.
func TestSubscriptionOutlivesARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var one place
		server := newTeller()
		one.put(server)
		g := newGateway(t, setup{config: tellers("one", "two")}, map[string]http.Handler{"one": &one, "two": newTeller()})
		s := g.subscribe(`1`, `{"resourceSubscriptions":["one+a:b"]}`)
		s.expect(t, time.Second, acknowledged(`1`, `{"resourceSubscriptions":["one+a:b"]}`))
		one.put(http.NotFoundHandler())
		server.out <- rawserver.End
		time.Sleep(10 * time.Second)
		one.put(server)
		time.Sleep(resubscribeMax)
		synctest.Wait()
		if n := server.open.Load(); n != 1 {
			t.Fatalf("%d subscriptions at the server", n)
		}
		if got := s.heard(); !slices.Equal(got, []string{isUpdated("1", "one+a:b")}) {
			t.Errorf("told %v", got)
		}
	})
}
