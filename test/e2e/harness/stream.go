package harness

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Stream is an event stream being read.
type Stream struct {
	t      testing.TB
	Status int
	Header http.Header
	events chan string
	cancel context.CancelFunc
}

// Open sends a request and returns as soon as the answer's headers are there.
func (c *Client) Open(method, body string) *Stream {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	headers := time.AfterFunc(Patience, cancel)
	resp, err := c.send(ctx, method, body)
	headers.Stop()
	if err != nil {
		cancel()
		c.t.Fatalf("%s %s: %v", method, c.URL, err)
	}
	s := &Stream{t: c.t, Status: resp.StatusCode, Header: resp.Header, events: make(chan string, 1024), cancel: cancel}
	go func() {
		defer close(s.events)
		defer resp.Body.Close() //nolint:errcheck // read to its end or given up
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 32<<20)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && data != "" {
				s.events <- data
			}
		}
	}()
	c.t.Cleanup(cancel)
	return s
}

// Listen opens the session's GET stream.
func (c *Client) Listen() *Stream {
	c.t.Helper()
	s := c.With("Accept: text/event-stream").Open(http.MethodGet, "")
	if s.Status != http.StatusOK {
		c.t.Fatalf("GET: status %d", s.Status)
	}
	return s
}

// Next is the data of the next event that has any; the test ends if none comes.
func (s *Stream) Next() string {
	s.t.Helper()
	select {
	case data, ok := <-s.events:
		if !ok {
			s.t.Fatal("the stream ended")
		}
		return data
	case <-time.After(Patience):
		s.t.Fatalf("no event within %v", Patience)
	}
	return ""
}

// Until reads events until one holds text, and returns it.
func (s *Stream) Until(text string) string {
	s.t.Helper()
	for {
		if data := s.Next(); strings.Contains(data, text) {
			return data
		}
	}
}

// End waits for the end of the stream and returns the events before it.
func (s *Stream) End() []string {
	s.t.Helper()
	var rest []string
	deadline := time.After(Patience)
	for {
		select {
		case data, ok := <-s.events:
			if !ok {
				return rest
			}
			rest = append(rest, data)
		case <-deadline:
			s.t.Fatalf("the stream did not end within %v", Patience)
		}
	}
}

// Close leaves the stream.
func (s *Stream) Close() { s.cancel() }
