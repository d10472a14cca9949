package bridge_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/bridge"
)

func share(o *bridge.Options) { o.Shared = true }

// begin opens the shared connection n for the first session.
func (s *server) begin(n int) string {
	s.t.Helper()
	done := s.later("POST", "", initialize)
	c := s.conn(n)
	want(s.t.(*testing.T), "initialize", c.take(),
		request("1", "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"gw","version":"1"}}`))
	c.say(`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"a":1.0}, "logging":{},"resources":{"subscribe":true}},"x":1}}`)
	want(s.t.(*testing.T), "initialized", c.take(), `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return s.joined(<-done)
}

func (s *server) joined(got answer) string {
	s.t.Helper()
	id := got.header.Get("Mcp-Session-Id")
	if got.status != 200 || len(id) != 43 ||
		got.body != `{"jsonrpc":"2.0","id":"i","result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"a":1.0},"resources":{"subscribe":true}},"x":1}}` {
		s.t.Fatalf("initialize: %+v", got)
	}
	return id
}

func TestSharedConnectionKeepsSessionsApart(t *testing.T) {
	run(t, share, func(t *testing.T, s *server) {
		a := s.begin(0)
		b := s.joined(s.ask("POST", "", initialize))
		c := s.conn(0)
		if n := s.count(); n != 1 || a == b {
			t.Fatalf("%d connections, sessions %q and %q", n, a, b)
		}
		for _, m := range []string{notification("notifications/initialized", `{}`), notification("notifications/roots/list_changed", `{}`), result("1", "{}")} {
			if got := s.ask("POST", b, m); got.status != 202 {
				t.Errorf("%+v", got)
			}
		}
		want(t, "nothing", c.take(), "")

		params := `{"_meta":{"progressToken":"t"}}`
		forA, forB := s.later("POST", a, request("1", "x", params)), s.later("POST", b, request("1", "x", params))
		want(t, "a", c.take(), request("2", "x", `{"_meta":{"progressToken":2}}`))
		want(t, "b", c.take(), request("3", "x", `{"_meta":{"progressToken":3}}`))
		// A request of one is nothing that another could cancel; their own is.
		s.ask("POST", b, notification("notifications/cancelled", `{"requestId":2}`))
		s.ask("POST", b, notification("notifications/cancelled", `{"requestId":1}`))
		want(t, "cancelled", c.take(), notification("notifications/cancelled", `{"requestId":3}`))
		// What cannot be told to be one's is nobody's.
		c.say(notification("notifications/message", `{"data":"of a"}`), notification("notifications/elicitation/complete", `{}`))
		c.say(notification("notifications/progress", `{"progressToken":3,"progress":1}`), result("3", `"b"`), result("2", `"a"`))
		want(t, "a", (<-forA).body, result("1", `"a"`))
		if got := (<-forB).body; !strings.Contains(got, `"progressToken":"t"`) || !strings.Contains(got, result("1", `"b"`)) || strings.Contains(got, "of a") {
			t.Errorf("b: %s", got)
		}
		c.say(request("7", "sampling/createMessage", `{}`))
		if got := c.take(); !strings.Contains(got, `"id":7,"error":{"code":-32601`) {
			t.Errorf("sampling: %s", got)
		}
		if got := s.ask("POST", a, request("1", "logging/setLevel", `{"level":"debug"}`)); !strings.Contains(got.body, "-32601") {
			t.Errorf("setLevel: %+v", got)
		}
	})
}

func TestSharedConnectionTellsWhoSubscribed(t *testing.T) {
	run(t, share, func(t *testing.T, s *server) {
		a := s.begin(0)
		b := s.joined(s.ask("POST", "", initialize))
		c := s.conn(0)
		streamA, streamB := s.stream("GET", a, ""), s.stream("GET", b, "")
		do := func(session, method, number string) {
			t.Helper()
			done := s.later("POST", session, request("1", method, `{"uri":"x:\u0031"}`))
			if number != "" {
				want(t, method, c.take(), request(number, method, `{"uri":"x:\u0031"}`))
				c.say(result(number, "{}"))
			}
			want(t, method, (<-done).body, result("1", "{}"))
			want(t, "nothing", c.take(), "")
		}
		changed, updated := notification("notifications/prompts/list_changed", `{}`), notification("notifications/resources/updated", `{"uri":"x:1"}`)
		do(a, "resources/subscribe", "2")
		c.say(changed, updated)
		want(t, "a", streamA.take(), []string{changed, updated})
		want(t, "b", streamB.take(), []string{changed})
		do(b, "resources/subscribe", "3")
		do(a, "resources/unsubscribe", "") // b still wants it
		c.say(updated)
		want(t, "a", streamA.take(), []string(nil))
		want(t, "b", streamB.take(), []string{updated})
		part, other := notification("notifications/resources/updated", `{"uri":"x:1/2"}`), notification("notifications/resources/updated", `{"uri":"x:12"}`)
		c.say(part, other)
		want(t, "a", streamA.take(), []string(nil))
		want(t, "b", streamB.take(), []string{part})
		// With its last reader the subscription goes; the connection stays.
		if got := s.ask("DELETE", b, ""); got.status != 204 {
			t.Errorf("%+v", got)
		}
		want(t, "unsubscribed", c.take(), request("4", "resources/unsubscribe", `{"uri":"x:1"}`))
		want(t, "b", streamB.take(), []string{"end"})
		do(a, "resources/unsubscribe", "5")
		s.ask("DELETE", a, "")
		if c.ended() {
			t.Error("the shared connection ended with its sessions")
		}
		s.joined(s.ask("POST", "", initialize))
	})
}

func TestEndOfASharedServerEndsAllSessions(t *testing.T) {
	run(t, share, func(t *testing.T, s *server) {
		a := s.begin(0)
		b := s.joined(s.ask("POST", "", initialize))
		done := s.later("POST", a, request("1", "x", `{}`))
		s.conn(0).die(errors.New("crash"))
		if got := (<-done).body; !strings.Contains(got, "server srv ended") {
			t.Errorf("in flight: %s", got)
		}
		for _, id := range []string{a, b} {
			if got := s.ask("POST", id, request("1", "x", `{}`)); got.status != 404 {
				t.Errorf("%+v", got)
			}
		}
		s.begin(1)
		if s.joined(s.ask("POST", "", initialize)); s.count() != 2 {
			t.Errorf("%d connections", s.count())
		}
	})
}

func TestSharedServerThatDoesNotShakeHands(t *testing.T) {
	run(t, share, func(t *testing.T, s *server) {
		one, two := s.later("POST", "", initialize), s.later("POST", "", initialize)
		s.conn(0).say(`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"10.1.2.3"}}`)
		for _, done := range []<-chan answer{one, two} {
			if got := <-done; got.status != 502 || strings.Contains(got.body, "10.1.2.3") {
				t.Errorf("%+v", got)
			}
		}
		hangs := s.later("POST", "", initialize)
		time.Sleep(2 * time.Minute)
		if got := <-hangs; got.status != 502 || !s.conn(1).ended() {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Minute)
		s.begin(2)
	})
}

func TestSharedSessionsAreBounded(t *testing.T) {
	run(t, share, func(t *testing.T, s *server) {
		first := s.begin(0)
		time.Sleep(time.Second)
		s.joined(s.ask("POST", "", initialize))
		s.joined(s.ask("POST", "", initialize))
		if got := s.ask("POST", "", initialize); got.status != 503 {
			t.Errorf("%+v", got)
		}
		time.Sleep(2 * time.Minute)
		s.joined(s.ask("POST", "", initialize))
		if got := s.ask("POST", first, request("1", "x", `{}`)); got.status != 404 {
			t.Errorf("the idlest session: %+v", got)
		}
	})
}

func TestTransport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		left := make(chan struct{})
		rt := bridge.Transport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/panic":
				_, _ = w.Write([]byte("half"))
				panic("x")
			case "/wait":
				defer close(left)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			case "/empty":
				w.WriteHeader(http.StatusNoContent)
				w.WriteHeader(http.StatusOK)
			default:
				w.Header().Set("X", "1")
				_, _ = io.Copy(w, r.Body)
				w.Header().Set("X", "late")
			}
		}))
		get := func(path, body string) (*http.Response, string, error) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://h"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := rt.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if path == "/wait" {
				return resp, "", resp.Body.Close()
			}
			text, err := io.ReadAll(resp.Body)
			return resp, string(text), err
		}
		if resp, body, err := get("/echo", "hello"); resp.StatusCode != 200 || body != "hello" || err != nil || resp.Header.Get("X") != "1" {
			t.Errorf("%+v %q %v", resp, body, err)
		}
		if resp, body, err := get("/empty", ""); resp.StatusCode != 204 || body != "" || err != nil {
			t.Errorf("%+v %q %v", resp, body, err)
		}
		if _, body, err := get("/panic", ""); err == nil {
			t.Errorf("a panic is an answer: %q", body)
		}
		_, _, _ = get("/wait", "")
		<-left
	})
}
