package broker

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
)

// postbox takes mail of the kind "test".
type postbox struct {
	*mail
	mu  sync.Mutex
	got []string
}

func newPostbox(ctx context.Context, store session.Store) *postbox {
	p := &postbox{mail: newMail(zap.NewNop(), store)}
	p.handle("test", func(payload []byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got = append(p.got, string(payload))
	})
	go p.run(ctx)
	return p
}

func (p *postbox) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.got) != len(want) {
		t.Fatalf("got %q, want %q", p.got, want)
	}
	for _, message := range want { // of two mailboxes in any order
		if !slices.Contains(p.got, message) {
			t.Errorf("got %q, want %q", p.got, want)
		}
	}
}

func TestMail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := memory.New(memory.Options{Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		a, b := newPostbox(t.Context(), store), newPostbox(t.Context(), store)
		synctest.Wait()
		send := func(to, kind, payload string, want bool) {
			t.Helper()
			if got, err := a.send(t.Context(), to, kind, []byte(payload)); err != nil || got != want {
				t.Errorf("send: %v, %v, want %v", got, err, want)
			}
		}
		send(a.instance, "test", "to myself", true)
		send(b.instance, "test", "to\nb", true)
		send(everybody, "test", "to all", true)
		send(b.instance, "unknown", "to nobody there", true)
		send("nobody", "test", "lost", false)
		a.want(t, "to myself", "to all")
		b.want(t, "to\nb", "to all")

		for _, mailbox := range []string{everybody, a.instance + "A", "abcdefghijkl", "A.B CDEFGHIJK"} {
			if isInstance(mailbox) {
				t.Errorf("%q is a replica's", mailbox)
			}
		}
		if !isInstance(a.instance) {
			t.Errorf("%q is no replica's", a.instance)
		}

		// Only what leaves the process is bounded.
		large := bytes.Repeat([]byte("x"), session.LargestMessage+1)
		send(a.instance, "test", string(large), true)
		if _, err := a.send(t.Context(), b.instance, "test", large); err == nil {
			t.Error("too large a message is sent")
		}
	})
}
