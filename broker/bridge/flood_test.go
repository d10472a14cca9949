package bridge_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"mcp-gateway/broker/bridge"
)

// falling is a connection whose reading panics where the server asks for it.
type falling struct{ bridge.Conn }

func (c falling) Receive(f func([]byte)) error {
	return c.Conn.Receive(func(message []byte) {
		if string(message) == "fall" {
			panic("as asked")
		}
		f(message)
	})
}

// A panic over what a server sends ends its connection.
func TestPanicEndsTheConnection(t *testing.T) {
	run(t, func(o *bridge.Options) {
		connect := o.Connect
		o.Connect = func(ctx context.Context) (bridge.Conn, error) {
			c, err := connect(ctx)
			return falling{c}, err
		}
	}, func(t *testing.T, s *server) {
		id, other := s.open(0), s.open(1)
		done := s.later("POST", id, request("5", "x", `{}`))
		s.conn(0).say("fall")
		want(t, "in flight", (<-done).body, `{"jsonrpc":"2.0","id":5,"error":{"code":-32603,"message":"server srv ended"}}`)
		if !s.conn(0).ended() || s.conn(1).ended() {
			t.Error("want its own connection ended, and no other")
		}
		want(t, "the other session", s.ask("POST", other, notification("notifications/initialized", `{}`)).status, 202)
	})
}

// busy is a connection whose server takes no answers while it is not idle.
type busy struct {
	*conn
	idle      chan struct{}
	now, most *atomic.Int32 // answers on their way
}

func (c busy) Send(ctx context.Context, message []byte) error {
	if strings.Contains(string(message), `"method"`) {
		return c.conn.Send(ctx, message)
	}
	c.most.Store(max(c.most.Load(), c.now.Add(1)))
	defer c.now.Add(-1)
	select {
	case <-c.idle:
	case <-c.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.conn.Send(ctx, message)
}

// takesNoAnswers has the servers be busy until idle is closed, and tells how many
// answers are on their way at most.
func takesNoAnswers(o *bridge.Options) (idle chan struct{}, most *atomic.Int32) {
	connect := o.Connect
	idle, most = make(chan struct{}), new(atomic.Int32)
	o.Connect = func(ctx context.Context) (bridge.Conn, error) {
		c, err := connect(ctx)
		if err != nil {
			return nil, err
		}
		return busy{c.(*conn), idle, new(atomic.Int32), most}, nil
	}
	return idle, most
}

// A server that asks without end and takes no answers costs a bounded number of
// them, and then its connection.
func TestServerThatOnlyAsks(t *testing.T) {
	for name, ask := range map[string]string{"pings": "ping", "what nobody can be asked": "sampling/createMessage"} {
		t.Run(name, func(t *testing.T) {
			var most *atomic.Int32
			run(t, func(o *bridge.Options) {
				o.Shared = true
				_, most = takesNoAnswers(o)
			}, func(t *testing.T, s *server) {
				id := s.begin(0)
				c := s.conn(0)
				for n := range 5000 {
					select {
					case c.out <- request(fmt.Sprint(n), ask, `{}`):
					case <-c.done:
					}
					synctest.Wait()
				}
				if !c.ended() {
					t.Error("the connection goes on")
				}
				if n := most.Load(); n > 8 {
					t.Errorf("%d answers on their way at one time", n)
				}
				want(t, "the session", s.ask("POST", id, request("5", "x", `{}`)).status, 404)
				s.begin(1)
			})
		})
	}
}

// A server that is busy for a while gets every answer, and what others send it
// does not wait behind them.
func TestServerThatIsBusyGetsAllAnswers(t *testing.T) {
	var idle chan struct{}
	run(t, func(o *bridge.Options) { idle, _ = takesNoAnswers(o) }, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		const asked = 1000
		for n := range asked {
			c.say(request(fmt.Sprint(n), "ping", `{}`))
		}
		done := s.later("POST", id, request("5", "x", `{}`))
		want(t, "a request", c.take(), request("2", "x", `{}`))
		c.say(result("2", `{}`))
		want(t, "its answer", (<-done).body, result("5", `{}`))
		close(idle)
		got := map[string]bool{}
		for range asked {
			got[c.take()] = true
		}
		for n := range asked {
			if !got[result(fmt.Sprint(n), `{}`)] {
				t.Errorf("no answer to %d", n)
			}
		}
		want(t, "and no more", c.take(), "")
	})
}

// Sessions that end take their subscriptions back, however many: that is no fault
// of the server that is told.
func TestManySubscriptionsThatEnd(t *testing.T) {
	run(t, share, func(t *testing.T, s *server) {
		ids := []string{s.begin(0), s.joined(<-s.later("POST", "", initialize))}
		c := s.conn(0)
		const each = 1000
		for i, id := range ids {
			for n := range each {
				done := s.later("POST", id, request("1", "resources/subscribe", fmt.Sprintf(`{"uri":"u:%d/%d"}`, i, n)))
				got := c.take()
				number, _, _ := strings.Cut(strings.TrimPrefix(got, `{"jsonrpc":"2.0","id":`), ",")
				c.say(result(number, `{}`))
				<-done
			}
		}
		for _, id := range ids {
			s.ask("DELETE", id, "")
		}
		count := 0
		for c.take() != "" {
			count++
		}
		if count != len(ids)*each || c.ended() {
			t.Errorf("%d told, ended %v", count, c.ended())
		}
	})
}
