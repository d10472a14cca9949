// Package upstream is one MCP server as the broker sees it: it shakes hands,
// reads all pages of all lists, watches for changes, and comes back after
// failures. It speaks Streamable HTTP with the revisions that have sessions, on
// a client of its own, because every byte that a server lists must stay as it
// is. It merges nothing and keeps no client sessions: it opens, uses, listens to
// and ends backend sessions when asked to.
package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/outbound"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

const (
	// defaultTimeout holds for a server without a list timeout.
	defaultTimeout = 10 * time.Second
	// connectTimeout bounds the TCP handshake.
	connectTimeout = 5 * time.Second
	// budget is how many request timeouts reading all lists may take.
	budget = 10
	// openings is how many client sessions may be opened at one server at once.
	openings = 16
	// tellings is how many notifications of clients may be on their way to one
	// server at once.
	tellings = 64
	// longestPause bounds how long a server may keep its stream closed.
	longestPause = time.Minute
)

// State is where a server is in its life.
type State string

// The states of a server. Its last good lists stay in each of them.
const (
	Connecting State = "connecting" // no answer yet, or a new session is due
	Ready      State = "ready"      // lists are as of Snapshot.ListedAt
	Failed     State = "failed"     // see Snapshot.Err; tried again
)

// Snapshot is what is known of a server at one time. Immutable.
type Snapshot struct {
	State State
	// Err is why State is Failed. It may hold addresses: not for clients.
	Err error
	// Version is the revision negotiated for discovery; empty before the first
	// initialize.
	Version mcp.Revision
	// Info is the server's serverInfo, raw; Instructions its own words.
	Info         json.RawMessage
	Instructions string
	// Capabilities are the server's, raw; nil before the first initialize, or if
	// they are larger than anything that makes sense. The flags tell what they
	// declare; Subscribe is resources.subscribe.
	Capabilities              json.RawMessage
	Tools, Prompts, Resources bool
	Subscribe                 bool
	Logging, Completions      bool
	// Listed reports that the names of tools and prompts were read once.
	Listed bool
	// ListedAt is when the lists were last known to be complete and current.
	ListedAt time.Time
	// Lists are the last good ones; never nil. The pointer is the same for as
	// long as nothing in them changes.
	Lists *Lists
}

// Options are what a Server needs besides its configuration.
type Options struct {
	// Name and Version present the gateway to the server (clientInfo).
	Name, Version string
	Log           *zap.Logger
	// Changed is called after each change of the Snapshot, from one goroutine.
	Changed func()
	// Before is the snapshot of the server that this one replaces, whose lists
	// serve until they are read anew; nil for none.
	Before *Snapshot
	// Transport makes the requests; nil means one of the Server's own.
	Transport http.RoundTripper
}

// timing holds the periods of a server's life.
type timing struct {
	// grace is how long the first listing waits for the event stream, to not be
	// done twice.
	grace time.Duration
	// debounce is the time for changes to come together after the first one.
	debounce time.Duration
	// relist is how often lists are read without a reason; less a jitter.
	relist time.Duration
	// recheck is the least time between two listings that Recheck asks for.
	recheck time.Duration
	// settle is how long Changed leaves a change to the stream of discovery.
	settle time.Duration
	// retryMin and retryMax bound the waits between attempts.
	retryMin, retryMax time.Duration
}

// Server is one MCP server.
type Server struct {
	client  *client
	info    []byte // clientInfo of the gateway
	log     *zap.Logger
	changed func()
	limits  limits
	timing  timing
	opening chan struct{} // holds a token for each session being opened
	telling chan struct{} // and for each notification on its way

	state     atomic.Pointer[Snapshot] // written by Run only
	known     kinds                    // lists that were read once; Run's
	recheck   chan struct{}
	checkedAt atomic.Int64 // Unix nanoseconds of the last listing
	toldAt    atomic.Int64 // and of the last call of Changed
	waiting   atomic.Bool  // for the time that Changed has to wait
}

