package broker

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/tag"
)

// talker is a server whose sessions have feeds: of discovery, and of clients.
type talker struct {
	*rawserver.Server
	own, clients *rawserver.Feed
	// after holds Last-Event-ID of the last GET in a client's session.
	after atomic.Pointer[string]
	// session of clients; the broker's own is "discovery".
	session atomic.Pointer[string]
}

func newTalker(tools ...string) *talker {
	s := &talker{Server: raw(tools...), own: rawserver.NewFeed(), clients: rawserver.NewFeed()}
	s.name("backend")
	s.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
		if method != "initialize" {
			return s.gone(w, r)
		}
		name := *s.session.Load()
		all := s.Requests("POST", "initialize")
		if strings.Contains(all[len(all)-1].Body, `"clientInfo":{"name":"gw"`) {
			name = "discovery"
		}
		w.Header().Set("Mcp-Session-Id", name)
		rawserver.Respond(w, id, s.Hello)
		return true
	}
	s.Stream = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Session-Id") == "discovery" {
			s.own.ServeHTTP(w, r)
			return
		}
		after := r.Header.Get("Last-Event-ID")
		s.after.Store(&after)
		s.clients.ServeHTTP(w, r)
	}
	return s
}

// name sets the id of sessions of clients; others do not exist any more.
func (s *talker) name(id string) { s.session.Store(&id) }

func (s *talker) gone(w http.ResponseWriter, r *http.Request) bool {
	if id := r.Header.Get("Mcp-Session-Id"); id == "discovery" || id == *s.session.Load() {
		return false
	}
	w.WriteHeader(http.StatusNotFound)
	return true
}

// join opens the backend session of a client, as a call does.
func (g *gateway) join(id, server string) {
	g.t.Helper()
	if _, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":%q}`, id, server)); status != 200 {
		g.t.Fatalf("resolve: %d", status)
	}
	synctest.Wait()
}

// event is what a client reads of an event with one line of data.
func event(id, data string) []string {
	lines := []string{"event: message"}
	if id != "" {
		lines = append(lines, "id: "+id)
	}
	return append(lines, "data: "+data)
}

func (e *events) wantNext(t *testing.T, want []string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for _, line := range e.drain() {
		if line != ": keep-alive" {
			got = append(got, line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// mark is value as a server's in a client's session.
func mark(id, server, value string) string {
	m := tag.NewMarker([]byte(id), server)
	return string(m.AppendEvent(nil, []byte(value)))
}

func TestStreamMergesThoseOfTheServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTalker("a"), newTalker("b")
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": one, "two": two})
		id := g.open()
		g.join(id, "one") // before the stream
		stream := g.listen(id)
		stream.wantNext(t, nil)
		g.join(id, "two") // while it is open

		one.clients.Out <- "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n\n"
		stream.wantNext(t, event("~"+mark(id, "one", "7"), `{"jsonrpc":"2.0","id":"`+mark(id, "one", "1")+`","method":"roots/list"}`))
		two.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"roots/list\",\"params\":{\"_meta\":{\"progressToken\":\"p\"}}}\n\n"
		stream.wantNext(t, event("", `{"jsonrpc":"2.0","id":"`+mark(id, "two", `\"1\"`)+`","method":"roots/list","params":{"_meta":{"progressToken":"`+mark(id, "two", `\"p\"`)+`"}}}`))
		two.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"file:///a\"}}\n\n"
		stream.wantNext(t, event("", `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"two+file:///a"}}`))
		const log = `{"jsonrpc": "2.0","method":"notifications/message","params":{"level":"info","data":1e400 }}`
		one.clients.Out <- "id: 8\ndata: " + log + "\n\n"
		stream.wantNext(t, event("~"+mark(id, "one", "8"), log))
		one.clients.Out <- "id: 9\ndata:\n\n"
		stream.wantNext(t, []string{"id: ~" + mark(id, "one", "9")})

		// Each line in an event of several is the client's; two servers at once
		// keep their events whole.
		one.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"x\"}\n\n"
		stream.wantNext(t, []string{"event: message", `data: {"jsonrpc":"2.0",`, `data: "method":"x"}`})
		one.clients.Out <- "data: [{\"jsonrpc\":\"2.0\",\"method\":\"x\"},{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"},{\"jsonrpc\":\"2.0\",\"method\":\"y\"}]\nid: 10\n\n"
		want := append(event("", `{"jsonrpc":"2.0","method":"x"}`), event("", `{"jsonrpc":"2.0","method":"y"}`)...)
		stream.wantNext(t, append(want, "id: ~"+mark(id, "one", "10")))
	})
}

func TestStreamPassesOnlyWhatIsForTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		stream := g.listen(id)
		g.join(id, "one")
		for _, text := range []string{
			"data: {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}\n\n",
			"data: {\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"sampling/createMessage\",\"params\":{}}\n\n",
			"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[\"of another\"]}}\n\n",
			"data: no JSON\n\n",
			"event: other\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n",
			": comment\n\n",
		} {
			one.clients.Out <- text
		}
		stream.wantNext(t, nil)
		var answers []string
		for _, r := range one.Requests("POST", "") {
			if r.Header.Get("Mcp-Session-Id") != "backend" {
				t.Errorf("answer in session %s", r.Header.Get("Mcp-Session-Id"))
			}
			answers = append(answers, r.Body)
		}
		want := []string{
			`{"jsonrpc":"2.0","id":3,"result":{}}`,
			`{"jsonrpc":"2.0","id":5,"error":{"code":-32601,"message":"the client does not offer this"}}`,
		}
		if diff := cmp.Diff(want, answers); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
	})
}

