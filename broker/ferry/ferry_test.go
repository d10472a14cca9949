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
		f, end := newFerry(t, 3, 2)
		defer end()
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
	})
}

// One principal's calls leave room for those of others, also when they wait.
func TestOnePrincipalHasAShareOfTheCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, end := newFerry(t, 40, 20)
		defer end()
		at := &asker{}
		begin := func(who string) (string, error) {
			k, err := f.Begin(Call{
				Server: "one", At: at, Session: pool.Key{Principal: who, Capabilities: `{"roots":{}}`}, Method: "tools/call",
				Message: func(id string) []byte { return fmt.Appendf(nil, `{"id":%q}`, id) },
			}, Request{ID: []byte("7"), Capabilities: []byte(`{"roots":{}}`)})
			if err != nil {
				return "", err
			}
			defer k.Leave()
			return string((<-k.Out()).Bytes), nil
		}
		for i := range 7 {
			want := `"input_required"`
			if i == 5 {
				want = "too many calls wait for input"
			}
			who := "hog"
			if i == 6 {
				who = "other"
			}
			if got, err := begin(who); err != nil || !strings.Contains(got, want) {
				t.Errorf("call %d: %s %v, want %s", i, got, err, want)
			}
		}
		synctest.Wait()
		busy := make(chan error, 5)
		for range 5 { // while what they ask for comes together
			go func() { _, err := begin("hog"); busy <- err }()
		}
		synctest.Wait()
		if _, err := begin("hog"); !errors.Is(err, ErrTooMany) {
			t.Errorf("an eleventh call of one: %v", err)
		}
		if _, err := begin("other"); err != nil {
			t.Errorf("a call of another: %v", err)
		}
		for range 5 {
			if err := <-busy; err != nil {
				t.Error(err)
			}
		}
		f.End()
		if len(f.ofOne) != 0 || len(f.heldOfOne) != 0 {
			t.Errorf("counted in the end: %v, %v", f.ofOne, f.heldOfOne)
		}
	})
}

func newFerry(t *testing.T, calls, held int) (f *Ferry, end func()) {
	t.Helper()
	sessions := pool.New(pool.Options{
		Log: zaptest.NewLogger(t), Idle: time.Minute, Bounds: func() (int, int) { return 9, 9 },
		OpenTimeout: time.Second, EndTimeout: time.Second, CloseTimeout: time.Second,
	})
	return New(Options{
		Log: zaptest.NewLogger(t), Pool: sessions, Sealer: requeststate.New(""), Instance: "i", Bounds: func() (int, int) { return calls, held },
		Send: func(context.Context, string, string, []byte) (bool, error) { return false, nil },
	}), sessions.Close
}