// New returns a Server that does nothing until Run. It fails for a URL that is
// none.
func New(cfg gatewayconfig.Server, o Options) (*Server, error) {
	transport := o.Transport
	if transport == nil {
		transport = outbound.NewTransport(connectTimeout)
	}
	c, err := newClient(cfg, transport, 16<<20)
	if err != nil {
		return nil, err
	}
	info, err := json.Marshal(map[string]string{"name": o.Name, "version": o.Version})
	if err != nil {
		return nil, fmt.Errorf("encode the gateway's clientInfo: %w", err)
	}
	s := &Server{
		client:  c,
		info:    info,
		log:     o.Log.With(zap.String("server", cfg.Name)),
		changed: o.Changed,
		limits:  limits{pages: 1000, items: 10_000, bytes: 64 << 20},
		timing: timing{
			grace:    250 * time.Millisecond,
			debounce: 100 * time.Millisecond,
			relist:   5 * time.Minute,
			recheck:  5 * time.Second,
			settle:   time.Second,
			retryMin: 500 * time.Millisecond,
			retryMax: 30 * time.Second,
		},
		opening: make(chan struct{}, openings),
		telling: make(chan struct{}, tellings),
		recheck: make(chan struct{}, 1),
	}
	first := Snapshot{Lists: &Lists{}}
	if o.Before != nil {
		first = *o.Before
		first.Err = nil
		if first.Listed {
			s.known = tools | prompts
		}
	}
	first.State = Connecting
	s.state.Store(&first)
	return s, nil
}

// Snapshot returns what is known of the server now.
func (s *Server) Snapshot() *Snapshot { return s.state.Load() }

// Recheck asks for a new listing soon, because something made the server look
// different from what it was: a failed call, a lost session. Without an event
// stream that is the quickest way to notice a restart.
func (s *Server) Recheck() {
	if time.Since(time.Unix(0, s.checkedAt.Load())) < s.timing.recheck {
		return
	}
	select {
	case s.recheck <- struct{}{}:
	default:
	}
}

// Changed tells that the server has announced a change of its lists to a client.
// It mostly announces it on the stream of discovery as well; for the case that
// it does not, the lists are read anew after a while, however often it is called.
func (s *Server) Changed() {
	s.toldAt.Store(time.Now().UnixNano())
	if !s.waiting.CompareAndSwap(false, true) {
		return
	}
	sinceLast := time.Since(time.Unix(0, s.checkedAt.Load()))
	time.AfterFunc(max(s.timing.recheck-sinceLast, s.timing.settle), func() {
		s.waiting.Store(false)
		if s.checkedAt.Load() <= s.toldAt.Load() {
			s.Recheck()
		}
	})
}

// Run discovers the server and keeps its Snapshot up to date until ctx ends; it
// then ends the session that it used and closes idle connections.
func (s *Server) Run(ctx context.Context) {
	retry := backoff.Backoff{Min: s.timing.retryMin, Max: s.timing.retryMax}
	for ctx.Err() == nil {
		err := s.serve(ctx, retry.Reset)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, ErrSessionGone) {
			s.log.Info("server has forgotten the session, beginning a new one")
			s.update(func(next *Snapshot) { next.State = Connecting })
		} else {
			s.fail(err)
		}
		_ = retry.Wait(ctx)
	}
	s.client.http.CloseIdleConnections()
}

func (s *Server) fail(err error) {
	if before := s.Snapshot(); before.State != Failed {
		message := "server cannot be discovered, it is tried again"
		if before.Listed {
			message += "; serving its last known lists"
		}
		s.log.Warn(message, zap.Error(err))
	}
	s.update(func(next *Snapshot) { next.State, next.Err = Failed, err })
}

// update publishes a changed copy of the snapshot. Only Run's goroutine calls it.
func (s *Server) update(change func(next *Snapshot)) {
	next := *s.Snapshot()
	change(&next)
	s.state.Store(&next)
	s.changed()
}

