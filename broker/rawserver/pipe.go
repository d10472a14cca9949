package rawserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
)

// pipes is a network without sockets, so that the whole exchange can live in a
// synctest bubble, where only its clock moves.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	open  sync.WaitGroup // connections
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		p.open.Add(1)
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Serve runs a handler on a network without sockets until the test ends or stop
// is called, which waits for its connections to end, but for those that the
// handler has taken. The transport reaches it
// under any address; after stop it reports refused connections.
func Serve(t testing.TB, handler http.Handler) (transport *http.Transport, stop func()) {
	t.Helper()
	p := newPipes()
	server := &http.Server{Handler: handler, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			p.open.Done()
		}
	}}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(p) }()
	stop = func() {
		_ = p.Close()
		_ = server.Close()
		<-ended
		p.open.Wait()
	}
	transport = &http.Transport{DialContext: p.dial, DisableCompression: true}
	t.Cleanup(func() { stop(); transport.CloseIdleConnections() })
	return transport, stop
}
