package outbound

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// lastingBuffer is what is read at once of an answer's header, and of its
	// chunks' headers.
	lastingBuffer = 256
	// largestHead bounds the header of an answer in bytes.
	largestHead = 64 << 10
	// mostInformal bounds the answers with a status below 200 before the one.
	mostInformal = 8
)

// lasting is a transport for answers that last and mostly say nothing: event
// streams. Each has a connection of its own and costs no goroutine but the
// caller's, where http.Transport has two, with buffers of 4 KiB each: of ten
// thousand sessions that listen to three servers these would be the largest part.
type lasting struct {
	dialer dialer
	// rest makes the requests with a body, and those over TLS, where a connection
	// of HTTP/2 serves many streams.
	rest http.RoundTripper
}

// NewLasting returns a transport for event streams of one peer; rest makes the
// requests that it does not know to make. Connect bounds the TCP handshake.
func NewLasting(connect time.Duration, rest http.RoundTripper) http.RoundTripper {
	return &lasting{dialer: newDialer(connect), rest: rest}
}

// RoundTrip implements http.RoundTripper.
func (l *lasting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "http" || r.Body != nil && r.Body != http.NoBody || !ascii(r.URL.Host) {
		return l.rest.RoundTrip(r)
	}
	ctx, address := r.Context(), r.URL.Host
	if r.URL.Port() == "" {
		address = net.JoinHostPort(r.URL.Hostname(), "80")
	}
	conn, err := l.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	b := &lastingBody{ctx: ctx, conn: conn}
	b.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	resp, err := b.exchange(r)
	if err != nil {
		_ = b.Close()
		return nil, b.cause(err)
	}
	return resp, nil
}

// lastingBody is the connection of an answer, and the answer's body.
type lastingBody struct {
	ctx  context.Context
	conn net.Conn
	stop func() bool
	head int64 // what the header may still have in bytes; below 0 for any
	in   *bufio.Reader
	body io.Reader
}

// exchange sends the request and reads the header of the answer, whose body is b.
func (b *lastingBody) exchange(r *http.Request) (*http.Response, error) {
	if err := r.Write(b.conn); err != nil {
		return nil, err
	}
	b.head = largestHead
	b.in = bufio.NewReaderSize((*headReader)(b), lastingBuffer)
	for range mostInformal {
		// The body keeps the answer, which would keep the request.
		resp, err := http.ReadResponse(b.in, nil)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= http.StatusOK {
			answer := *resp
			answer.Request = r
			b.head, b.body = -1, resp.Body
			answer.Body, resp.Header = b, nil
			return &answer, nil
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("the server changes to another protocol")
		}
	}
	return nil, errors.New("the server does not come to an answer")
}

// Read implements io.Reader.
func (b *lastingBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.cause(err)
	}
	return n, err
}

// Close ends the connection: what is left of the answer is not read.
func (b *lastingBody) Close() error {
	b.stop()
	return b.conn.Close()
}

// cause tells that the request was taken back, if so.
func (b *lastingBody) cause(err error) error {
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	return err
}

// headReader reads from the connection, and bounds the header.
type headReader lastingBody

func (h *headReader) Read(p []byte) (int, error) {
	switch {
	case h.head < 0:
		return h.conn.Read(p)
	case h.head == 0:
		return 0, errors.New("the header of the answer is too large")
	}
	n, err := h.conn.Read(p[:min(int64(len(p)), h.head)])
	h.head -= int64(n)
	return n, err
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}