// serve holds one session at the server, from initialize until it fails or ctx
// ends. It calls ready after each complete listing.
func (s *Server) serve(ctx context.Context, ready func()) error {
	l, h, err := s.client.open(ctx, self{offer: mcp.LatestLegacy, info: s.info, capabilities: all})
	if err != nil {
		return err
	}
	defer l.leave(ctx)
	s.greet(l, h)

	changed := newChanges()
	l.notified = func(method []byte) { changed.add(changedBy(method)) }
	watchCtx, stop := context.WithCancel(ctx)
	watched, settled := make(chan error, 1), make(chan struct{})
	go func() { watched <- l.watch(watchCtx, s.timing, changed, func() { close(settled) }) }()
	ended := false
	defer func() {
		stop()
		if !ended {
			<-watched
		}
	}()

	grace := time.NewTimer(s.timing.grace)
	defer grace.Stop()
	select {
	case <-settled:
		// The listing below comes after the opening, which is a change of
		// everything.
		changed.take()
	case <-grace.C:
	case <-ctx.Done():
		return ctx.Err()
	}

	relist := time.NewTimer(backoff.Jitter(s.timing.relist))
	defer relist.Stop()
	for due := everything; ; {
		began := time.Now()
		if err := s.list(ctx, l, h, due); err != nil {
			return err
		}
		ready()
		// A server that changes all the time is asked no more than a fifth of it.
		pause := max(s.timing.debounce, 4*time.Since(began))
	idle:
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-watched:
				ended = true
				if !errors.Is(err, ErrNoStream) {
					return err
				}
				s.log.Debug("server offers no event stream, reading its lists now and then")
				watched = nil
			case <-changed.wake:
				if err := backoff.Sleep(ctx, pause); err != nil {
					return err
				}
				if due = changed.take(); due != 0 {
					break idle
				}
			case <-s.recheck:
				due = everything
				break idle
			case <-relist.C:
				relist.Reset(backoff.Jitter(s.timing.relist))
				due = everything
				break idle
			}
		}
	}
}

// greet records what initialize has brought.
func (s *Server) greet(l *link, h hello) {
	if len(h.instructions) > longestInstructions {
		s.log.Warn("server's instructions are left out: too long",
			zap.Int("bytes", len(h.instructions)), zap.Int("limit", longestInstructions))
		h.instructions = ""
	}
	s.update(func(next *Snapshot) {
		next.Version, next.Info, next.Instructions = l.version, h.info, h.instructions
		next.Tools, next.Prompts, next.Resources = h.offers&tools != 0, h.offers&prompts != 0, h.offers&resources != 0
		next.Subscribe, next.Logging, next.Completions = h.subscribe, h.logging, h.completions
		next.Capabilities = nil
		if len(h.capabilities) <= longestCapabilities {
			next.Capabilities = h.capabilities
		}
	})
}

// list reads what the set names and publishes it, even if a part of it failed.
func (s *Server) list(ctx context.Context, l *link, h hello, set kinds) error {
	ctx, cancel := context.WithTimeoutCause(ctx, budget*s.client.timeout,
		fmt.Errorf("reading the lists takes more than %v", budget*s.client.timeout))
	defer cancel()
	s.checkedAt.Store(time.Now().UnixNano())
	old := s.Snapshot().Lists
	lists, got, err := l.read(ctx, set&h.offers, old, s.limits)
	forget(lists, h.offers)
	s.known |= got | everything&^h.offers
	s.update(func(next *Snapshot) {
		if !lists.equal(old) {
			next.Lists = lists
		}
		next.Listed = s.known&(tools|prompts) == tools|prompts
		if err == nil {
			next.State, next.Err, next.ListedAt = Ready, nil, time.Now()
		}
	})
	return err
}

// forget empties the lists that the server, perhaps a new version of it, does
// not offer.
func forget(l *Lists, offers kinds) {
	if offers&tools == 0 {
		l.Tools = nil
	}
	if offers&prompts == 0 {
		l.Prompts = nil
	}
	if offers&resources == 0 {
		l.Resources, l.Templates = nil, nil
	}
}
