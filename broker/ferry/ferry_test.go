package ferry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker/pool"
	"mcp-gateway/broker/requeststate"
	"mcp-gateway/broker/upstream"
)

// asker is a server whose calls ask for roots and never end by themselves.
type asker struct{ cancelled []string }

func (*asker) OpenSession(context.Context, upstream.Client) (upstream.Session, error) {
	return upstream.Session{ID: "s"}, nil
}
func (*asker) EndSession(context.Context, upstream.Session) error { return nil }
func (*asker) Listen(context.Context, upstream.Session, upstream.Listener) error {
	return upstream.ErrNoStream
}

func (*asker) Request(context.Context, upstream.Session, string, []byte) (upstream.Answer, error) {
	return upstream.Answer{}, errors.New("not expected")
}
func (*asker) Changed() {}

func (a *asker) Tell(_ context.Context, _ upstream.Session, message []byte) error {
	a.cancelled = append(a.cancelled, string(message))
	return nil
}

func (*asker) Converse(ctx context.Context, _ upstream.Session, c upstream.Conversation) error {
	if err := c.Each([]byte(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sessions := pool.New(pool.Options{
			Log: zaptest.NewLogger(t), Idle: time.Minute, Bounds: func() (int, int) { return 9, 9 },
			OpenTimeout: time.Second, EndTimeout: time.Second, CloseTimeout: time.Second,
		})
		f := New(Options{
			Log: zaptest.NewLogger(t), Pool: sessions, Sealer: requeststate.New(""), Instance: "i", Bounds: func() (int, int) { return 3, 2 },
			Send: func(context.Context, string, string, []byte) (bool, error) { return false, nil },
		})
		at := &asker{}
		begin := func() (*Caller, error) {
			return f.Begin(Call{
				Server: "one", At: at, Session: pool.Key{Capabilities: `{"roots":{}}`}, Method: "tools/call",
				Message: func(id string) []byte { return fmt.Appendf(nil, `{"id":%q}`, id) },
			}, Request{ID: []byte("7"), Capabilities: []byte(`{"roots":{}}`)})
		}
		for i, want := range []string{`"input_required"`, `"input_required"`, "too many calls wait for input"} {
			k, err := begin()
			if err != nil {
				t.Fatal(err)
			}
			if m := <-k.Out(); !m.Last || !strings.Contains(string(m.Bytes), want) {
				t.Errorf("call %d: %s, want %s", i, m.Bytes, want)
			}
			k.Leave()
		}
		synctest.Wait()
		if len(at.cancelled) != 1 || !strings.Contains(at.cancelled[0], "notifications/cancelled") {
			t.Errorf("the server was told %v", at.cancelled)
		}
		third, err := begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := begin(); !errors.Is(err, ErrTooMany) {
			t.Errorf("a fourth call: %v", err)
		}
		f.End()
		if m := <-third.Out(); !m.Last || !strings.Contains(string(m.Bytes), stopping) {
			t.Errorf("at the end: %s", m.Bytes)
		}
		if _, err := begin(); err == nil {
			t.Error("a call after the end")
		}
		sessions.Close()
	})
}
