package broker

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
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

// methods returns the notifications that tell of c.
func (c changes) methods() (all []string) {
	for _, kind := range []struct {
		changes
		method string
	}{
		{toolsChanged, mcp.MethodNotifyToolsChanged},
		{promptsChanged, mcp.MethodNotifyPromptsChanged},
		{resourcesChanged, mcp.MethodNotifyResourceChanged},
	} {
		if c&kind.changes != 0 {
			all = append(all, kind.method)
		}
	}
	return all
}

// events appends the notifications of c, one event each.
func (c changes) events(dst []byte) []byte {
	for _, method := range c.methods() {
		dst = appendMessage(dst, []byte(`{"jsonrpc":"2.0","method":"`+method+`"}`))
	}
	return dst
}

// appendMessage appends a message as an event.
func appendMessage(dst, message []byte) []byte {
	return sse.AppendEvent(dst, sse.Event{Name: []byte("message"), Data: message, HasData: true})
}

// maxAbsent bounds the sessions without a stream that are remembered to have had
// one. Who is forgotten is told of no change that it has missed.
const maxAbsent = 1 << 15

// hub knows the open event streams, at most one for each session, and the
// listeners without a session.
type hub struct {
	mu        sync.Mutex
	streams   map[session.Key]*stream
	listeners map[*listener]struct{}
	// noMore tells that there are to be no more listeners; told has one for each
	// that there was and that was not told all.
	noMore bool
	told   sync.WaitGroup
	// absent are the sessions that had a stream, and have none now.
	absent map[session.Key]struct{}
}

// stream is an open event stream as seen from the rest of the broker.
type stream struct {
	// endpoint names the view that the session belongs to.
	endpoint string
	pending  changes       // guarded by hub.mu
	wake     chan struct{} // holds a token while pending may not be empty
	// by is who has used the session last; nil if that is nothing to any server. It
	// keeps its place, as a client renews its token while the stream is open.
	by atomic.Pointer[credential.Caller]
	// open ends, by end, when the client has left, the session or the broker has
	// ended, or another stream took over.
	open context.Context
	end  context.CancelFunc
	// before is left of the stream whose place this one takes; nil for none.
	before <-chan struct{}
	// left is closed when nothing is heard of servers for this stream any more.
	left chan struct{}
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

func newHub() *hub {
	return &hub{
		streams: make(map[session.Key]*stream), listeners: make(map[*listener]struct{}),
		absent: make(map[session.Key]struct{}),
	}
}

// open registers a stream that ends with life, in the place of the session's if it has one, which
// ends: a client that comes again has lost it, whether that was noticed or not.
// What has changed meanwhile is not known for sure, since what was written may
// not have arrived, so to a session that had a stream, and if anew says that it
// had one elsewhere perhaps, all lists count as changed. A first stream is told
// nothing.
func (h *hub) open(life context.Context, k session.Key, endpoint string, lists changes, anew bool) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &stream{
		endpoint: endpoint,
		wake:     make(chan struct{}, 1), left: make(chan struct{}),
		look: make(chan struct{}, 1), events: make(chan []byte),
	}
	s.by.Store(credential.From(life))
	s.open, s.end = context.WithCancel(credential.WithLatest(life, s.by.Load))
	if before := h.streams[k]; before != nil {
		anew = true
		s.before, s.pending = before.left, before.pending
		before.end()
	}
	if _, had := h.absent[k]; had || anew {
		s.pending |= lists
		wakeUp(s.wake)
	}
	delete(h.absent, k)
	h.streams[k] = s
	return s
}

// used tells who uses the session now: what its stream makes others send is sent in
// that name from then on.
func (h *hub) used(k session.Key, by *credential.Caller) {
	if by == nil || by.Token == "" && len(by.Header) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.streams[k]; s != nil {
		s.by.Store(by)
	}
}

// turnWithin is how long a stream waits for the one in whose place it is.
const turnWithin = 2 * time.Second

// awaitTurn waits until the stream before has closed those of the servers, some
// of which allow one for each session. It waits also for a stream that has ended
// meanwhile, as the next one relies on it.
func (s *stream) awaitTurn() {
	if s.before == nil {
		return
	}
	late := time.NewTimer(turnWithin)
	defer late.Stop()
	select {
	case <-s.before:
	case <-late.C:
	}
	s.before = nil
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
	return s.join(k)
}

// join is the hub's, called under its mu.
func (s *stream) join(k heldKey) chan struct{} {
	if s.joins == nil {
		s.joins = make(map[heldKey]chan struct{})
	}
	if s.joins[k] == nil {
		s.joins[k] = make(chan struct{})
	}
	return s.joins[k]
}

// settled tells who waits for k, unless the listening has ended that it is said of:
// another one may be in its place, which is not settled by that.
func (h *hub) settled(listening context.Context, s *stream, k heldKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := s.join(k); c != merged && listening.Err() == nil {
		close(c)
		s.joins[k] = merged
	}
}

// merged is the channel of all that are, as most are for most of their time.
var merged = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// left forgets a backend session, whose id may come again. What listened to it has
// been ended before.
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
	case <-s.open.Done():
	case <-late.C:
	case <-ctx.Done():
	}
}

// lookWithin spreads what all streams do for one reason.
const lookWithin = time.Second

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
	if h.streams[k] != s {
		return
	}
	delete(h.streams, k)
	for other := range h.absent {
		if len(h.absent) < maxAbsent {
			break
		}
		delete(h.absent, other)
	}
	h.absent[k] = struct{}{}
}

// end forgets a session and ends its stream, if it has one.
func (h *hub) end(k session.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.absent, k)
	if s := h.streams[k]; s != nil {
		delete(h.streams, k)
		s.end()
	}
}

// announce tells all streams and listeners what has changed at their endpoints, and ends those
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
			s.end()
		case c != 0:
			s.pending |= c
			wakeUp(s.wake)
		}
	}
	for l := range h.listeners {
		h.tell(l, at)
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

// has reports whether a session has a stream here.
func (h *hub) has(k session.Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.streams[k] != nil
}
