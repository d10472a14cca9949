package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
)

func subscription(method, uri string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"resources/` + method + `","params":{"uri":"` + uri + `"}}`
}

// filters returns what the server was asked to tell, but for what discovery asks.
func filters(s *rawserver.Server) (out []string) {
	for _, r := range s.Requests("POST", "subscriptions/listen") {
		if _, uris, ok := strings.Cut(r.Body, `"resourceSubscriptions":`); ok {
			out = append(out, uris[:strings.Index(uris, "]")+1])
		}
	}
	return out
}

func TestSubscriptionsAtAStatelessServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, feed := modernOne("a"), rawserver.NewFeed()
		one.Listen = feed.Listen // discovery asks nothing: no list announces changes
		c := config("one", "two")
		servers := map[string]http.Handler{"one": one, "two": raw("b")}
		g := newGateway(t, setup{config: c}, servers)
		other := newGateway(t, setup{config: c, store: g.store}, servers)
		id := g.open()
		stream := g.listen(id)
		ask := func(at *gateway, method, uri string) {
			t.Helper()
			if got := at.post(id, subscription(method, uri)); got.body != `{"jsonrpc":"2.0","id":1,"result":{}}` {
				t.Errorf("%s: %s", method, got.body)
			}
			synctest.Wait()
		}
		ask(g, "subscribe", "one+a:b")
		ask(other, "subscribe", "one+a:a")
		ask(other, "subscribe", "one+a:a")
		if got := strings.Join(filters(one), " "); got != `["a:b"] ["a:a","a:b"]` {
			t.Errorf("asked for %s", got)
		}
		feed.Out <- `data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b","_meta":{"x":1,"io.modelcontextprotocol/subscriptionId":3}}}` + "\n\n"
		stream.wantNext(t, event("", `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"one+a:b","_meta":{"x":1}}}`))

		// What was missed between two streams counts as changed.
		feed.Out <- rawserver.End
		time.Sleep(time.Minute)
		stream.wantNext(t, append(
			event("", `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"one+a:a"}}`),
			event("", `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"one+a:b"}}`)...))

		ask(other, "unsubscribe", "one+a:b")
		if got := filters(one); got[len(got)-1] != `["a:a"]` {
			t.Errorf("asked for %s", got)
		}
		opened := feed.Opened.Load()
		ask(g, "unsubscribe", "one+a:a")
		if feed.Opened.Load() != opened {
			t.Error("asked for nothing")
		}
		if n := len(one.Requests("POST", "resources/subscribe")); n != 0 {
			t.Errorf("%d requests of a revision that the server does not speak", n)
		}
		// A session of a server that has none is not opened, nor told of anything.
		if _, status := g.resolve(`{"session":"` + id + `","server":"one"}`); status != 409 {
			t.Errorf("resolve: %d", status)
		}
	})
}

func TestNoSubscriptionsAtAServerWithout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		one.Discover = rawserver.Discovery(`{"tools":{},"resources":{}}`)
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": one, "two": withAll("b")})
		id := g.open()
		if got, _ := describe(g.post(id, subscription("subscribe", "one+a:b")).body); got != "1 -32601" {
			t.Error(got)
		}
	})
}

// A server that comes back without sessions still tells what a client has
// subscribed to before.
func TestSubscriptionsOutliveTheEraOfTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before, one, feed := withAll("a"), modernOne("a"), rawserver.NewFeed()
		before.Session = "s"
		one.Listen = feed.Listen
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": before, "two": raw("b")})
		id := g.open()
		stream := g.listen(id)
		if got := g.post(id, subscription("subscribe", "one+a:b")); got.body != `{"jsonrpc":"2.0","id":1,"result":{}}` {
			t.Errorf("%s", got.body)
		}
		g.serve("one", one)
		time.Sleep(10 * time.Minute)
		if got := strings.Join(filters(one), " "); got != `["a:b"]` {
			t.Errorf("asked for %s", got)
		}
		stream.drain()
		feed.Out <- `data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b"}}` + "\n\n"
		stream.wantNext(t, event("", `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"one+a:b"}}`))
		tried := len(one.Requests("POST", "initialize"))
		time.Sleep(4 * time.Minute)
		if n := len(one.Requests("POST", "initialize")); n > tried {
			t.Errorf("a session is tried for again, %d times", n-tried)
		}
	})
}
