package broker

import (
	"context"
	"errors"
	"math/rand/v2"
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
	// lookWithin spreads what all streams do for one reason.
	lookWithin = time.Second
	// writeTimeout ends a stream whose client takes nothing.
	writeTimeout = 30 * time.Second
)

// changes is a set of lists that have changed: what the gateway itself has to
// tell on a stream, without a queue that a slow client could make grow. What
// servers say waits at the servers, see merge.
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
	// endpoint names the view that the session belongs to.
	endpoint string
	pending  changes       // guarded by hub.mu
	wake     chan struct{} // holds a token while pending may not be empty
	done     chan struct{} // closed when the session has ended, or another stream took over
	// look holds a token while the session's backend sessions may have changed.
	look chan struct{}
	// joins has a channel for each backend session, closed once its own stream
	// is merged or turns out not to open. Guarded by hub.mu.
	joins map[heldKey]chan struct{}
	// events takes events of servers as text. It has no buffer: a server's next
	// event is not read before the client has taken this one, and servers take
	// turns.
	events chan []byte
}

func newHub() *hub { return &hub{streams: make(map[session.Key]*stream)} }

// open registers a stream; false if the session has one.
func (h *hub) open(k session.Key, endpoint string) (*stream, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[k] != nil {
		return nil, false
	}
	return h.add(k, endpoint), true
}

// takeOver registers a stream in the place of the session's, which ends.
func (h *hub) takeOver(k session.Key, endpoint string) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.streams[k]; before != nil {
		close(before.done)
	}
	return h.add(k, endpoint)
}

func (h *hub) add(k session.Key, endpoint string) *stream {
	s := &stream{
		endpoint: endpoint,
		wake:     make(chan struct{}, 1), done: make(chan struct{}),
		look: make(chan struct{}, 1), events: make(chan []byte),
		joins: make(map[heldKey]chan struct{}),
	}
	h.streams[k] = s
	return s
}

// look tells the stream of a session that its backend sessions have changed.
func (h *hub) look(k session.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.streams[k]; s != nil {
		wakeUp(s.look)
	}
}

// heldKey names a backend session of a client session.
type heldKey struct{ server, id string }

// join returns the channel that tells when a backend session's stream is merged.
func (h *hub) join(s *stream, k heldKey) chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.joins[k] == nil {
		s.joins[k] = make(chan struct{})
	}
	return s.joins[k]
}

// settled tells who waits for k.
func (h *hub) settled(s *stream, k heldKey) {
	c := h.join(s, k)
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-c: // told before
	default:
		close(c)
	}
}

// left forgets a backend session, whose id may come again.
func (h *hub) left(s *stream, k heldKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(s.joins, k)
}

// joinWithin is how long a new backend session waits for its stream. Servers
// that begin to answer a GET with their first event take all of it.
const joinWithin = 500 * time.Millisecond

// awaitJoin waits until the stream of a new backend session is merged into its
// client's, if that has one here: what the server says with its first answer
// would be lost.
func (h *hub) awaitJoin(ctx context.Context, client session.Key, k heldKey) {
	h.mu.Lock()
	s := h.streams[client]
	h.mu.Unlock()
	if s == nil {
		return
	}
	wakeUp(s.look)
	late := time.NewTimer(joinWithin)
	defer late.Stop()
	select {
	case <-h.join(s, k):
	case <-s.done:
	case <-late.C:
	case <-ctx.Done():
	}
}

// lookAll tells all streams, over some time, as each will ask the store.
func (h *hub) lookAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams {
		time.AfterFunc(rand.N(lookWithin), func() { wakeUp(s.look) })
	}
}

func wakeUp(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
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

// announce tells all streams what has changed at their endpoints, and ends those
// whose endpoint is not there any more. What a slow client has not taken yet
// becomes one notification for each list.
func (h *hub) announce(at map[string]changes) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, s := range h.streams {
		c, there := at[s.endpoint]
		switch {
		case !there:
			delete(h.streams, k)
			close(s.done)
		case c != 0:
			s.pending |= c
			wakeUp(s.wake)
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
// ends. It carries the list_changed notifications of the gateway, and what the
// servers of the session say. One that resumes takes the place of the stream
// that it goes on from, which may not have been noticed to be dead.
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
	var s *stream
	if resumes {
		s = b.hub.takeOver(key, c.session.Endpoint)
	} else {
		var ok bool
		if s, ok = b.hub.open(key, c.session.Endpoint); !ok {
			c.fail(http.StatusConflict, mcp.CodeInvalidRequest, "the session has an event stream already")
			return
		}
	}
	defer b.hub.close(key, s)
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)

	ctx, cancel := context.WithCancel(c.r.Context())
	m := &merge{broker: b, session: c.session, stream: s}
	if resumes {
		m.resume = map[string]string{server: id}
	}
	var merging sync.WaitGroup
	merging.Go(func() { m.run(ctx) })
	defer merging.Wait()
	defer cancel()
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
		if err == nil {
			err = control.Flush()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			b.log.Warn("client does not read its event stream, ending it", zap.Duration("waited", writeTimeout))
		}
		return err == nil
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
