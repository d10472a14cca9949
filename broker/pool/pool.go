// Package pool keeps backend sessions that are no client session's: those in
// which the calls of clients without sessions reach a server that has some. Calls
// of one caller that declare the same share a session, and what the server keeps
// in it. It speaks no JSON-RPC of its own but what is due in a session.
package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

var (
	// ErrFull says that there are as many sessions as may be, all in use.
	ErrFull = errors.New("too many sessions are in use")
	// ErrClosed says that the pool has ended.
	ErrClosed = errors.New("the pool of sessions has ended")
)

// Server is what the pool needs of an upstream.Server.
type Server interface {
	OpenSession(ctx context.Context, c upstream.Client) (upstream.Session, error)
	EndSession(ctx context.Context, of upstream.Session) error
	Listen(ctx context.Context, in upstream.Session, o upstream.Listener) error
	Request(ctx context.Context, in upstream.Session, method string, params []byte) (upstream.Answer, error)
	Tell(ctx context.Context, in upstream.Session, message []byte) error
}

// Key tells the sessions of one server apart.
type Key struct {
	// Principal is the caller, empty for all that are not told apart.
	Principal string
	// Capabilities is a canonical JSON object: what is declared to the server.
	Capabilities string
	// Version is the revision to offer.
	Version mcp.Revision
	// Forwarded are the headers of the caller that the server gets with each
	// request, in a canonical form: it may have bound the session to them.
	Forwarded string
}

// Options bound a Pool.
type Options struct {
	Log *zap.Logger
	// Idle is how long a session stays that nobody uses.
	Idle time.Duration
	// Bounds returns the most sessions, of all servers and of one; they may change.
	// A principal has a share of them.
	Bounds func() (total, perServer int)
	// Refused is called for each session that is not opened for these; nil for
	// nothing to do. It must not block.
	Refused func()
	// OpenTimeout bounds the opening of one, EndTimeout its end, CloseTimeout the
	// end of all.
	OpenTimeout, EndTimeout, CloseTimeout time.Duration
}

// Pool holds sessions. Safe for concurrent use.
type Pool struct {
	o    Options
	life context.Context
	stop context.CancelFunc
	// patience is for the ends of sessions.
	patience context.Context
	giveUp   context.CancelFunc
	work     sync.WaitGroup // openings, streams, endings

	mu     sync.Mutex
	closed bool
	// sessions are those that are found; live also those that were forgotten and
	// are still in use.
	sessions map[place]*session
	live     map[*session]struct{}
}

// place is where a session is found.
type place struct {
	server Server
	key    Key
}

// New returns an empty Pool. Close ends it.
func New(o Options) *Pool {
	p := &Pool{o: o, sessions: map[place]*session{}, live: map[*session]struct{}{}}
	p.life, p.stop = context.WithCancel(context.Background())
	p.patience, p.giveUp = context.WithCancel(context.Background())
	return p
}