// A change that is announced to the client alone is told by the gateway, once
// its own list has it.
func TestChangeAnnouncedOnAClientsStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		stream := g.listen(id)
		g.join(id, "one")
		before := len(one.Requests("POST", "tools/list"))
		one.Set("tools/list", toolList("a", "b"))
		for range 50 {
			one.clients.Out <- rawserver.Notification("notifications/tools/list_changed")
		}
		stream.wantNext(t, nil)
		time.Sleep(6 * time.Second)
		stream.wantNext(t, changedEvent("tools"))
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "one_b") {
			t.Errorf("tools %s", got)
		}
		if n := len(one.Requests("POST", "tools/list")) - before; n != 1 {
			t.Errorf("%d listings for 50 announcements", n)
		}

		// Announced to discovery as well: one listing, one event.
		one.Set("tools/list", toolList("a"))
		one.own.Out <- rawserver.Notification("notifications/tools/list_changed")
		one.clients.Out <- rawserver.Notification("notifications/tools/list_changed")
		time.Sleep(10 * time.Second)
		stream.wantNext(t, changedEvent("tools"))
		if n := len(one.Requests("POST", "tools/list")) - before; n != 2 {
			t.Errorf("%d listings for one more change", n-1)
		}
	})
}

func TestStreamJoinsWhatAnotherReplicaOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		here := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		there := newGateway(t, setup{config: config("one"), store: here.store}, map[string]http.Handler{"one": raw("a")})
		id := here.open()
		stream := here.listen(id)
		there.join(id, "one")
		one.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"
		stream.wantNext(t, event("", `{"jsonrpc":"2.0","method":"x"}`))
	})
}

func TestStreamResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTalker("a"), newTalker("b")
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": one, "two": two})
		id := g.open()
		g.join(id, "one")
		g.join(id, "two")
		first := g.listen(id)
		first.wantNext(t, nil)
		// The client has lost its stream, the gateway has not noticed.
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://gateway/mcp", nil)
		r.Header.Set("Mcp-Session-Id", id)
		r.Header.Set("Last-Event-ID", "~"+mark(id, "two", "a~b"))
		resp, err := g.public.Do(r)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		defer func() { _ = resp.Body.Close() }()
		first.wantNext(t, []string{"closed"})
		if got := *one.after.Load(); got != "" {
			t.Errorf("the other server is resumed behind %q", got)
		}
		if got := *two.after.Load(); got != "a~b" {
			t.Errorf("resumed behind %q", got)
		}
		if n := g.broker.hub.count(); n != 1 {
			t.Errorf("%d streams", n)
		}
	})
}

// An id that was not given out in this session is as good as none: no server is
// asked for what came behind it.
func TestStreamDoesNotResumeBehindAForgedEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id, other := g.open(), g.open()
		g.join(id, "one")
		for _, event := range []string{"~one~7", "~one~AAAAAAAAAAAA~7", "~" + mark(other, "one", "7"), "~" + mark("backend", "one", "7"), mark(id, "one", "7")} {
			one.after.Store(new("none"))
			stream := g.listenBehind(id, event)
			synctest.Wait()
			if got := *one.after.Load(); got != "" {
				t.Errorf("%s: resumed behind %q", event, got)
			}
			stream.close()
			synctest.Wait()
		}
	})
}

