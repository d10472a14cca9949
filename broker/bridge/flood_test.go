package bridge_test

import (
	"context"
	"testing"

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
