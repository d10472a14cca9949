package broker

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// teller is a stateless server that tells of resources and tasks.
type teller struct {
	*rawserver.Server
	// honours is the raw filter that it acknowledges; empty is what was asked for.
	honours string
	// late is how long it takes to acknowledge.
	late time.Duration
	// out takes what to say on the open stream, with ID for the subscription's id;
	// or rawserver.End.
	out chan string
	// lists takes rawserver.End for a stream on which lists are announced.
	lists  chan string
	opened atomic.Int32
	open   atomic.Int32
	asked  atomic.Value // the last raw filter
}

const subscribable = `{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"extensions":{"io.modelcontextprotocol/tasks":{}}}`

func newTeller() *teller {
	s := &teller{out: make(chan string), lists: make(chan string)}
	s.Server = &rawserver.Server{
		Discover: rawserver.Discovery(subscribable), Stateless: true, Results: rawserver.Empty(), Listen: s.listen,
	}
	return s
}

func (s *teller) listen(w http.ResponseWriter, r *http.Request, id, filter string) {
	w.Header().Set("Content-Type", "text/event-stream")
	say := func(message string) {
		_, _ = fmt.Fprintf(w, "data: %s\n\n", strings.ReplaceAll(message, "ID", id))
		_ = http.NewResponseController(w).Flush()
	}
	concerned := strings.Contains(filter, "resourceSubscriptions") || strings.Contains(filter, "taskIds")
	if !concerned { // the gateway's own, for lists
		say(acknowledged("ID", filter))
		select {
		case <-s.lists:
		case <-r.Context().Done():
		}
		return
	}
	s.asked.Store(filter)
	s.opened.Add(1)
	s.open.Add(1)
	defer s.open.Add(-1)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-time.After(s.late):
	case <-r.Context().Done():
		return
	}
	if s.honours != "" {
		filter = s.honours
	}
	say(acknowledged("ID", filter))
	for {
		select {
		case text := <-s.out:
			if text == rawserver.End {
				return
			}
			say(text)
		case <-r.Context().Done():
			return
		}
	}
}

func isUpdated(id, uri string) string { return notified("resources/updated", id, `,"uri":"`+uri+`"`) }

// tellers is a configuration of stateless servers with labels.
func tellers(names ...string) gatewayconfig.Broker {
	c := config(names...)
	for i := range c.Servers {
		c.Servers[i].Era = gatewayconfig.EraModern
	}
	return c
}

func TestSubscriptionToResources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTeller(), newTeller()
		two.honours = `{"resourceSubscriptions":["file:///b"]}`
		c := tellers("one", "two")
		c.Servers[1].Resources.Deny = []string{"*.key"}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": two})
		s := g.subscribe(`"s"`, `{"resourceSubscriptions":["one+file:///a","two+file:///b","two+file:///c","two+file:///x.key","three+a:b","a:b"],"taskIds":["one+t","two+t","t"]}`)
		s.expect(t, 400*time.Millisecond, acknowledged(`"s"`, `{"resourceSubscriptions":["one+file:///a","two+file:///b"],"taskIds":["one+t"]}`))
		if asked := two.asked.Load(); asked != `{"resourceSubscriptions":["file:///b","file:///c"],"taskIds":["t"]}` {
			t.Errorf("two was asked for %s", asked)
		}
		one.out <- `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a","n":1.0,"_meta":{"io.modelcontextprotocol/subscriptionId":ID,"x":1}}}`
		s.expect(t, 0,
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"one+file:///a","n":1.0,"_meta":{"io.modelcontextprotocol/subscriptionId":"s","x":1}}}`)
		two.out <- `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///b/part"}}`
		s.expect(t, 0,
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"},"uri":"two+file:///b/part"}}`)
		one.out <- `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"t","status":"working"}}`
		s.expect(t, 0, `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"},"taskId":"one+t","status":"working"}}`)
		// What is hidden, or was not asked for, and what is no notification.
		two.out <- isUpdated("ID", "file:///x.key")
		two.out <- `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"t"}}`
		one.out <- `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"other"}}`
		one.out <- `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}`
		one.out <- `{"jsonrpc":"2.0","id":1,"method":"roots/list","params":{}}`
		s.expect(t, time.Second)
		s.close()
		synctest.Wait()
		if one.open.Load() != 0 || two.open.Load() != 0 {
			t.Error("the servers' streams stay open")
		}
	})
}

