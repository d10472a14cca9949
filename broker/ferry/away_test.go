package ferry

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker/pool"
	"mcp-gateway/broker/requeststate"
	"mcp-gateway/broker/upstream"
)

// worker is a server whose calls ask for roots, tell a lot when they have got them,
// and never end by themselves.
type worker struct {
	asker
	mu   sync.Mutex
	told []string
	news chan struct{}
}

func (w *worker) Tell(_ context.Context, _ upstream.Session, message []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, string(message))
	select {
	case w.news <- struct{}{}:
	default:
	}
	return nil
}

func (w *worker) cancelled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.told) > 0 && strings.Contains(w.told[len(w.told)-1], "notifications/cancelled")
}

func (w *worker) Converse(ctx context.Context, _ upstream.Session, c upstream.Conversation) error {
	if err := c.Each([]byte(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)); err != nil {
		return err
	}
	<-w.news
	for range 3 {
		_ = c.Each([]byte(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"x"}}`))
		time.Sleep(time.Second)
	}
	<-ctx.Done()
	return ctx.Err()
}

// pair is two replicas; lose decides which message between them is lost.
type pair struct {
	holder, other *Ferry
	at            *worker
	sealer        *requeststate.Sealer
	lose          func(kind string) (delivered bool, err error, lost bool)
}

func newPair(t *testing.T) *pair {
	t.Helper()
	sessions := pool.New(pool.Options{
		Log: zaptest.NewLogger(t), Idle: time.Minute, Bounds: func() (int, int) { return 9, 9 },
		OpenTimeout: time.Second, EndTimeout: time.Second, CloseTimeout: time.Second,
	})
	p := &pair{at: &worker{news: make(chan struct{}, 9)}, sealer: requeststate.New("x")}
	p.lose = func(string) (bool, error, bool) { return true, nil, false }
	replicas := map[string]*Ferry{}
	send := func(_ context.Context, to, kind string, payload []byte) (bool, error) {
		delivered, err, lost := p.lose(kind)
		if lost {
			return delivered, err
		}
		switch kind {
		case KindContinue:
			replicas[to].ContinueFor(payload)
		case KindSaid:
			replicas[to].Said(payload)
		case KindLeft:
			replicas[to].LeftFor(payload)
		}
		return delivered, err
	}
	begin := func(name string) *Ferry {
		f := New(Options{Log: zaptest.NewLogger(t), Pool: sessions, Sealer: p.sealer, Instance: name, Bounds: func() (int, int) { return 9, 9 }, Send: send})
		replicas[name] = f
		return f
	}
	p.holder, p.other = begin("holder"), begin("other")
	t.Cleanup(func() { p.holder.End(); p.other.End(); sessions.Close() })
	return p
}

// carryOn begins a call at one replica and brings the other its input.
func (p *pair) carryOn(t *testing.T) *Caller {
	t.Helper()
	k, err := p.holder.Begin(Call{
		Server: "one", At: p.at, Session: pool.Key{Capabilities: `{"roots":{}}`}, Method: "tools/call",
		Message: func(id string) []byte { return fmt.Appendf(nil, `{"id":%q}`, id) },
	}, Request{ID: []byte("7"), Level: "error", Capabilities: []byte(`{"roots":{}}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string((<-k.Out()).Bytes), `"requestState":"`)
	k.Leave()
	text, _, _ = strings.Cut(text, `"`)
	state, err := p.sealer.Open(text, requeststate.Binding{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return p.other.Continue(Retry{
		Request: Request{ID: []byte("8"), Level: "error"}, State: state, Responses: []byte(`{"input-1":{"roots":[]}}`),
	})
}

// Whoever is told that the call is lost calls again: what goes on must not.
func TestCallEndsWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(kind string, n int) (bool, error, bool){
		"one of them": func(kind string, n int) (bool, error, bool) { return true, nil, kind == KindSaid && n == 1 },
		"all":         func(kind string, _ int) (bool, error, bool) { return true, nil, kind == KindSaid },
		"perhaps the question": func(kind string, _ int) (bool, error, bool) {
			if kind == KindContinue {
				return false, context.DeadlineExceeded, false
			}
			return true, nil, false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				n := map[string]int{}
				var mu sync.Mutex
				p.lose = func(kind string) (bool, error, bool) {
					mu.Lock()
					defer mu.Unlock()
					n[kind]++
					return lose(kind, n[kind])
				}
				k := p.carryOn(t)
				for {
					m := <-k.Out()
					if m.Last {
						if !strings.Contains(string(m.Bytes), `"code":-32603`) {
							t.Errorf("%s", m.Bytes)
						}
						break
					}
				}
				k.Leave()
				time.Sleep(time.Minute)
				synctest.Wait()
				if !p.at.cancelled() {
					t.Errorf("the call goes on, the server was told %v", p.at.told)
				}
			})
		})
	}
}
