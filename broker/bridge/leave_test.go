package bridge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// cancelled is the notification that gives up a request.
func cancelled(id string) string {
	return notification("notifications/cancelled", fmt.Sprintf(`{"requestId":%s}`, id))
}

// call begins a request that its client can leave.
func (s *server) call(session, id string) context.CancelFunc {
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		if resp, err := s.do(ctx, "POST", session, request(id, "x", `{}`)); err == nil {
			_ = resp.Body.Close()
		}
	}()
	synctest.Wait()
	return leave
}

// The server need not answer what was cancelled (2025-11-25,
// basic/utilities/cancellation): that must not use the session up.
func TestCancelledRequestsAreForgotten(t *testing.T) {
	for name, end := range map[string]func(s *server, session, id string, leave func()){
		"then left": func(s *server, session, id string, leave func()) {
			s.ask("POST", session, cancelled(id))
			leave()
		},
		"after it was left": func(s *server, session, id string, leave func()) {
			leave()
			synctest.Wait()
			s.ask("POST", session, cancelled(id))
		},
		"and waited for": func(s *server, session, id string, _ func()) {
			s.ask("POST", session, cancelled(id))
			time.Sleep(6 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, s *server) {
				id := s.open(0)
				c := s.conn(0)
				keep := s.later("POST", id, request(`"keep"`, "x", `{}`))
				c.take()
				for n := range 1100 {
					leave := s.call(id, "7") // its client may use an id again
					c.take()
					end(s, id, "7", leave)
					want(t, "cancelled", c.take(), cancelled(fmt.Sprint(n+3)))
				}
				// Once is enough, and an answer that comes late is nobody's.
				if got := s.ask("POST", id, cancelled("7")); got.status != 202 || c.take() != "" {
					t.Errorf("cancelled again: %+v", got)
				}
				c.say(result("3", "1"), result("2", `"kept"`))
				want(t, "another request", (<-keep).body, result(`"keep"`, `"kept"`))
				done := s.later("POST", id, request("8", "x", `{}`))
				c.take()
				c.say(result("1103", "1"))
				want(t, "after all", (<-done).body, result("8", "1"))
			})
		})
	}
}

// An answer that was on its way when its request was cancelled arrives; else the
// stream ends, without one.
func TestCancelledRequestWithClientThatStays(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		one := s.later("POST", id, request("1", "x", `{}`))
		two := s.later("POST", id, request("2", "x", `{}`))
		s.ask("POST", id, cancelled("1"))
		s.ask("POST", id, cancelled("2"))
		c.say(result("2", `"crossed"`))
		want(t, "crossed", (<-one).body, result("1", `"crossed"`))
		begun := time.Now()
		got := <-two
		want(t, "after", time.Since(begun), 5*time.Second)
		if got.status != 200 || got.body != "" || got.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("never answered: %+v", got)
		}
	})
}

// What is never answered is forgotten for others once its client has left, the
// oldest first.
func TestRequestsThatWereLeftMakeRoom(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		for n := range 1100 {
			s.call(id, fmt.Sprint(n))()
			synctest.Wait()
			want(t, "sent", c.take(), request(fmt.Sprint(n+2), "x", `{}`))
		}
		s.ask("POST", id, cancelled("75"))
		want(t, "cancelling what is forgotten", c.take(), "")
		s.ask("POST", id, cancelled("76"))
		want(t, "cancelling the oldest", c.take(), cancelled("78"))
	})
}

// A request of the server that its POST did not carry any more goes to another
// stream, or back.
func TestRequestsOfTheServerOutliveTheirStream(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		ask := func(n int) string { return request(fmt.Sprintf(`"s%d"`, n), "sampling/createMessage", `{}`) }
		// blocked begins a POST whose client does not read, and says one thing
		// that its stream is stuck with, and another one that waits behind it.
		blocked := func(number string, n int) context.CancelFunc {
			ctx, leave := context.WithCancel(context.Background())
			go func() {
				_, _ = s.do(ctx, "POST", id, request(`"r"`, "tools/call", `{}`))
			}()
			want(t, "call", c.take(), request(number, "tools/call", `{}`))
			c.say(ask(n))
			c.say(ask(n+1), notification("notifications/progress", `{"progressToken":1,"progress":1}`))
			return leave
		}
		blocked("2", 1)()
		get := s.stream("GET", id, "")
		want(t, "on the GET stream", get.take(), []string{ask(1), ask(2)})

		leave := blocked("3", 3)
		c.say(result("3", "1")) // does not make them answered
		leave()
		want(t, "behind an answer", get.take(), []string{ask(3), ask(4)})

		leave = blocked("4", 5)
		get.leave()
		synctest.Wait()
		for range 1024 {
			c.say(notification("notifications/tools/list_changed", `{}`))
		}
		leave()
		for n := range 2 {
			got := c.take()
			if !strings.Contains(got, `"error":{"code":-32603`) || !strings.Contains(got, `"id":"s`) {
				t.Errorf("no room, %d: %q", n, got)
			}
		}
	})
}

// What the GET stream could not carry waits for the next one.
func TestStreamThatBreaksLosesNothing(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		ctx, leave := context.WithCancel(context.Background())
		resp, err := s.do(ctx, "GET", id, "")
		if err != nil {
			t.Fatal(err)
		}
		one, two := request("1", "roots/list", `{}`), request("2", "roots/list", `{}`)
		c.say(one)
		c.say(two)
		leave()
		synctest.Wait()
		_ = resp.Body.Close()
		want(t, "on the next stream", s.stream("GET", id, "").take(), []string{one, two})
	})
}
