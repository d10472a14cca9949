package broker

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
)

func changedEvent(kind string) []string {
	return []string{"event: message", `data: {"jsonrpc":"2.0","method":"notifications/` + kind + `/list_changed"}`}
}

func TestStreamCarriesRealChangesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		feed := rawserver.NewFeed()
		one := raw("a")
		one.Stream = feed.ServeHTTP
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		stream := g.listen(id)
		synctest.Wait()
		settle := func() []string {
			time.Sleep(time.Second)
			synctest.Wait()
			return stream.drain()
		}

		feed.Out <- rawserver.Notification("notifications/tools/list_changed")
		if got := settle(); got != nil {
			t.Errorf("a change that is none: %q", got)
		}
		one.Set("tools/list", toolList("a", "b"))
		feed.Out <- rawserver.Notification("notifications/tools/list_changed")
		if diff := cmp.Diff(changedEvent("tools"), settle()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "one_b") {
			t.Errorf("tools after the notification: %s", got)
		}
		one.Set("tools/list", `{"tools":[{"name":"a","description":"new"},{"name":"b"}]}`)
		feed.Out <- rawserver.Notification("notifications/tools/list_changed")
		if diff := cmp.Diff(changedEvent("tools"), settle()); diff != "" {
			t.Errorf("a changed description (-want +got):\n%s", diff)
		}
		one.Set("resources/templates/list", `{"resourceTemplates":[{"uriTemplate":"x:{y}"}]}`)
		one.Set("prompts/list", `{"prompts":[{"name":"p"}]}`)
		feed.Out <- rawserver.Notification("notifications/resources/list_changed")
		feed.Out <- rawserver.Notification("notifications/prompts/list_changed")
		if diff := cmp.Diff(append(changedEvent("prompts"), changedEvent("resources")...), settle()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestStreamIsKeptAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		id := g.open()
		stream := g.listen(id)
		time.Sleep(3*time.Hour + time.Second) // the store's idle timeout is one hour
		synctest.Wait()
		lines := stream.drain()
		if len(lines) != 3*60*3 || lines[0] != ": keep-alive" {
			t.Errorf("%d lines in 3 hours, first %q", len(lines), lines[0])
		}
		if got := g.ask(id, "ping"); got != "{}" {
			t.Errorf("ping after 3 hours: %s", got)
		}
	})
}

// A client that opens a stream has lost the one before, even if the gateway has
// not noticed.
func TestSecondStreamOfASessionTakesTheFirstOnesPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.join(id, "one")
		first := g.listen(id)
		first.wantNext(t, nil)
		second := g.listen(id)
		first.wantNext(t, []string{"closed"})
		time.Sleep(gatherFor)
		second.wantNext(t, everyList())
		one.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"
		second.wantNext(t, event("", `{"jsonrpc":"2.0","method":"x"}`))
		g.listen(g.open())
		if n := g.broker.hub.count(); n != 2 {
			t.Errorf("%d streams, want 2", n)
		}
	})
}

func everyList() []string {
	return append(append(changedEvent("tools"), changedEvent("prompts")...), changedEvent("resources")...)
}

// What changes while a client has no stream, or none that works, it hears of
// with its next one; its first stream tells it nothing.
func TestStreamTellsWhatMayHaveBeenMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tools := raw("a")
		tools.Hello = rawserver.Hello(`{"tools":{}}`)
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": tools})
		id := g.open()
		settle := func() { time.Sleep(time.Second) }
		first := g.listen(id)
		settle()
		first.wantNext(t, nil)
		first.close()
		settle()
		again := g.listen(id)
		settle()
		again.wantNext(t, changedEvent("tools")) // the lists that are offered
		g.broker.hub.end(session.ID(id).Key())
		g.listen(id)
		settle()
		if n := len(g.broker.hub.absent); n != 0 {
			t.Errorf("%d sessions are remembered that have ended or listen", n)
		}

		// Resumed at another replica, it is not known here.
		resumed := g.listenBehind(g.open(), "~one~7")
		settle()
		resumed.wantNext(t, changedEvent("tools"))
	})
}

func TestHubKeepsWhatTheStreamBeforeWasToTell(t *testing.T) {
	t.Parallel()
	h := newHub()
	key := session.ID("x").Key()
	first := h.open(context.Background(), key, "", toolsChanged, false)
	h.announce(map[string]changes{"": promptsChanged})
	second := h.open(context.Background(), key, "", toolsChanged, false)
	<-first.open.Done()
	<-second.wake
	if got := h.take(second); got != toolsChanged|promptsChanged {
		t.Errorf("to tell: %b", got)
	}
}