func TestSubscriptionAtASoleServerHasNoLabels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTeller()
		g := newGateway(t, setup{config: tellers("one")}, map[string]http.Handler{"one": one})
		s := g.subscribe(`1`, `{"resourceSubscriptions":["file:///a"],"taskIds":["t+1"]}`)
		s.expect(t, 400*time.Millisecond, acknowledged(`1`, `{"resourceSubscriptions":["file:///a"],"taskIds":["t+1"]}`))
		one.out <- isUpdated("ID", "file:///a")
		s.expect(t, 0, isUpdated(`1`, "file:///a"))
	})
}

func TestSlowServerTellsThatItsResourcesMayHaveChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTeller(), newTeller()
		one.late = time.Second
		g := newGateway(t, setup{config: tellers("one", "two")}, map[string]http.Handler{"one": one, "two": two})
		s := g.subscribe(`1`, `{"resourceSubscriptions":["one+a:b","two+a:b"],"taskIds":["one+t"]}`)
		s.expect(t, acknowledgeWithin-time.Millisecond)
		s.expect(t, 2*time.Millisecond, acknowledged(`1`, `{"resourceSubscriptions":["one+a:b","two+a:b"]}`))
		s.expect(t, time.Second, isUpdated(`1`, "one+a:b"))
	})
}

func TestLostStreamTellsThatItsResourcesMayHaveChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTeller(), newTeller()
		g := newGateway(t, setup{config: tellers("one", "two")}, map[string]http.Handler{"one": one, "two": two})
		s := g.subscribe(`1`, `{"resourceSubscriptions":["one+a:b","two+a:b"]}`)
		s.expect(t, time.Second, acknowledged(`1`, `{"resourceSubscriptions":["one+a:b","two+a:b"]}`))
		one.out <- rawserver.End
		s.expect(t, 10*time.Second, isUpdated(`1`, "one+a:b"))
		if n := one.opened.Load(); n != 2 {
			t.Errorf("opened %d times", n)
		}
		one.out <- isUpdated("ID", "a:b")
		s.expect(t, 0, isUpdated(`1`, "one+a:b"))
	})
}

func TestSubscriptionFollowsTheConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTeller(), newTeller()
		c := tellers("one", "two")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": two})
		s := g.subscribe(`1`, `{"resourceSubscriptions":["one+a:b","two+a:b"]}`)
		s.expect(t, time.Second, acknowledged(`1`, `{"resourceSubscriptions":["one+a:b","two+a:b"]}`))

		// What is hidden now is told of no more, and its server not asked.
		hidden := tellers("one", "two")
		hidden.Servers[0].Resources.Deny = []string{"*"}
		g.apply(hidden)
		s.expect(t, time.Second)
		if one.open.Load() != 0 || two.open.Load() != 1 || two.opened.Load() != 1 {
			t.Errorf("one has %d streams, two %d, opened %d times", one.open.Load(), two.open.Load(), two.opened.Load())
		}
		two.out <- isUpdated("ID", "a:b")
		s.expect(t, 0, isUpdated(`1`, "two+a:b"))

		// What comes back may have changed meanwhile.
		g.apply(c)
		s.expect(t, time.Second, isUpdated(`1`, "one+a:b"))

		// So may what is reached in another way.
		moved := tellers("one", "two")
		moved.Servers[1].URL = "http://two/elsewhere"
		g.apply(moved)
		s.expect(t, 2*time.Second, isUpdated(`1`, "two+a:b"))
		if one.open.Load() != 1 || two.open.Load() != 1 {
			t.Errorf("one has %d streams, two %d", one.open.Load(), two.open.Load())
		}
	})
}

func TestSubscriptionWhereNobodyTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, mute := newTeller(), newTeller()
		mute.Listen = nil
		g := newGateway(t, setup{config: tellers("one", "mute")}, map[string]http.Handler{"one": one, "mute": mute})
		one.honours = `{}`
		s := g.subscribe(`1`, `{"toolsListChanged":true,"resourceSubscriptions":["one+a:b","mute+a:b"]}`)
		s.expect(t, 400*time.Millisecond, acknowledged(`1`, `{"toolsListChanged":true}`))
		if one.open.Load() != 0 {
			t.Error("a stream that tells nothing stays open")
		}
	})
}
