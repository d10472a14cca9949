package broker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// A stateless client subscribes to a resource of a server with sessions.
func TestListenAtAServerWithSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, mute := newSessional("a"), newSessional("a")
		one.Results["resources/subscribe"], one.Results["resources/unsubscribe"] = `{}`, `{}`
		mute.Results["resources/subscribe"], mute.noStream = `{}`, true
		g := newGateway(t, setup{config: config("one", "mute")}, map[string]http.Handler{"one": one, "mute": mute})
		synctest.Wait()
		params := `{"resourceSubscriptions":["one+a:b","mute+a:b","one+a:c"]}`
		first, second := g.subscribe("1", params), g.subscribe("2", params)
		synctest.Wait()
		got := first.drain()
		if len(got) != 1 || !strings.Contains(got[0], `"resourceSubscriptions":["one+a:b","one+a:c"]`) {
			t.Fatalf("acknowledged %v", got)
		}
		second.drain()
		if n := len(one.Requests("POST", "resources/subscribe")); n != 2 || one.sessions() != 1 {
			t.Errorf("%d subscriptions in %d sessions", n, one.sessions())
		}
		update := "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"a:b\"}}\n\n"
		one.streams["s2"] <- update
		synctest.Wait()
		for id, e := range map[string]*events{"1": first, "2": second} {
			got := e.drain()
			if len(got) != 1 || !strings.Contains(got[0], `"uri":"one+a:b"`) || !strings.Contains(got[0], `"io.modelcontextprotocol/subscriptionId":`+id) {
				t.Errorf("heard %v", got)
			}
		}
		// A part of the resource is told of under its own URI.
		one.streams["s2"] <- strings.Replace(update, "a:b", "a:b/part", 1) + strings.Replace(update, "a:b", "a:bc", 1)
		synctest.Wait()
		for _, e := range []*events{first, second} {
			if got := e.drain(); len(got) != 1 || !strings.Contains(got[0], `"uri":"one+a:b/part"`) {
				t.Errorf("heard of a part %v", got)
			}
		}
		second.close()
		synctest.Wait()
		if n := len(one.Requests("POST", "resources/unsubscribe")); n != 0 {
			t.Errorf("%d ended with the first to leave", n)
		}
		// The server forgets the session: both are subscribed again, and told that
		// something may have changed.
		one.mu.Lock()
		delete(one.live, "s2")
		one.mu.Unlock()
		one.streams["s2"] <- "end"
		for e := first.next(); !strings.Contains(e, "notifications/resources/updated"); e = first.next() {
		}
		if last := one.Requests("POST", "resources/subscribe"); last[len(last)-1].Header.Get("Mcp-Session-Id") != "s3" {
			t.Errorf("subscribed anew %+v", last)
		}
		first.close()
		synctest.Wait()
		if n := len(one.Requests("POST", "resources/unsubscribe")); n != 2 {
			t.Errorf("%d ended with the last to leave", n)
		}
	})
}

// next returns the next line.
func (e *events) next() string { return <-e.lines }

// A server that tells of ever more parts to a client that does not read uses up
// nothing: the client learns that the resource has changed.
func TestNewsOfPartsAreBounded(t *testing.T) {
	t.Parallel()
	n := newNews()
	for i := range 10 * maxNews {
		changed := fmt.Sprintf("a:b/%d", i)
		n.put("a:b", changed, updated(changed))
	}
	n.put("a:c", "a:c", updated("a:c"))
	got := n.take()
	if len(got) != maxNews+2 || string(got[maxNews]) != string(updated("a:b")) || string(got[maxNews+1]) != string(updated("a:c")) {
		t.Errorf("%d kept, the last %s", len(got), got[len(got)-2:])
	}
}
