package broker

import (
	"bufio"
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// subscribe opens a subscription with that raw id and filter.
func (g *gateway) subscribe(id, filter string) *events {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	body := stateless(id, "subscriptions/listen", `"notifications":`+filter)
	r, err := http.NewRequestWithContext(ctx, "POST", "http://gateway"+cmp.Or(g.path, "/mcp"), strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
	r.Header.Set("Mcp-Method", "subscriptions/listen")
	for name, value := range g.as {
		r.Header.Set(name, value)
	}
	resp, err := g.public.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Accel-Buffering") != "no" {
		g.t.Fatalf("subscriptions/listen: %d %v", resp.StatusCode, resp.Header)
	}
	e := &events{lines: make(chan string, 1000), close: cancel}
	go func() {
		defer close(e.lines)
		defer func() { _ = resp.Body.Close() }()
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			if line := s.Text(); line != "" && line != "event: message" {
				e.lines <- strings.TrimPrefix(line, "data: ")
			}
		}
	}()
	g.t.Cleanup(cancel)
	return e
}

// What is sent on a subscription with a raw id.
func acknowledged(id, filter string) string {
	return notified("subscriptions/acknowledged", id, `,"notifications":`+filter)
}

func notified(method, id, params string) string {
	return `{"jsonrpc":"2.0","method":"notifications/` + method + `","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` + id + `}` + params + `}}`
}

func ended(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"gw","version":"7"},"io.modelcontextprotocol/subscriptionId":` + id + `}}}`
}

// after lets time pass and tells what has come.
func (e *events) after(d time.Duration) []string {
	time.Sleep(d)
	synctest.Wait()
	return e.drain()
}

func (e *events) expect(t *testing.T, within time.Duration, want ...string) {
	t.Helper()
	if got := e.after(within); !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const allLists = `{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}`

func TestSubscriptionToLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		noPrompts := raw("a")
		noPrompts.Hello = rawserver.Hello(`{"tools":{},"resources":{}}`)
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": noPrompts, "two": raw("b")})
		all := g.subscribe(`"all"`, allLists)
		tools := g.subscribe(`1.0`, `{"toolsListChanged":true,"resourcesListChanged":false}`)
		none := g.subscribe(`7`, `{"resourceSubscriptions":["one+a:b"],"taskIds":["t"]}`)
		// There are no prompts, so nobody will say that they changed.
		all.expect(t, 0, acknowledged(`"all"`, `{"toolsListChanged":true,"resourcesListChanged":true}`))
		tools.expect(t, 0, acknowledged(`1.0`, `{"toolsListChanged":true}`))
		none.expect(t, 0, acknowledged(`7`, `{}`))
		all.expect(t, 21*time.Second, ": keep-alive")

		g.apply(config("one", "two"))
		changed := notified("tools/list_changed", `"all"`, "")
		all.expect(t, 2*time.Second, changed)
		tools.drain()
		none.expect(t, 0, ": keep-alive")
		if got := g.modern("tools/list", "").body; !strings.Contains(got, "two_b") {
			t.Errorf("the list is not as new as the news: %s", got)
		}
		tools.close()
		all.close()
		synctest.Wait()
		if n := g.broker.hub.count(); n != 1 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

func TestChangesComeTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		s := g.subscribe(`1`, allLists)
		s.expect(t, time.Second, acknowledged(`1`, allLists))
		for range 3 {
			g.broker.hub.announce(map[string]changes{"": toolsChanged})
			g.broker.hub.announce(map[string]changes{"": resourcesChanged})
		}
		s.expect(t, time.Second, notified("tools/list_changed", `1`, ""), notified("resources/list_changed", `1`, ""))
	})
}

// A server that announces a change of a list is repeated, in whatever sense that
// list has changed; at endpoints that show the server.
func TestAnnouncementOfTheSameList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, feed := raw("a"), rawserver.NewFeed()
		one.Stream = feed.ServeHTTP
		c := config("one", "two")
		c.Views = []gatewayconfig.View{{Name: "part", Servers: []string{"two"}}}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": raw("b")})
		with := g.listen(g.open())
		s := g.subscribe(`1`, allLists)
		g.path = "/mcp/part"
		part := g.subscribe(`2`, allLists)
		s.expect(t, time.Second, acknowledged(`1`, allLists))
		part.expect(t, 0, acknowledged(`2`, allLists))
		feed.Out <- rawserver.Notification("notifications/tools/list_changed")
		s.expect(t, time.Second, notified("tools/list_changed", `1`, ""))
		part.expect(t, 0)
		// Once, if the list has changed indeed.
		one.Set("tools/list", toolList("c"))
		feed.Out <- rawserver.Notification("notifications/tools/list_changed")
		s.expect(t, time.Second, notified("tools/list_changed", `1`, ""))
		// A stream that comes back announces nothing.
		feed.Out <- rawserver.End
		s.expect(t, 10*time.Second)
		if got := with.drain(); len(got) != 2 {
			t.Errorf("a client with a session was told %q, want the change alone", got)
		}
	})
}

func TestEndOfSubscriptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config("one")
		c.Views = []gatewayconfig.View{{Name: "part", Servers: []string{"one"}}}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a")})
		own := g.subscribe(`1`, `{}`)
		g.path = "/mcp/part"
		part := g.subscribe(`2`, `{}`)
		own.expect(t, time.Second, acknowledged(`1`, `{}`))
		part.expect(t, 0, acknowledged(`2`, `{}`))
		g.apply(config("one"))
		part.expect(t, time.Second, ended(`2`), "closed")
		own.expect(t, 0)
		g.stop()
		own.expect(t, time.Second, ended(`1`), "closed")
	})
}

func TestSubscriptionsEndBeforeTheGateway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		s := g.subscribe(`1`, `{}`)
		s.expect(t, time.Second, acknowledged(`1`, `{}`))
		g.broker.EndSubscriptions(t.Context())
		s.expect(t, 0, ended(`1`), "closed")
		if got := g.modern("subscriptions/listen", `"notifications":{}`); got.status != 503 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestRefusedSubscriptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config("one")
		c.Limits.Body = 1 << 20
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a")})
		for _, filter := range []string{`null`, `{"toolsListChanged":1}`, `{"resourceSubscriptions":["` + strings.Repeat("x", largestWanted) + `"]}`} {
			got := g.modern("subscriptions/listen", `"notifications":`+filter)
			if brief, _ := describe(got.body); got.status != 200 || brief != "1 -32602" {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
		long := `"` + strings.Repeat("x", largestKept) + `"`
		if got := g.request("POST", stateless(long, "subscriptions/listen", `"notifications":{}`), mirrors("subscriptions/listen", "")); got.status != 400 {
			t.Errorf("long id: %d", got.status)
		}
	})
}
