package broker

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
	"mcp-gateway/internal/tag"
)

const (
	// keepAliveEvery is the time between comments on an event stream, well
	// below the idle timeouts of proxies.
	keepAliveEvery = 20 * time.Second
	// touchEvery is how often an open stream counts as a use of its session, and
	// how late it may learn that the session has ended elsewhere.
	touchEvery = 3 * keepAliveEvery
	// gatherFor lets changes come together that follow one another: several
	// servers that come up, or a configuration that takes effect in steps.
	gatherFor = 50 * time.Millisecond
	// writeTimeout ends a stream whose client takes nothing.
	writeTimeout = 30 * time.Second
)

// get serves the event stream of a session (2025-11-25, basic/transports,
// Listening for Messages from the Server) until the client leaves or the session
// ends. It carries the list_changed notifications of the gateway, and what the
// servers of the session say. It takes the place of the session's stream before,
// which may be dead without anybody having noticed.
func (b *Broker) get(c *call) {
	if !accepts(c.r, "text/event-stream") {
		c.fail(http.StatusNotAcceptable, mcp.CodeInvalidRequest, "GET opens an event stream: Accept must include text/event-stream")
		return
	}
	if !c.checkRevision() || !b.findSession(c) {
		return
	}
	key := c.session.ID.Key()
	server, id, merged, marked := tag.CutEvent([]byte(c.session.ID), c.r.Header.Get("Last-Event-ID"))
	resumes := merged && marked
	anew := c.r.Header.Get("Last-Event-ID") != ""
	s := b.hub.open(key, c.session.Endpoint, c.offers().lists(), anew)
	defer b.hub.close(key, s)
	write := b.beginStream(c)
	ctx, cancel := context.WithCancel(c.r.Context())
	m := &merge{broker: b, session: c.session, stream: s}
	if resumes {
		m.resume = map[string]string{server: id}
	}
	var merging sync.WaitGroup
	merging.Go(func() {
		defer close(s.left)
		s.awaitTurn()
		m.run(ctx)
	})
	// At once, though the writing to a dead client may hang for a while.
	merging.Go(func() {
		defer cancel()
		select {
		case <-s.done:
		case <-ctx.Done():
		}
	})
	defer merging.Wait()
	defer cancel()
	b.stream(c, s, write)
}

// beginStream begins the answer as an event stream. What it returns writes text
// on it at once; false if the client is gone, or does not read.
func (b *Broker) beginStream(c *call) (write func(text []byte) bool) {
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(c.w)
	return func(text []byte) bool {
		// net/http takes the deadline off again when the request has ended. A
		// writer without deadlines relies on its connection's.
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := c.w.Write(text)
		if err == nil {
			err = control.Flush()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			b.log.Warn("client does not read its event stream, ending it", zap.Duration("waited", writeTimeout))
		}
		return err == nil
	}
}

// keepAlive is a comment, which says nothing to clients.
var keepAlive = sse.AppendEvent(nil, sse.Event{Comment: []byte(" keep-alive"), HasComment: true})

// stream writes the events of a stream until it ends.
func (b *Broker) stream(c *call, s *stream, write func(text []byte) bool) {
	tick := time.NewTicker(keepAliveEvery)
	defer tick.Stop()
	var gathered <-chan time.Time // nil while nothing is to be told
	touched := time.Now()
	for alive := write(nil); alive; {
		select {
		case <-c.r.Context().Done():
			return
		case <-b.life.Done():
			return
		case <-s.done:
			return
		case text := <-s.events:
			alive = write(text)
		case <-s.wake:
			if gathered == nil {
				gathered = time.After(gatherFor)
			}
		case <-gathered:
			gathered = nil
			if changed := b.hub.take(s); changed != 0 {
				alive = write(changed.events(nil))
			}
		case <-tick.C:
			if time.Since(touched) >= touchEvery {
				touched = time.Now()
				if _, err := b.store.Get(c.r.Context(), c.session.ID); errors.Is(err, session.ErrNotFound) {
					return
				}
			}
			alive = write(keepAlive)
		}
	}
}
