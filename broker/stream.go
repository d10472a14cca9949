package broker

import (
	"context"
	"errors"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
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
	if !c.checkRevision() || !b.findSession(c) || !c.view.configured && !b.begun(c) {
		return
	}
	key := c.session.ID.Key()
	leave, met := b.counts.enter(c.view.limits, countedFor(c), b.hub.has(key))
	if leave == nil {
		b.refuseStream(c, met)
		return
	}
	server, id, merged, marked := tag.CutEvent([]byte(c.session.ID), c.r.Header.Get("Last-Event-ID"))
	anew := c.r.Header.Get("Last-Event-ID") != ""
	s := b.hub.open(credential.With(b.life, credential.From(c.r.Context())), key, c.session.Endpoint, c.offers().lists(), anew)
	m := &merge{broker: b, session: c.session, stream: s, who: c.who, leave: leave, until: c.until()}
	if merged && marked {
		m.resume = map[string]string{server: id}
	}
	eventHeader(c.w.Header())
	if !b.streams.enter() {
		// The broker ends. The handler says so by ending the answer.
		b.hub.close(key, s)
		leave()
		return
	}
	if d, ok := detach(c.w, c.r, s.open, s.end); ok {
		go b.serveDetached(m, d)
		return
	}
	defer b.streams.leave()
	context.AfterFunc(c.r.Context(), s.end)
	b.serveStream(m, b.beginStream(c))
}

// serveDetached is serveStream beyond the recovery of any HTTP server.
func (b *Broker) serveDetached(m *merge, d *detached) {
	defer b.streams.leave()
	defer func() {
		if v := recover(); v != nil {
			b.log.Error("event stream panicked", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
			_ = d.conn.Close() // cut off, so that nobody takes it for complete
		}
	}()
	b.serveStream(m, func(text []byte) bool {
		err := d.write(text)
		b.logUnread(err)
		return err == nil
	})
	d.close()
}

// serveStream merges and writes until the stream ends.
func (b *Broker) serveStream(m *merge, write func(text []byte) bool) {
	s := m.stream
	defer m.leave()
	defer b.hub.close(m.session.ID.Key(), s)
	defer close(s.left)
	m.begin()
	defer m.end()
	defer s.end()
	b.stream(m, write)
}

// eventHeader sets the header of an event stream.
func eventHeader(header http.Header) {
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
}

// beginStream begins the answer as an event stream. What it returns writes text
// on it at once; false if the client is gone, or does not read.
func (b *Broker) beginStream(c *call) (write func(text []byte) bool) {
	eventHeader(c.w.Header())
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
		b.logUnread(err)
		return err == nil
	}
}

// logUnread tells of a client that did not read.
func (b *Broker) logUnread(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.log.Warn("client does not read its event stream, ending it", zap.Duration("waited", writeTimeout))
	}
}

// keepAlive is a comment, which says nothing to clients.
var keepAlive = sse.AppendEvent(nil, sse.Event{Comment: []byte(" keep-alive"), HasComment: true})

// stream writes the events of a stream until it ends. It waits for all that
// concerns the stream, so that one that says nothing costs one goroutine, and none
// to look at its servers.
func (b *Broker) stream(m *merge, write func(text []byte) bool) {
	s := m.stream
	tick := time.NewTicker(keepAliveEvery)
	defer tick.Stop()
	var gathered <-chan time.Time // nil while nothing is to be told
	look := s.look                // nil while it is done
	touched := time.Now()
	for alive := write(nil); alive; {
		select {
		case <-s.open.Done():
			return
		case text := <-s.events:
			alive = write(text)
		case <-look:
			look = nil
			m.all.Go(m.lookOnce)
		case <-m.looked:
			look = s.look
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
			if m.until.over() {
				return
			}
			if time.Since(touched) >= touchEvery {
				touched = time.Now()
				if _, err := b.store.Get(s.open, m.session.ID); errors.Is(err, session.ErrNotFound) {
					return
				}
			}
			alive = write(keepAlive)
		}
	}
}
