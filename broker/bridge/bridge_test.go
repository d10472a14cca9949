package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/bridge"
)

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Ids and tokens are the bridge's; all else is the sender's, on one line.
func TestMessagesAreTheSendersBytes(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id, c := s.open(0), (*conn)(nil)
		c = s.conn(0)
		done := s.later("POST", id, "{\"params\" : {\"x\":1e400,\r\n\"_meta\":{\"progressToken\":\"\\u0074\"}} ,\n\t\"id\":\"\\u0061\",\"method\":\"tools\\/call\",\"jsonrpc\":\"2.0\"}\n")
		want(t, "request", c.take(), "{\"params\" : {\"x\":1e400,  \"_meta\":{\"progressToken\":2}} , \t\"id\":2,\"method\":\"tools\\/call\",\"jsonrpc\":\"2.0\"} ")
		c.say(`{"result" : {"n":9007199254740993.0,"id":2}, "id":2 ,"jsonrpc":"2.0"}`)
		got := <-done
		want(t, "answer", got.body, `{"result" : {"n":9007199254740993.0,"id":2}, "id":"\u0061" ,"jsonrpc":"2.0"}`)
		want(t, "content type", got.header.Get("Content-Type"), "application/json")

		for _, m := range []string{
			notification("notifications/initialized", `{}`), notification("notifications/roots/list_changed", `{"_meta":{"progressToken":"kept"}}`),
			notification("notifications/progress", `{"progressToken":7,"progress":1}`), result(`"of the server"`, `{"roots":[]}`),
		} {
			if got := s.ask("POST", id, m); got.status != 202 || got.body != "" {
				t.Errorf("%s: %+v", m, got)
			}
			want(t, "message", c.take(), m)
		}
	})
}

func TestEqualIdsOfOneSessionDoNotMeet(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		params := `{"_meta":{"progressToken":1}}`
		one := s.later("POST", id, request("1", "a", params))
		two := s.later("POST", id, request("1", "b", params))
		want(t, "first", c.take(), request("2", "a", `{"_meta":{"progressToken":2}}`))
		want(t, "second", c.take(), request("3", "b", `{"_meta":{"progressToken":3}}`))
		c.say(result("3", `"b"`))
		want(t, "second answer", (<-two).body, result("1", `"b"`))
		c.say(notification("notifications/progress", `{"progress":1,"progressToken":3}`)) // too late
		c.say(result("2", `"a"`), result("2", `"again"`), result(`"2"`, `"other type"`))
		want(t, "first answer", (<-one).body, result("1", `"a"`))
	})
}

func TestProgressMakesAStream(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		done := s.later("POST", id, request("5", "tools/call", `{"_meta":{"progressToken":"tok"}}`))
		other := s.later("POST", id, request("6", "tools/call", `{}`))
		c.take()
		c.say(notification("notifications/progress", `{"progressToken":2,"progress":1}`))
		c.say(notification("notifications/progress", `{"progressToken":3,"progress":1}`)) // not asked for
		c.say(notification("notifications/message", `{"data":"x"}`))                      // oldest request
		c.say(result("2", `{}`), result("3", `{}`))
		got := <-done
		want(t, "content type", got.header.Get("Content-Type"), "text/event-stream")
		want(t, "events", got.body, "event: message\ndata: "+notification("notifications/progress", `{"progressToken":"tok","progress":1}`)+
			"\n\nevent: message\ndata: "+notification("notifications/message", `{"data":"x"}`)+"\n\nevent: message\ndata: "+result("5", `{}`)+"\n\n")
		want(t, "other", (<-other).body, result("6", `{}`))
	})
}

