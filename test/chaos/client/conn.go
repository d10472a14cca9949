// Package client is the load of the fault suite: clients of both eras that do what
// clients do, at two Envoys at random, and hand each call to the checker with what
// became of it.
package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"mcp-gateway/test/bench/http1"
	"mcp-gateway/test/chaos/check"
)

// Deadline is when a call that was not answered hangs: longer than any limit of the
// gateway's, of which the longest is that for opening a session at a server.
const Deadline = 35 * time.Second

// conn is a connection to one Envoy that is opened when it is needed.
type conn struct {
	addr   string
	tcp    net.Conn
	reader *http1.Reader
	head   http1.Message
}

// response is a whole answer.
type response struct {
	status  int
	session string // Mcp-Session-Id
	message []byte // the body, or the data of the last event
	results int    // messages that are no notification or request
	retry   string // Retry-After
}

// failure is an exchange that brought no whole answer.
type failure struct {
	outcome check.Outcome
	err     error
}

func (f *failure) Error() string { return string(f.outcome) + ": " + f.err.Error() }

// open connects if there is no connection, or if the one there is has been closed
// while nothing was under way.
func (c *conn) open(deadline time.Time) error {
	if c.tcp != nil && !c.stale() {
		return c.tcp.SetDeadline(deadline)
	}
	c.close()
	tcp, err := (&net.Dialer{Deadline: deadline}).Dial("tcp", c.addr)
	if err != nil {
		return &failure{check.Refused, err}
	}
	c.tcp, c.reader = tcp, http1.NewReader(tcp)
	return tcp.SetDeadline(deadline)
}

// stale reports whether the peer has ended the connection.
func (c *conn) stale() bool {
	raw, err := c.tcp.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = err == nil && n == 0 || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
		return true
	})
	return err != nil || gone
}

func (c *conn) close() {
	if c.tcp != nil {
		_ = c.tcp.Close()
		c.tcp = nil
	}
}

// exchange sends a request and reads the answer; event sees the data of each event
// of a stream as it comes. The connection stays open if it can be used again.
func (c *conn) exchange(method, path, headers string, body []byte, deadline time.Time, event func([]byte)) (*response, error) {
	if err := c.open(deadline); err != nil {
		return nil, err
	}
	request := fmt.Appendf(make([]byte, 0, 512+len(body)), "%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n", method, path, c.addr, headers, len(body))
	// A peer that is gone shows at the read, with what it said before.
	_, _ = c.tcp.Write(append(request, body...))
	if err := c.reader.Head(&c.head); err != nil {
		c.close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, &failure{check.Hang, err}
		}
		return nil, &failure{check.Reset, err}
	}
	r := &response{
		status: c.head.Status(), session: string(c.head.Header("mcp-session-id")), retry: string(c.head.Header("retry-after")),
	}
	last := strings.EqualFold(string(c.head.Header("connection")), "close")
	stream := bytes.HasPrefix(c.head.Header("content-type"), []byte("text/event-stream"))
	var text []byte
	err := c.reader.Body(&c.head, func(piece []byte) {
		text = append(text, piece...)
		if stream {
			text = r.events(text, event)
		}
	})
	if err != nil || last {
		c.close()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return r, &failure{check.Hang, fmt.Errorf("in the answer: %w", err)}
	case err != nil:
		return r, &failure{check.Broken, err}
	case !stream:
		r.message = text
		r.results = 1
	}
	return r, nil
}

var blank = []byte("\n\n")

// events takes whole events off the text and returns the rest.
func (r *response) events(text []byte, event func([]byte)) []byte {
	for {
		one, rest, ok := bytes.Cut(text, blank)
		if !ok {
			return text
		}
		for line := range bytes.Lines(one) {
			data, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte("data:"))
			if data = bytes.TrimSpace(data); !ok || len(data) == 0 {
				continue
			}
			if bytes.Contains(data, []byte(`"method":`)) {
				if event != nil {
					event(data)
				}
				continue
			}
			r.message = bytes.Clone(data)
			r.results++
		}
		text = rest
	}
}

// outcomeOf sorts an error of exchange.
func outcomeOf(err error) (check.Outcome, string) {
	var f *failure
	if errors.As(err, &f) {
		if errors.Is(f.err, io.EOF) {
			return f.outcome, "the connection ended"
		}
		return f.outcome, f.err.Error()
	}
	return check.Reset, err.Error()
}
