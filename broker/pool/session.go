package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// streamPatience is how long a new session waits for its event stream, on which
// servers ask: what is sent before it is open is lost.
const streamPatience = 2 * time.Second

// session is one session at a server. All but what says otherwise is guarded by
// Pool.mu.
type session struct {
	pool *Pool
	place
	// opened is closed when at or err are set; they do not change any more.
	opened chan struct{}
	at     upstream.Session
	err    error
	// settled is closed when the event stream is open or will not be; mute when it
	// never will be; left when the session was forgotten.
	settled, mute, left chan struct{}

	uses      int
	idleSince time.Time
	timer     *time.Timer
	forgotten bool
	lost      bool // the server has ended it
	calls     map[*Lease]func(message []byte)
	stop      context.CancelFunc // of the stream

	by atomic.Pointer[credential.Caller] // who came last

	subscribing sync.Mutex // held while the server is told
	watched     map[string][]*watcher
	levelling   sync.Mutex // held while the server is told
	level       int        // guarded by levelling
}

func newSession(p *Pool, at place) *session {
	return &session{
		pool: p, place: at,
		opened: make(chan struct{}), settled: make(chan struct{}), mute: make(chan struct{}), left: make(chan struct{}),
		calls: map[*Lease]func([]byte){}, watched: map[string][]*watcher{}, level: -1,
	}
}

// forLatest returns a context for requests that are nobody's, and so whoever's
// came last.
func (s *session) forLatest(ctx context.Context) context.Context {
	return credential.WithLatest(ctx, s.by.Load)
}

// open opens the session, whoever waits for it may leave meanwhile.
func (s *session) open() {
	p := s.pool
	ctx, cancel := context.WithTimeout(s.forLatest(p.life), p.o.OpenTimeout)
	defer cancel()
	at, err := s.server.OpenSession(ctx, upstream.Client{Version: s.key.Version, Capabilities: []byte(s.key.Capabilities)})
	p.mu.Lock()
	defer p.mu.Unlock()
	s.at, s.err = at, err
	close(s.opened)
	if s.forgotten || err != nil {
		p.forget(s)
		p.end(s)
		return
	}
	var streaming context.Context
	streaming, s.stop = context.WithCancel(s.forLatest(p.life))
	p.work.Go(func() { s.listen(streaming) })
	s.rest() // who wanted it may have left
}

// rest has the session end if nobody uses it for a while. Called under Pool.mu.
func (s *session) rest() {
	p := s.pool
	s.idleSince = time.Now()
	s.timer = time.AfterFunc(p.o.Idle, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s.uses == 0 {
			p.forget(s)
		}
	})
}

// is reports whether all of these say so.
func (s *session) is(all []func(*session) bool) bool {
	return !slices.ContainsFunc(all, func(f func(*session) bool) bool { return !f(s) })
}

// isOpen reports whether the attempt to open it is over.
func (s *session) isOpen() bool {
	select {
	case <-s.opened:
		return true
	default:
		return false
	}
}

// listen keeps the event stream of the session.
func (s *session) listen(ctx context.Context) {
	mute, settle := sync.OnceFunc(func() { close(s.mute) }), sync.OnceFunc(func() { close(s.settled) })
	defer settle()
	err := s.server.Listen(ctx, s.at, upstream.Listener{
		Settled: func(err error) {
			if errors.Is(err, upstream.ErrNoStream) {
				mute() // first: who waits looks at it next
			}
			settle()
		},
		Message: func(message, _ []byte) error {
			if message != nil {
				s.hear(ctx, message)
			}
			return nil
		},
	})
	if errors.Is(err, upstream.ErrNoStream) {
		mute()
	}
	if errors.Is(err, upstream.ErrSessionGone) {
		s.pool.mu.Lock()
		defer s.pool.mu.Unlock()
		s.lost = true
		s.pool.forget(s)
	}
}

// hear takes a message of the event stream, which names no call: a request is
// the only call's that there is, or else refused; progress, and a request that is
// taken back, is whose token or id that is.
func (s *session) hear(ctx context.Context, message []byte) {
	var m jsonrpc.Message
	if m.Scan(message) != nil {
		return
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	s.pool.mu.Lock()
	var to []func([]byte)
	for _, hear := range s.calls {
		to = append(to, hear)
	}
	s.pool.mu.Unlock()
	switch {
	case m.Kind == jsonrpc.Request && len(to) != 1:
		refusal := jsonrpc.AppendError(nil, m.ID.Of(message), mcp.CodeMethodNotFound, "no call is there to which this could belong", nil)
		if err := s.server.Tell(ctx, s.at, refusal); err != nil {
			s.pool.o.Log.Debug("refusal does not reach the server", zap.Error(err))
		}
	case m.Kind == jsonrpc.Request, string(method) == mcp.MethodNotifyProgress, string(method) == mcp.MethodNotifyCancelled:
		for _, hear := range to {
			hear(message)
		}
	case string(method) == mcp.MethodNotifyResourceUpdated:
		uri, _ := jsonrpc.Unquote(nil, m.URI.Of(message))
		s.updated(string(uri), message)
	}
}

// Lease is one use of a session.
type Lease struct {
	session *session
	over    bool // guarded by Pool.mu
}

// Session returns the session at the server.
func (l *Lease) Session() upstream.Session { return l.session.at }

// Join tells that a call is under way in this use: hear gets what the server asks
// and reports on the session's own event stream as far as it may belong to it, and
// must not take long.
func (l *Lease) Join(hear func(message []byte)) {
	l.session.pool.mu.Lock()
	defer l.session.pool.mu.Unlock()
	l.session.calls[l] = hear
}

// Release ends the use; again it does nothing.
func (l *Lease) Release() { l.session.pool.release(l) }

// Lost tells that the server has ended the session: nobody else gets it.
func (l *Lease) Lost() {
	p := l.session.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	l.session.lost = true
	p.forget(l.session)
}

// Mute is closed when the server turns out to have no event stream.
func (l *Lease) Mute() <-chan struct{} { return l.session.mute }

// Gone is closed when the session is not to be used any more.
func (l *Lease) Gone() <-chan struct{} { return l.session.left }

// awaitStream waits until the server can ask, if it may ask anything.
func (l *Lease) awaitStream(ctx context.Context) {
	if l.session.key.Capabilities == "{}" {
		return
	}
	_ = l.settled(ctx) // who leaves will notice
}

// settled waits until it is known whether there is an event stream, though not for
// long: there are servers that begin to answer with their first event.
func (l *Lease) settled(ctx context.Context) error {
	patience := time.NewTimer(streamPatience)
	defer patience.Stop()
	select {
	case <-l.session.settled:
	case <-patience.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// SetLevel has the server log in the session at a level or a more verbose one:
// the session is shared, and so the most verbose that anybody has asked for
// holds. What the server refuses is not asked for again.
func (l *Lease) SetLevel(ctx context.Context, level string) error {
	s, want := l.session, mcp.Verbosity(level)
	if want < 0 {
		return fmt.Errorf("there is no log level %q", level)
	}
	s.levelling.Lock()
	defer s.levelling.Unlock()
	if want <= s.level {
		return nil
	}
	_, err := s.server.Request(ctx, s.at, mcp.MethodSetLevel, append(jsonrpc.AppendQuote([]byte(`{"level":`), []byte(level)), '}'))
	if err == nil {
		s.level = want
	}
	return err
}
