// Package bridge serves MCP servers that Envoy cannot reach itself (a program
// spoken to over stdio, a server with the HTTP+SSE transport of 2024-11-05) as
// Streamable HTTP servers of the revisions 2025-03-26 to 2025-11-25. A Bridge is
// one such server: an http.Handler on one side, connections that carry messages
// on the other. It knows neither processes nor sockets; how a connection is
// opened is told by its Options.
//
// Every session has a connection of its own, or all share one. On a connection
// the ids and progress tokens of requests are the bridge's numbers, so that
// equal ones of two senders cannot meet; every other byte is the sender's.
//
// A message of the server goes to one stream: a response, and progress, to the
// POST that it belongs to; a change of lists or of a resource to the session's
// GET stream; anything else to the session's oldest POST that still waits, or if
// there is none to the GET stream.
package bridge

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/rescue"
	"mcp-gateway/broker/session"
)

// Conn is a connection to a server that carries JSON-RPC messages.
type Conn interface {
	// Send writes one message, which is on one line. It may use the capacity
	// behind the message. Safe for concurrent use.
	Send(ctx context.Context, message []byte) error
	// Receive hands over each message, valid during the call, until the
	// connection ends, and returns why. It is called once.
	Receive(f func(message []byte)) error
	// Close ends the connection in an orderly way if that takes no longer than
	// patience, else by force. It returns when nothing of it is left, and may be
	// called again with less patience.
	Close(patience time.Duration)
}

// Options say what a Bridge leads to.
type Options struct {
	// Name is the server's.
	Name string
	// Connect opens a connection. Its errors may hold addresses: they are logged.
	Connect func(ctx context.Context) (Conn, error)
	// Shared gives all sessions one connection. Its server is told of no
	// capability of any client, and what it says to nobody in particular is not
	// passed on.
	Shared bool
	// ClientInfo presents the gateway to a shared server, raw JSON.
	ClientInfo []byte
	// MaxSessions bounds the sessions; it may change.
	MaxSessions func() int
	// Refused is called for each session that is one too many; nil for nothing to
	// do. It must not block.
	Refused func()
	// BodyLimit bounds a message of a client in bytes; it may change.
	BodyLimit func() int64
	Log       *zap.Logger
}

const (
	// patience bounds the orderly end of one connection.
	patience = 6 * time.Second
	// evictPatience is the same for a session that has to make room, idleBefore
	// how long nobody must have used it.
	evictPatience = time.Second
	idleBefore    = time.Minute
	// startTimeout bounds the handshake with a shared server, which no client's
	// request bounds.
	startTimeout = time.Minute
)

// Errors of opening a session.
var (
	errFull   = errors.New("too many sessions")
	errClosed = errors.New("the bridge is closed")
	errEnded  = errors.New("the server ended before the session began")
)

// busyError says that the server ended too often to be started now.
type busyError struct{ wait time.Duration }

func (e *busyError) Error() string { return "starting it again in " + e.wait.String() }

// Bridge is one server. Use New.
type Bridge struct {
	o Options

	mu       sync.Mutex
	closed   bool
	sessions map[string]*backend
	peers    map[*peer]struct{} // also those that are ending
	opening  int                // places taken by peers to come
	shared   *share             // nil until needed
	pace     pace
	requests int // POSTs being answered
}

// New returns a Bridge. It opens no connection before a client asks for one.
func New(o Options) *Bridge {
	return &Bridge{o: o, sessions: map[string]*backend{}, peers: map[*peer]struct{}{}}
}

// backend is one session.
type backend struct {
	id     string
	peer   *peer
	gone   chan struct{} // closed when the session has ended
	inbox  *mailbox      // of the GET stream
	listen bool          // a GET stream is open; guarded by Bridge.mu
	used   time.Time     // by a POST; guarded by Bridge.mu

	// Guarded by peer.mu.
	calls map[int64]*call
	uris  map[string]bool // subscribed to, if the connection is shared
}

func newBackend(p *peer) *backend {
	return &backend{
		id: string(session.NewID()), peer: p, gone: make(chan struct{}), inbox: newMailbox(),
		calls: map[int64]*call{}, uris: map[string]bool{}, used: time.Now(),
	}
}

