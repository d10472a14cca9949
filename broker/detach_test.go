package broker

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
)

// getStream begins an event stream on a connection of its own, as bytes.
func (g *gateway) getStream(id, proto string) (net.Conn, *http.Response) {
	g.t.Helper()
	conn, err := g.public.Transport.(*http.Transport).DialContext(context.Background(), "", "")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	go func() {
		_, _ = io.WriteString(conn, "GET /mcp "+proto+"\r\nHost: gateway\r\nAccept: text/event-stream\r\nMcp-Session-Id: "+id+"\r\n\r\n")
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return conn, resp
}

// A stream whose session ends is complete: its client sees the last chunk, and
// the connection, which is not net/http's any more, ends.
func TestStreamOfAnEndedSessionIsComplete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("a")}, map[string]http.Handler{"a": raw("x")})
		synctest.Wait()
		id := g.open()
		_, resp := g.getStream(id, "HTTP/1.1")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Date") == "" || !resp.Close {
			t.Errorf("got %s %v", resp.Status, resp.Header)
		}
		time.Sleep(keepAliveEvery + time.Second)
		if got := g.request("DELETE", "", map[string]string{"Mcp-Session-Id": id}); got.status != 204 {
			t.Fatalf("DELETE: %d", got.status)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != ": keep-alive\n\n" {
			t.Errorf("stream: %q, %v", body, err)
		}
	})
}

// Clients without chunks, and writers that are no connection, are served as well.
func TestStreamThatIsNotDetached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("a")}, map[string]http.Handler{"a": raw("x")})
		synctest.Wait()
		id := g.open()
		conn, resp := g.getStream(id, "HTTP/1.0")
		if resp.StatusCode != 200 || len(resp.TransferEncoding) > 0 {
			t.Errorf("got %s %v", resp.Status, resp.Header)
		}
		first := g.broker.hub.count()
		_ = conn.Close()
		synctest.Wait()
		if last := g.broker.hub.count(); first != 1 || last != 0 {
			t.Errorf("%d streams, and %d when the client has left", first, last)
		}

		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/mcp", nil)
		r.Header.Set("Mcp-Session-Id", id)
		w := httptest.NewRecorder()
		ended := make(chan struct{})
		go func() { defer close(ended); g.broker.Public().ServeHTTP(w, r) }()
		time.Sleep(keepAliveEvery + time.Second)
		cancel()
		<-ended
		if w.Code != 200 || !strings.Contains(w.Body.String(), "keep-alive") {
			t.Errorf("got %d %q", w.Code, w.Body)
		}
	})
}

// A client that does not read holds up the end of the broker no longer than a
// moment, and what the client may say meanwhile is nobody's.
func TestBrokerEndsDespiteADeadClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("a")}, map[string]http.Handler{"a": raw("x")})
		synctest.Wait()
		conn, _ := g.getStream(g.open(), "HTTP/1.1")
		if _, err := io.WriteString(conn, "and another thing"); err != nil {
			t.Error(err)
		}
		time.Sleep(keepAliveEvery + time.Second) // the comment waits for a reader
		began := time.Now()
		g.stop()
		if took := time.Since(began); took > 3*leaveWithin {
			t.Errorf("the end took %v", took)
		}
	})
}

// panicking is a store that panics when a session is looked up.
type panicking struct {
	session.Store
	armed atomic.Bool
}

func (p *panicking) Get(ctx context.Context, id session.ID) (session.Session, error) {
	if p.armed.Load() {
		panic("as the test wants it")
	}
	return p.Store.Get(ctx, id)
}

// A panic in a stream, which has no HTTP server to recover it, cuts that one off.
func TestPanicOfAStreamCutsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := memory.New(memory.Options{Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		bad := &panicking{Store: store}
		g := newGateway(t, setup{config: config("a"), store: bad}, map[string]http.Handler{"a": raw("x")})
		synctest.Wait()
		_, resp := g.getStream(g.open(), "HTTP/1.1")
		bad.armed.Store(true)
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read: %v, want a stream that is cut", err)
		}
		synctest.Wait()
		if n := g.broker.hub.count(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}
