package broker

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

func TestUnchangedServerKeepsItsConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		feed := rawserver.NewFeed()
		one := raw("a")
		one.Stream = feed.ServeHTTP
		one.Set("resources/list", `{"resources":[{"uri":"file:///r"}]}`)
		two := raw("b")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one, "two": two})
		id := g.open()
		if got := g.ask(id, "resources/list"); got != `{"resources":[{"uri":"file:///r"}]}` {
			t.Errorf("resources of the only server: %s", got)
		}
		stream := g.listen(id)
		calls := len(one.Seen())

		// A second server comes: the first gets a label, and nothing else.
		g.apply(config("one", "two"))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "two_b") {
			t.Errorf("tools %s", got)
		}
		if got := g.ask(id, "resources/list"); got != `{"resources":[{"uri":"one+file:///r"}]}` {
			t.Errorf("resources %s", got)
		}
		if diff := cmp.Diff(append(changedEvent("tools"), changedEvent("resources")...), stream.drain()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}

		// The same again, then another order and another prefix.
		g.apply(config("one", "two"))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := stream.drain(); got != nil {
			t.Errorf("the same configuration again: %q", got)
		}
		c := config("two", "one")
		c.Servers[1].Prefix = "eins_"
		g.apply(c)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := g.ask(id, "tools/list"); got != toolList("two_b", "eins_a") {
			t.Errorf("tools %s", got)
		}
		stream.drain()
		one.Set("tools/list", toolList("a", "a2"))
		feed.Out <- rawserver.Notification("notifications/tools/list_changed")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := g.ask(id, "tools/list"); got != toolList("two_b", "eins_a", "eins_a2") {
			t.Errorf("tools %s", got)
		}
		if diff := cmp.Diff(changedEvent("tools"), stream.drain()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if n := len(one.Seen()); n != calls+1 {
			t.Errorf("%d requests to the unchanged server, want only one listing", n-calls)
		}
	})
}

func TestRemovedServerIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := raw("a"), raw("b")
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": one, "two": two})
		id := g.open()
		g.apply(config("one"))
		if got := g.ask(id, "tools/list"); got != toolList("one_a") {
			t.Errorf("tools %s", got)
		}
		synctest.Wait()
		if n := len(two.Requests("DELETE", "")); n != 1 {
			t.Errorf("%d sessions ended at the removed server, want 1", n)
		}
		calls := len(two.Seen())
		time.Sleep(time.Hour)
		if n := len(two.Seen()); n != calls {
			t.Errorf("%d requests to a removed server", n-calls)
		}
	})
}

func TestServerReachedInAnotherWayShowsItsListsOn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*gatewayconfig.Server){
		"url":     func(s *gatewayconfig.Server) { s.URL = "http://elsewhere/mcp" },
		"headers": func(s *gatewayconfig.Server) { s.Headers = map[string]string{"Authorization": "Bearer new"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one, elsewhere := raw("a"), raw("a", "b")
				g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one, "elsewhere": elsewhere})
				synctest.Wait()
				id := g.open()
				stream := g.listen(id)
				for _, s := range []*rawserver.Server{one, elsewhere} {
					s.Intercept = func(http.ResponseWriter, *http.Request, string, string) bool {
						time.Sleep(time.Second)
						return false
					}
				}
				c := config("one")
				change(&c.Servers[0])
				g.apply(c)
				if got := g.ask(id, "tools/list"); got != toolList("one_a") {
					t.Errorf("tools right after the change: %s", got)
				}
				time.Sleep(15 * time.Second)
				synctest.Wait()
				want, events := toolList("one_a"), []string(nil)
				if name == "url" {
					want, events = toolList("one_a", "one_b"), changedEvent("tools")
				}
				if got := g.ask(id, "tools/list"); got != want {
					t.Errorf("tools %s, want %s", got, want)
				}
				if diff := cmp.Diff(events, stream.drain()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if n := len(one.Requests("DELETE", "")); n != 1 {
					t.Errorf("%d sessions ended at the old address, want 1", n)
				}
			})
		})
	}
}

func TestServerThatComesLateIsAnnounced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one", "late")}, map[string]http.Handler{"one": raw("a")})
		id := g.open()
		stream := g.listen(id)
		if got := g.ask(id, "tools/list"); got != toolList("one_a") {
			t.Errorf("tools %s", got)
		}
		stop := g.serve("late", raw("b"))
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "late_b") {
			t.Errorf("tools %s", got)
		}
		events := slices.DeleteFunc(stream.drain(), func(line string) bool { return line == ": keep-alive" })
		if diff := cmp.Diff(changedEvent("tools"), events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		// And when it leaves again its lists stay: calls tell that it is down.
		stop()
		time.Sleep(time.Hour)
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "late_b") {
			t.Errorf("tools %s", got)
		}
	})
}

// A view that cannot be made of what servers say leaves the one before in place,
// whichever goroutine has tried.
func TestPanicKeepsTheView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		b := g.broker
		have := func(servers []*server) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.servers = servers
		}
		before, servers := b.view.Load(), b.servers
		have(append(servers[:1:1], &server{})) // has no upstream
		b.refresh()
		if b.view.Load() != before {
			t.Error("there is another view")
		}
		have(servers)
		b.refresh()
		if b.view.Load() == before {
			t.Error("there is no other view, now that there can be")
		}
	})
}