// connect opens a connection of its own for a session.
func (b *Bridge) connect(ctx context.Context) (*peer, error) {
	if err := b.reserve(); err != nil {
		return nil, err
	}
	p, err := b.dial(ctx)
	b.mu.Lock()
	b.opening--
	b.mu.Unlock()
	return p, err
}

// reserve takes a place for a connection, if need be that of the session that
// was idle for longest.
func (b *Bridge) reserve() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if err := b.admit(); err != nil {
			return err
		}
		if len(b.peers)+b.opening < b.o.MaxSessions() {
			b.opening++
			return nil
		}
		idle := b.idlest()
		if idle == nil {
			return errFull
		}
		b.o.Log.Info("an idle session makes room for another one", zap.Int("sessions", len(b.sessions)))
		delete(b.sessions, idle.id)
		b.mu.Unlock()
		idle.peer.close(evictPatience)
		b.mu.Lock()
	}
}

// admit reports whether a connection may be opened now. Called under mu.
func (b *Bridge) admit() error {
	if b.closed {
		return errClosed
	}
	if wait := b.pace.wait(time.Now()); wait > 0 {
		return &busyError{wait}
	}
	return nil
}

// idlest returns the session whose last message and last answer are longest ago,
// nil if none has been idle for long enough. Whether it listens does not matter. Called under mu.
func (b *Bridge) idlest() *backend {
	var found *backend
	limit := time.Now().Add(-idleBefore)
	for _, s := range b.sessions {
		if s.used.After(limit) || s.peer.waiting(s) || found != nil && found.used.Before(s.used) {
			continue
		}
		found = s
	}
	return found
}

// dial opens a connection and begins to read it.
func (b *Bridge) dial(ctx context.Context) (dialed *peer, err error) {
	defer rescue.From(b.o.Log, &err)
	began := time.Now()
	conn, err := b.o.Connect(ctx)
	if err != nil {
		if ctx.Err() == nil {
			b.o.Log.Warn("no connection to the server", zap.Error(err))
			b.mu.Lock()
			b.pace.failed(began, time.Now())
			b.mu.Unlock()
		}
		return nil, err
	}
	p := newPeer(b, conn, began)
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.peers[p] = struct{}{}
	}
	b.mu.Unlock()
	go p.run()
	if closed {
		p.close(0)
		return nil, errClosed
	}
	return p, nil
}

// publish makes a session known to requests.
func (b *Bridge) publish(s *backend) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-s.gone: // and forgotten, before it was known
		return errEnded
	default:
	}
	b.sessions[s.id] = s
	return nil
}

// find returns a session, nil if there is none.
func (b *Bridge) find(id string) *backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[id]
}

// use takes note that a client has sent something, or waited for an answer until
// now. That it listens is no use: a gateway listens for as long as its client.
func (b *Bridge) use(s *backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.used = time.Now()
}

// forget makes sessions unknown to requests.
func (b *Bridge) forget(sessions ...*backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range sessions {
		delete(b.sessions, s.id)
	}
}

// ended takes note that a connection is over. It counts as a failure if nobody
// has asked for it.
func (b *Bridge) ended(p *peer, asked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !asked {
		b.pace.failed(p.began, time.Now())
	}
	if b.shared != nil && b.shared.peer == p {
		b.shared = nil
	}
}

// refused ends a connection on which initialize failed, as a failure of the
// server's.
func (b *Bridge) refused(p *peer) {
	if !p.asked.Swap(true) {
		b.ended(p, true)
		b.mu.Lock()
		b.pace.failed(p.began, p.began) // however long it took
		b.mu.Unlock()
	}
	p.close(patience)
}

// Drain waits until no request is being answered, or ctx ends.
func (b *Bridge) Drain(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		b.mu.Lock()
		idle := b.requests == 0
		b.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close ends all sessions and connections, those that need it by force after
// patience, and returns when nothing is left. No session can be opened after.
func (b *Bridge) Close(patience time.Duration) {
	b.mu.Lock()
	b.closed = true
	var wg sync.WaitGroup
	for p := range b.peers {
		wg.Go(func() { p.close(patience) })
	}
	b.mu.Unlock()
	wg.Wait()
}