func TestServersMessagesGoToOneStream(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		early, changed := notification("notifications/message", `{"data":"early"}`), notification("notifications/tools/list_changed", `{}`)
		c.say(early)
		get := s.stream("GET", id, "")
		want(t, "GET", get.take(), []string{early})
		if got := s.ask("GET", id, ""); got.status != 409 {
			t.Errorf("a second stream: %+v", got)
		}
		sampling := request(`"s1"`, "sampling/createMessage", `{}`)
		c.say(sampling, `[`+changed+`,`+early+`]`)
		want(t, "GET", get.take(), []string{sampling, changed, early})

		done := s.later("POST", id, request("5", "tools/call", `{}`))
		updated := notification("notifications/resources/updated", `{"uri":"a:b"}`)
		c.say(sampling, changed, updated, early, result("2", `{}`))
		got := (<-done).body
		for _, m := range []string{sampling, early, result("5", `{}`)} {
			if !strings.Contains(got, "data: "+m+"\n\n") {
				t.Errorf("POST without %s: %s", m, got)
			}
		}
		want(t, "GET", get.take(), []string{changed, updated})

		// What comes while nobody listens waits, within bounds.
		get.leave()
		synctest.Wait()
		for range 1100 {
			c.say(early)
		}
		for c.take() != "" {
		}
		c.say(request("9", "roots/list", `{}`))
		if got := c.take(); !strings.Contains(got, `"id":9,"error":{"code":-32603`) {
			t.Errorf("a request that finds no room is answered with %q", got)
		}
		want(t, "kept", len(s.stream("GET", id, "").take()), 1024)
	})
}

func TestPingIsAnsweredAndGarbageIgnored(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		c.say(`{"jsonrpc":"2.0","id":"p\u0031","method":"ping"}`)
		want(t, "pong", c.take(), `{"jsonrpc":"2.0","id":"p\u0031","result":{}}`)
		done := s.later("POST", id, request("5", "x", `{}`))
		c.take()
		c.say("Server is up!", "{}", "[1,[],\"a\"]", "", "null", `{"jsonrpc":"2.0","id":77,"result":1}`, strings.Repeat("[", 200))
		c.say(`{"jsonrpc":"2.0","id":2,"result":1,"error":{}}`)
		if got := (<-done).body; !strings.Contains(got, `"id":5,"error":{"code":-32603`) {
			t.Errorf("malformed answer: %s", got)
		}
	})
}

func TestCancelNamesTheBridgesNumber(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		done := s.later("POST", id, request(`"r"`, "x", `{}`))
		c.take()
		if got := s.ask("POST", id, notification("notifications/cancelled", `{"requestId":"other","reason":"r"}`)); got.status != 202 {
			t.Errorf("%+v", got)
		}
		if got := s.ask("POST", id, notification("notifications/cancelled", `{"reason":"r", "requestId":"r"}`)); got.status != 202 {
			t.Errorf("%+v", got)
		}
		want(t, "cancelled", c.take(), notification("notifications/cancelled", `{"reason":"r", "requestId":2}`))
		want(t, "nothing else", c.take(), "")
		c.say(result("2", "1"))
		<-done
	})
}

func TestEndOfTheServer(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id, other := s.open(0), s.open(1)
		c := s.conn(0)
		get := s.stream("GET", id, "")
		done := s.later("POST", id, request("5", "x", `{}`))
		c.die(errors.New("killed"))
		got := <-done
		want(t, "in flight", got.body, `{"jsonrpc":"2.0","id":5,"error":{"code":-32603,"message":"server srv ended"}}`)
		want(t, "GET", get.take(), []string{"end"})
		for _, verb := range []string{"POST", "GET", "DELETE"} {
			if got := s.ask(verb, id, request("5", "x", `{}`)); got.status != 404 {
				t.Errorf("%s after the end: %+v", verb, got)
			}
		}
		if s.conn(1).ended() {
			t.Error("another session's connection ended, too")
		}
		if got := s.ask("POST", other, notification("notifications/initialized", `{}`)); got.status != 202 {
			t.Errorf("the other session: %+v", got)
		}
		s.open(2)
	})
}

