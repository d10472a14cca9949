package broker

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
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

// changes is a set of lists that have changed. It is all that a stream ever has
// to deliver, so that no client can make a queue grow.
type changes uint8

const (
	toolsChanged changes = 1 << iota
	promptsChanged
	resourcesChanged
)

// events appends the notifications of c, one event each.
func (c changes) events(dst []byte) []byte {
	for _, kind := range []struct {
		changes
		method string
	}{
		{toolsChanged, mcp.MethodNotifyToolsChanged},
		{promptsChanged, mcp.MethodNotifyPromptsChanged},
		{resourcesChanged, mcp.MethodNotifyResourceChanged},
	} {
		if c&kind.changes != 0 {
			dst = sse.AppendEvent(dst, sse.Event{
				Name:    []byte("message"),
				Data:    []byte(`{"jsonrpc":"2.0","method":"` + kind.method + `"}`),
				HasData: true,
			})
		}
	}
	return dst
}

// hub knows the open event streams, at most one for each session.
type hub struct {
	mu      sync.Mutex
	streams map[session.Key]*stream
}

// stream is an open event stream as seen from the rest of the broker.
type stream struct {
	pending changes       // guarded by hub.mu
	wake    chan struct{} // holds a token while pending may not be empty
	done    chan struct{} // closed when the session has ended
}

func newHub() *hub { return &hub{streams: make(map[session.Key]*stream)} }

// open registers a stream; false if the session has one.
func (h *hub) open(k session.Key) (*stream, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[k] != nil {
		return nil, false
	}
	s := &stream{wake: make(chan struct{}, 1), done: make(chan struct{})}
	h.streams[k] = s
	return s, true
}

// close forgets a stream that its handler has left.
func (h *hub) close(k session.Key, s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[k] == s {
		delete(h.streams, k)
	}
}

// end ends the stream of a session, if it has one.
func (h *hub) end(k session.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.streams[k]; s != nil {
		delete(h.streams, k)
		close(s.done)
	}
}

// announce tells all streams what has changed. What a slow client has not taken
// yet becomes one notification for each list.
func (h *hub) announce(c changes) {
	if c == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams {
		s.pending |= c
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take returns what is to be told on a stream.
func (h *hub) take(s *stream) changes {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := s.pending
	s.pending = 0
	return c
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

// get serves the event stream of a session (2025-11-25, basic/transports,
// Listening for Messages from the Server) until the client leaves or the session
// ends. It carries the list_changed notifications.
func (b *Broker) get(c *call) {
	if !accepts(c.r, "text/event-stream") {
		c.fail(http.StatusNotAcceptable, mcp.CodeInvalidRequest, "GET opens an event stream: Accept must include text/event-stream")
		return
	}
	if !c.checkRevision() || !b.findSession(c) {
		return
	}
	key := c.session.ID.Key()
	s, ok := b.hub.open(key)
	if !ok {
		c.fail(http.StatusConflict, mcp.CodeInvalidRequest, "the session has an event stream already")
		return
	}
	defer b.hub.close(key, s)
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)
	b.stream(c, s)
}

// stream writes the events of a stream until it ends.
func (b *Broker) stream(c *call, s *stream) {
	control := http.NewResponseController(c.w)
	write := func(text []byte) bool {
		// net/http takes the deadline off again when the request has ended. A
		// writer without deadlines relies on its connection's.
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := c.w.Write(text)
		return err == nil && control.Flush() == nil
	}
	keepAlive := sse.AppendEvent(nil, sse.Event{Comment: []byte(" keep-alive"), HasComment: true})
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
