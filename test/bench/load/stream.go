package load

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"mcp-gateway/test/bench/backend"
)

// StreamResult tells how fast server-sent events come through.
type StreamResult struct {
	Events int `json:"events"`
	// First is the median time from a request to the first byte of its first
	// event.
	First time.Duration `json:"first"`
	// TransitP50 and TransitP99 are the time of an event between the server's
	// write and the client's read.
	TransitP50 time.Duration `json:"transitP50"`
	TransitP99 time.Duration `json:"transitP99"`
}

// Stream calls the tool spec.Tool, which must be backend.ToolStream, for
// spec.Duration over one connection.
func Stream(ctx context.Context, spec Spec) (StreamResult, error) {
	spec.Method = MethodCall
	c, err := connect(ctx, spec, nil)
	if err != nil {
		return StreamResult{}, err
	}
	defer func() { _ = c.conn.Close() }()
	c.want = nil // the tool does not look at its argument
	var first, transit []time.Duration
	for end := time.Now().Add(spec.Duration); len(first) == 0 || time.Now().Before(end); {
		arrivals, took, err := c.stream()
		if err != nil {
			return StreamResult{}, err
		}
		if c.id > firstID+1 { // the first call also opened the server's session
			first = append(first, took)
			transit = append(transit, arrivals...)
		}
	}
	q := quantiles(transit)
	return StreamResult{Events: len(transit), First: quantiles(first)(0.5), TransitP50: q(0.5), TransitP99: q(0.99)}, nil
}

// stream makes one call and returns the transit time of each event, and the
// time to the first byte of the first.
func (c *client) stream() (transit []time.Duration, first time.Duration, err error) {
	begin := time.Now()
	if err := c.send(); err != nil {
		return nil, 0, err
	}
	if err := c.reader.Head(&c.head); err != nil {
		return nil, 0, err
	}
	c.body = c.body[:0]
	err = c.reader.Body(&c.head, func(piece []byte) {
		now := backend.Monotonic()
		if first == 0 {
			first = time.Since(begin)
		}
		c.body = append(c.body, piece...)
		for {
			sent, ok := c.nextSent()
			if !ok {
				return
			}
			transit = append(transit, time.Duration(now-sent))
		}
	})
	if err != nil {
		return nil, 0, err
	}
	if c.head.Status() != 200 || len(transit) != backend.StreamEvents {
		return nil, 0, fmt.Errorf("%d events of %d: %s", len(transit), backend.StreamEvents, c.answer())
	}
	return transit, first, c.check()
}

// nextSent takes one whole event off the body and returns its time. The result
// carries none and stays.
func (c *client) nextSent() (int64, bool) {
	event, rest, ok := bytes.Cut(c.body, []byte("\n\n"))
	if !ok {
		return 0, false
	}
	_, digits, ok := bytes.Cut(event, []byte(backend.SentMark))
	if !ok {
		return 0, false
	}
	if end := bytes.IndexByte(digits, '"'); end >= 0 {
		digits = digits[:end]
	}
	sent, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0, false
	}
	c.body = append(c.body[:0], rest...)
	return sent, true
}