func TestServerThatCannotLiveIsNotStartedAllTheTime(t *testing.T) {
	run(t, func(o *bridge.Options) { o.MaxSessions = func() int { return 100 } }, func(t *testing.T, s *server) {
		start := time.Now()
		for n := 0; time.Since(start) < 5*time.Minute; {
			done := s.later("POST", "", initialize)
			if s.count() > n {
				s.conn(n).die(errors.New("crash"))
				n++
				if got := <-done; got.status != 200 || !strings.Contains(got.body, "server srv ended") {
					t.Fatalf("%+v", got)
				}
				continue
			}
			if got := <-done; got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "server srv ended too often") {
				t.Fatalf("%+v", got)
			}
			time.Sleep(100 * time.Millisecond)
		}
		// 0, 0.5, 1, 2, 4, 8, 16 and then 30 seconds apart.
		if n := s.count(); n < 14 || n > 18 {
			t.Errorf("started %d times in five minutes", n)
		}
		// One that lives starts the count anew.
		time.Sleep(30 * time.Second)
		n := s.count()
		s.open(n)
		time.Sleep(time.Minute)
		s.conn(n).die(errors.New("crash"))
		s.open(n + 1)
	})
}

func TestManyThatEndTogetherCountOnce(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		for n := range 3 {
			s.open(n)
		}
		time.Sleep(time.Second)
		for n := range 3 {
			s.conn(n).die(errors.New("out of memory"))
		}
		synctest.Wait()
		s.open(3)
	})
}

func TestDeleteEndsTheConnectionInOrder(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		done := s.later("POST", id, request("5", "x", `{}`))
		if got := s.ask("DELETE", id, ""); got.status != 204 {
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		if !c.ended() || c.closed < time.Second {
			t.Errorf("ended %v, with patience %v", c.ended(), c.closed)
		}
		if got := (<-done).body; !strings.Contains(got, "-32603") {
			t.Errorf("in flight: %s", got)
		}
		if got := s.ask("POST", id, request("5", "x", `{}`)); got.status != 404 {
			t.Errorf("after the end: %+v", got)
		}
		for n := range 10 { // nobody's failure
			if got := s.ask("DELETE", s.open(n+1), ""); got.status != 204 {
				t.Errorf("%+v", got)
			}
		}
	})
}

func TestIdleSessionMakesRoom(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		var ids []string
		for n := range 3 {
			ids = append(ids, s.open(n))
		}
		refused := func(why string) {
			t.Helper()
			if got := s.ask("POST", "", initialize); got.status != 503 || !strings.Contains(got.body, "too many sessions") {
				t.Errorf("%s: %+v", why, got)
			}
		}
		refused("all are new")
		done := s.later("POST", ids[1], request("5", "x", `{}`))
		time.Sleep(30 * time.Second)
		s.ask("POST", ids[0], notification("n", `{}`))
		s.ask("POST", ids[2], notification("n", `{}`))
		time.Sleep(29 * time.Second)
		s.ask("POST", ids[0], notification("n", `{}`))
		get := s.stream("GET", ids[2], "") // no use: the broker listens for as long as its client
		time.Sleep(30 * time.Second)
		refused("one waits, two were used")
		time.Sleep(2 * time.Second)
		s.open(3)
		want(t, "stream of the session that made room", get.take(), []string{"end"})
		if !s.conn(2).ended() || s.conn(0).ended() || s.conn(1).ended() {
			t.Error("the wrong session made room")
		}
		if got := s.ask("POST", ids[2], request("5", "x", `{}`)); got.status != 404 {
			t.Errorf("the session that made room: %+v", got)
		}
		s.conn(1).say(result("2", "1"))
		<-done
	})
}

