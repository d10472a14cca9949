package redis_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
)

// TestLostAnswer cuts the connection after Redis has done a step and before its
// answer arrives. The client sends the step again, and it must come out right.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	line := cutLine(t, miniredis.RunT(t).Addr())
	st := open(t, redis.Options{Timeouts: usual, URL: "redis://" + line.addr, Timeout: patient})
	ctx := t.Context()
	create(t, st) // connects and loads the script

	s := session.Session{ID: session.NewID(), Version: "2025-11-25"}
	line.cut(t, "Create", func() error { return st.Create(ctx, s, session.Caps{}) })

	warm := create(t, st)
	commit(t, st, warm, "weather", session.Backend{ID: "b"})
	var c session.Claim
	line.cut(t, "Claim", func() (err error) { c, err = st.Claim(ctx, s.ID, "weather", time.Hour); return })
	if c.State != session.Claimed {
		t.Fatalf("Claim: got %+v, want Claimed: the claim that it met is its own", c)
	}
	var won bool
	line.cut(t, "Commit", func() (err error) {
		won, err = st.Commit(ctx, s.ID, "weather", c.Token, session.Backend{ID: "b"})
		return
	})
	if !won {
		t.Error("Commit: lost to itself")
	}
	if c, err := st.Claim(ctx, s.ID, "weather", time.Hour); err != nil || c.Backend.ID != "b" {
		t.Errorf("Claim: got %+v, %v, want backend session b", c, err)
	}
	var held []session.Held
	line.cut(t, "Delete", func() (err error) { held, err = st.Delete(ctx, s.ID); return })
	if want := []session.Held{{Server: "weather", Backend: session.Backend{ID: "b"}}}; !slices.Equal(held, want) {
		t.Errorf("Delete: got %+v, want %+v: somebody has to end it", held, want)
	}
	if _, err := st.Delete(ctx, s.ID); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Delete: got %v for a session that is gone, want ErrNotFound", err)
	}
}

// line is a TCP relay that can lose an answer.
type line struct {
	addr string
	lose atomic.Bool
	lost atomic.Int32
}

// cut makes a call whose first answer is lost, and wants it to succeed.
func (l *line) cut(t *testing.T, name string, call func() error) {
	t.Helper()
	before := l.lost.Load()
	l.lose.Store(true)
	if err := call(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if n := l.lost.Load() - before; n != 1 {
		t.Errorf("%s: %d answers were lost, want 1", name, n)
	}
}

// cutLine relays connections to target until the test ends.
func cutLine(t *testing.T, target string) *line {
	t.Helper()
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{addr: in.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // after the store has closed its connections
	t.Cleanup(func() { in.Close() })
	wg.Go(func() {
		for {
			client, err := in.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			wg.Go(func() {
				defer server.Close()
				_, _ = io.Copy(server, client) // ends with either side
			})
			wg.Go(func() {
				defer client.Close()
				l.answers(client, server)
			})
		}
	})
	return l
}

func (l *line) answers(client io.Writer, server io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 {
			if l.lose.CompareAndSwap(true, false) {
				l.lost.Add(1)
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