// Lease returns the session of the key at the server for a use, opened if there
// is none. Of several callers at once one opens it. What is sent in the session
// apart from any request is sent for the caller of ctx, until another one comes.
// Errors: ErrFull, ErrClosed, that of ctx, or why the server opens none.
func (p *Pool) Lease(ctx context.Context, at Server, key Key) (*Lease, error) {
	for {
		s, err := p.find(at, key, credential.From(ctx))
		if err != nil {
			return nil, err
		}
		select {
		case <-s.opened:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if s.err != nil {
			return nil, s.err
		}
		if l := p.use(s); l != nil {
			l.awaitStream(ctx)
			return l, nil
		}
	}
}

// find returns the session of a key, perhaps one that is still being opened.
func (p *Pool) find(at Server, key Key, by *credential.Caller) (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	where := place{at, key}
	if s := p.sessions[where]; s != nil {
		s.by.Store(by)
		return s, nil
	}
	if err := p.makeRoom(where); err != nil {
		return nil, err
	}
	s := newSession(p, where)
	s.by.Store(by)
	p.sessions[where], p.live[s] = s, struct{}{}
	p.work.Go(s.open)
	return s, nil
}

// makeRoom ends idle sessions as long as there are too many for one more at a
// place, in all or of its caller. Called under mu.
func (p *Pool) makeRoom(at place) error {
	here := func(s *session) bool { return s.server == at.server }
	own := func(s *session) bool { return s.key.Principal == at.key.Principal }
	total, perServer := p.o.Bounds()
	for {
		var of []func(*session) bool   // of which sessions there are too many
		told := at.key.Principal != "" // from others
		switch {
		case told && p.count(own, here) >= gatewayconfig.Share(perServer):
			of = append(of, own, here)
		case told && p.count(own) >= gatewayconfig.Share(total):
			of = append(of, own)
		case p.count(here) >= perServer:
			of = append(of, here)
		case len(p.live) < total:
			return nil
		}
		// Those of others stay if the end of one of the caller's own helps.
		idle := p.idlest(append(of, own)...)
		if idle == nil {
			idle = p.idlest(of...)
		}
		if idle == nil {
			if p.o.Refused != nil {
				p.o.Refused()
			}
			return ErrFull
		}
		p.forget(idle)
	}
}

// idlest returns the session that is idle for longest, of those that are all of
// these; nil if there is none. Called under mu.
func (p *Pool) idlest(are ...func(*session) bool) (oldest *session) {
	for _, s := range p.sessions {
		if s.uses == 0 && s.isOpen() && s.is(are) && (oldest == nil || s.idleSince.Before(oldest.idleSince)) {
			oldest = s
		}
	}
	return oldest
}

// count returns the number of sessions that are all of these. Called under mu.
func (p *Pool) count(are ...func(*session) bool) (n int) {
	for s := range p.live {
		if s.is(are) {
			n++
		}
	}
	return n
}

// use counts a use of an open session; nil if it was forgotten meanwhile.
func (p *Pool) use(s *session) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.forgotten {
		return nil
	}
	s.uses++
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	return &Lease{session: s}
}

// release ends a use.
func (p *Pool) release(l *Lease) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := l.session
	if l.over {
		return
	}
	l.over = true
	delete(s.calls, l)
	if s.uses--; s.uses > 0 {
		return
	}
	if s.forgotten {
		p.end(s)
		return
	}
	s.rest()
}

// forget takes a session out, so that nobody else begins to use it. It ends with
// its last use. Called under mu.
func (p *Pool) forget(s *session) {
	if s.forgotten {
		return
	}
	s.forgotten = true
	delete(p.sessions, s.place)
	close(s.left)
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.uses == 0 && s.isOpen() {
		p.end(s)
	}
}

// end ends a session at its server, and the reading of its stream. Called under
// mu; again it does nothing.
func (p *Pool) end(s *session) {
	if _, ok := p.live[s]; !ok {
		return
	}
	delete(p.live, s)
	if s.stop != nil {
		s.stop()
	}
	if s.err != nil || s.lost {
		return
	}
	p.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.forLatest(p.patience), p.o.EndTimeout)
		defer cancel()
		if err := s.server.EndSession(ctx, s.at); err != nil {
			p.o.Log.Debug("pooled session could not be ended", zap.Error(err))
		}
	})
}

// Drop forgets the sessions of a server that is gone.
func (p *Pool) Drop(at Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions {
		if s.server == at {
			p.forget(s)
		}
	}
}

// Count returns the number of sessions at a server.
func (p *Pool) Count(at Server) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count(func(s *session) bool { return s.server == at })
}

// Close ends all sessions at their servers, also those in use, and waits for
// that.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.stop()
	for s := range p.live {
		p.forget(s)
		if s.isOpen() {
			p.end(s)
		}
	}
	p.mu.Unlock()
	late := time.AfterFunc(p.o.CloseTimeout, p.giveUp)
	defer late.Stop()
	p.work.Wait()
	p.giveUp()
}