// A client that leaves cancels nothing (2025-11-25, basic/transports).
func TestClientThatLeaves(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		go func() {
			<-c.in // progress of a request that the server has not yet would be nobody's
			c.out <- notification("notifications/progress", `{"progressToken":2,"progress":1}`)
		}()
		st := s.stream("POST", id, request(`"r"`, "x", `{"_meta":{"progressToken":"t"}}`))
		want(t, "progress", len(st.take()), 1)
		st.leave()
		c.say(notification("notifications/progress", `{"progressToken":2,"progress":2}`))
		want(t, "nothing", c.take(), "")
		s.ask("POST", id, notification("notifications/cancelled", `{"requestId":"r"}`))
		want(t, "cancelled", c.take(), notification("notifications/cancelled", `{"requestId":2}`))
		c.say(result("2", "1"))
		want(t, "end", st.take(), []string{"end"})
	})
}

func TestRequestsThatAreNeverAnsweredAreBounded(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		for n := range 1024 {
			s.later("POST", id, request(fmt.Sprint(n), "x", `{}`))
		}
		if got := s.ask("POST", id, request("5", "x", `{}`)); !strings.Contains(got.body, "too many requests") {
			t.Errorf("%+v", got)
		}
	})
}

func TestInitializeThatFails(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		done := s.later("POST", "", initialize)
		s.conn(0).say(`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}`)
		got := <-done
		want(t, "answer", got.body, `{"jsonrpc":"2.0","id":"i","error":{"code":-32602,"message":"no"}}`)
		if synctest.Wait(); got.header.Get("Mcp-Session-Id") != "" || !s.conn(0).ended() {
			t.Errorf("a session is left: %v", got.header)
		}
		s.refuse = errors.New("no such file at 10.1.2.3")
		if got := s.ask("POST", "", initialize); got.status != 502 || got.body != `{"jsonrpc":"2.0","id":"i","error":{"code":-32603,"message":"server srv cannot be started"}}` {
			t.Errorf("%+v", got)
		}
		s.bridge.Close(0)
		if got := s.ask("POST", "", initialize); got.status != 502 && got.status != 503 {
			t.Errorf("after the end: %+v", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		ping := request("1", "x", `{}`)
		for name, r := range map[string]struct {
			status int
			got    answer
		}{
			"no session":       {400, s.ask("POST", "", ping)},
			"unknown session":  {404, s.ask("POST", "x"+id, ping)},
			"second session":   {400, s.ask("POST", id, initialize)},
			"another host":     {421, s.ask("POST", id, ping, "Host: localhost")},
			"revision":         {400, s.ask("POST", id, ping, "Mcp-Protocol-Version: 2026-07-28")},
			"content type":     {415, s.ask("POST", id, ping, "Content-Type: text/plain")},
			"accept":           {406, s.ask("POST", id, ping, "Accept: application/json")},
			"accept of GET":    {406, s.ask("GET", id, "", "Accept: application/json")},
			"GET, no session":  {400, s.ask("GET", "", "")},
			"verb":             {405, s.ask("PUT", id, ping)},
			"no JSON":          {400, s.ask("POST", id, "{")},
			"batch":            {400, s.ask("POST", id, "["+ping+"]")},
			"too large":        {413, s.ask("POST", id, request("1", strings.Repeat("x", 64<<10), `{}`))},
			"unknown, DELETE":  {404, s.ask("DELETE", "nope", "")},
			"old revision, ok": {202, s.ask("POST", id, notification("n", "{}"), "Mcp-Protocol-Version: 2024-11-05")},
		} {
			if r.got.status != r.status {
				t.Errorf("%s: %+v, want %d", name, r.got, r.status)
			}
		}
		want(t, "sent", s.conn(0).take(), notification("n", "{}"))
		want(t, "sent", s.conn(0).take(), "")
	})
}

// Who gave up before the answer cannot end the session: it does not know its id.
func TestSessionThatNobodyHeardOfEnds(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		ctx, leave := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			_, err := s.do(ctx, "POST", "", initialize)
			done <- err
		}()
		c := s.conn(0)
		leave()
		if err := <-done; err == nil {
			t.Error("an answer")
		}
		if synctest.Wait(); !c.ended() {
			t.Error("the connection is left")
		}
		s.open(1) // nobody's failure
	})
}