func TestHubRemembersABoundedNumber(t *testing.T) {
	t.Parallel()
	h := newHub()
	for i := range maxAbsent + 10 {
		key := session.ID(fmt.Sprint(i)).Key()
		h.close(key, h.open(context.Background(), key, "", toolsChanged, false))
	}
	if len(h.absent) != maxAbsent || h.count() != 0 {
		t.Errorf("%d remembered, %d open", len(h.absent), h.count())
	}
}

func TestStreamWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		key := session.ID("x").Key()
		began := time.Now()
		first := h.open(context.Background(), key, "", 0, false)
		first.awaitTurn()
		second := h.open(context.Background(), key, "", 0, false)
		time.AfterFunc(time.Second, func() { close(first.left) })
		second.awaitTurn()
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v for the first", waited)
		}
		third := h.open(context.Background(), key, "", 0, false) // the second one never leaves
		third.awaitTurn()
		if waited := time.Since(began); waited != time.Second+turnWithin {
			t.Errorf("waited %v in all", waited)
		}
	})
}

func TestStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(g *gateway, id string)
		wait time.Duration
	}{
		{"deleted", func(g *gateway, id string) {
			g.request("DELETE", "", map[string]string{"Mcp-Session-Id": id})
		}, 0},
		{"deleted by another replica", func(g *gateway, id string) {
			if _, err := g.store.Delete(g.t.Context(), session.ID(id)); err != nil {
				g.t.Error(err)
			}
		}, 0},
		{"end of the broker", func(g *gateway, _ string) { g.stop() }, 0},
		{"end of its lifetime", func(*gateway, string) {}, 24*time.Hour + 2*time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
				id := g.open()
				stream := g.listen(id)
				synctest.Wait()
				if lines := stream.drain(); lines != nil {
					t.Fatalf("stream: %q", lines)
				}
				test.end(g, id)
				for waited := time.Duration(0); waited < test.wait; waited += time.Hour {
					time.Sleep(time.Hour)
					synctest.Wait()
					stream.drain()
				}
				synctest.Wait()
				if test.wait == 0 {
					if lines := stream.drain(); len(lines) == 0 || lines[len(lines)-1] != "closed" {
						t.Errorf("the stream goes on: %q", lines)
					}
				}
				if n := g.broker.hub.count(); n != 0 {
					t.Errorf("%d streams are left", n)
				}
			})
		})
	}
}

func TestSlowClientGetsOneNotificationForEachList(t *testing.T) {
	t.Parallel()
	h := newHub()
	key := session.ID("x").Key()
	s := h.open(context.Background(), key, "", toolsChanged, false)
	for range 1000 {
		h.announce(map[string]changes{"": toolsChanged})
		h.announce(map[string]changes{"": resourcesChanged})
	}
	<-s.wake
	got := string(h.take(s).events(nil))
	want := strings.Join(append(append(changedEvent("tools"), ""), append(changedEvent("resources"), "", "")...), "\n")
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	select {
	case <-s.wake:
		t.Error("woken again for nothing")
	default:
	}
	if h.take(s) != 0 {
		t.Error("told twice")
	}
}

func TestStreamOfAClientThatTakesNothingEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		id := g.open()
		r, _ := http.NewRequest("GET", "http://gateway/mcp", nil)
		r.Header.Set("Mcp-Session-Id", id)
		resp, err := g.public.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		time.Sleep(30 * time.Minute) // nobody reads
		synctest.Wait()
		if n := g.broker.hub.count(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

func TestConnectionServesOnAfterItsStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		g.public.Transport.(*http.Transport).MaxConnsPerHost = 1
		id := g.open()
		stream := g.listen(id)
		if _, err := g.store.Delete(t.Context(), session.ID(id)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if lines := stream.drain(); fmt.Sprint(lines) != "[closed]" {
			t.Fatalf("stream: %q", lines)
		}
		time.Sleep(writeTimeout + time.Second) // the deadline of the stream's last write
		g.open()
	})
}

func TestChangesInARowAreOneNotification(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config()}, map[string]http.Handler{"a": raw("x"), "b": raw("x"), "c": raw("x")})
		stream := g.listen(g.open())
		for _, names := range [][]string{{"a"}, {"a", "b"}, {"a", "b", "c"}} {
			g.apply(config(names...))
			synctest.Wait()
		}
		time.Sleep(gatherFor)
		synctest.Wait()
		if diff := cmp.Diff(changedEvent("tools"), stream.drain()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}