func TestServersStreamIsReopenedWhereItBroke(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.join(id, "one")
		stream := g.listen(id)
		synctest.Wait()
		one.clients.Out <- "id: e1\nretry: 2000\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"
		one.clients.Out <- rawserver.End
		time.Sleep(1900 * time.Millisecond)
		synctest.Wait()
		if n := one.clients.Opened.Load(); n != 1 {
			t.Errorf("reopened %d times before the time that the server wants", n-1)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := one.clients.Opened.Load(); n != 2 || *one.after.Load() != "e1" {
			t.Errorf("opened %d times, resumed behind %q", n, *one.after.Load())
		}
		one.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"y\"}\n\n"
		stream.wantNext(t, append(event("~"+mark(id, "one", "e1"), `{"jsonrpc":"2.0","method":"x"}`), event("", `{"jsonrpc":"2.0","method":"y"}`)...))
	})
}

// A server that has forgotten the session gets a new one with all that the
// client has set, although the client only listens.
func TestForgottenSessionIsRenewedForAListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		one.Hello = rawserver.Hello(`{"tools":{},"logging":{},"resources":{"subscribe":true}}`)
		one.Results["logging/setLevel"], one.Results["resources/subscribe"] = `{}`, `{}`
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		header := map[string]string{"Mcp-Session-Id": id}
		stream := g.listen(id)
		g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"error"}}`, header)
		g.request("POST", `{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"file:///a"}}`, header)
		synctest.Wait()
		one.name("second")
		one.clients.Out <- rawserver.End
		time.Sleep(5 * time.Second)
		one.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"file:///a\"}}\n\n"
		stream.wantNext(t, event("", `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a"}}`))
		if n := len(one.Requests("POST", "initialize")); n != 3 {
			t.Errorf("%d sessions, want discovery's and two", n)
		}
		for method, want := range map[string]string{"logging/setLevel": `{"level":"error"}`, "resources/subscribe": `{"uri":"file:///a"}`} {
			all := one.Requests("POST", method)
			if last := all[len(all)-1]; last.Header.Get("Mcp-Session-Id") != "second" || !strings.Contains(last.Body, want) {
				t.Errorf("%s: %+v", method, last)
			}
		}
	})
}

// News may be lost: a stream that looks finds that its session has ended.
func TestStreamNoticesTheEndOfItsSessionAfterAGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &broken{Store: newGateway(t, setup{}, nil).store}
		g := newGateway(t, setup{store: store, config: config("one")}, map[string]http.Handler{"one": raw("a")})
		stream := g.listen(g.open())
		synctest.Wait()
		store.get = session.ErrNotFound
		g.broker.hub.lookAll()
		time.Sleep(lookWithin)
		stream.wantNext(t, []string{"closed"})
	})
}

// What a client could not read, nobody tells it of.
func TestStreamTellsOfNoHiddenResource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTalker("a"), newTalker("b")
		c := config("one", "two")
		c.Servers[0].Resources = gatewayconfig.Rules{Deny: []string{"file:///secret*"}}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": two})
		id := g.open()
		g.join(id, "one")
		g.join(id, "two")
		stream := g.listen(id)
		stream.wantNext(t, nil)
		updated := func(uri string) string {
			return `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":` + uri + `}}`
		}
		for _, hidden := range []string{`"file:///secret/a"`, `"file:\/\/\/\u0073ecret"`, `1`} {
			one.clients.Out <- "data: " + updated(hidden) + "\n\n"
		}
		one.clients.Out <- "id: 5\ndata: " + updated(`"file:///secret"`) + "\n\n"
		stream.wantNext(t, []string{"id: ~" + mark(id, "one", "5")})
		one.clients.Out <- "data: " + updated(`"file:///a"`) + "\n\n"
		stream.wantNext(t, event("", updated(`"one+file:///a"`)))
		two.clients.Out <- "data: " + updated(`"file:///secret"`) + "\n\n"
		stream.wantNext(t, event("", updated(`"two+file:///secret"`)))
	})
}
