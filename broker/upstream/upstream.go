// Package upstream is one MCP server as the broker sees it: it shakes hands,
// reads all pages of all lists, watches for changes, and comes back after
// failures. It speaks Streamable HTTP, with sessions or without as the server
// does, on a client of its own, because every byte that a server lists must stay
// as it is. It merges nothing and keeps no client sessions: it opens, uses,
// listens to and ends backend sessions when asked to.
package upstream

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/credential"
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
	// Version is the revision used for discovery; empty before the first contact.
	Version mcp.Revision
	// Modern and Legacy tell whether the server speaks a stateless revision, and
	// one with sessions; both are false before the first contact.
	Modern, Legacy bool
	// Info is the server's serverInfo, raw; Instructions its own words.
	Info         json.RawMessage
	Instructions string
	// Capabilities are the server's, raw; nil before the first contact, or if
	// they are larger than anything that makes sense. The flags tell what they
	// declare, the second ones also what a server that speaks both ways declares
	// in a session; Subscribe is resources.subscribe.
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
	// TTL is the least time for which a list stays good, and Private says that
	// one is not for everybody (2026-07-28, server/utilities/caching). Lists read
	// in a session, and none at all, have no time and are private.
	TTL     time.Duration
	Private bool
	// Announced counts for each list how often the server has announced that it
	// changed, and it was read then.
	Announced Announced
}

// Announced are numbers of announcements.
type Announced struct{ Tools, Prompts, Resources int }

// and returns a with one more announcement of each list in the set.
func (a Announced) and(set kinds) Announced {
	for kind, n := range map[kinds]*int{tools: &a.Tools, prompts: &a.Prompts, resources: &a.Resources} {
		if set&kind != 0 {
			*n++
		}
	}
	return a
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
	// Roots are the certificate authorities of a server that names none of its own;
	// nil means the system's.
	Roots *x509.CertPool
	// Source has the tokens that the server is sent; nil for none.
	Source *credential.Source
}

// timing holds the periods of a server's life.
type timing struct {
	// grace is how long the first listing waits for the event stream, to not be
	// done twice.
	grace time.Duration
	// debounce is the time for changes to come together after the first one.
	debounce time.Duration
	// relist is how often lists are read without a reason; less a jitter. A
	// server that announces no changes may want more, but none gets more than
	// one in fastest.
	relist, fastest time.Duration
	// recheck is the least time between two listings that Recheck asks for.
	recheck time.Duration
	// settle is how long Changed leaves a change to the stream of discovery.
	settle time.Duration
	// retryMin and retryMax bound the waits between attempts.
	retryMin, retryMax time.Duration
}

// Server is one MCP server.
type Server struct {
	place   string
	client  *client
	era     gatewayconfig.Era
	info    []byte // clientInfo of the gateway
	log     *zap.Logger
	changed func()
	limits  limits
	timing  timing
	opening queue         // of sessions being opened
	telling chan struct{} // holds a token for each notification on its way

	state     atomic.Pointer[Snapshot] // written by Run only
	known     kinds                    // lists that were read once; Run's
	recheck   chan struct{}
	checkedAt atomic.Int64 // Unix nanoseconds of the last listing
	toldAt    atomic.Int64 // and of the last call of Changed
	waiting   atomic.Bool  // for the time that Changed has to wait
	doubted   atomic.Bool  // whether there are sessions, as none was opened
}

// New returns a Server that does nothing until Run. It fails for a URL that is
// none.
func New(cfg gatewayconfig.Server, o Options) (*Server, error) {
	transport, lasting := o.Transport, o.Transport
	if transport == nil {
		own, err := outbound.NewTrusting(connectTimeout, o.Roots, cfg.CACert)
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", cfg.Name, err)
		}
		transport, lasting = own, outbound.NewLasting(connectTimeout, own)
	}
	c, err := newClient(cfg, o, transport, lasting, 16<<20)
	if err != nil {
		return nil, err
	}
	info, err := json.Marshal(map[string]string{"name": o.Name, "version": o.Version})
	if err != nil {
		return nil, fmt.Errorf("encode the gateway's clientInfo: %w", err)
	}
	bounds := gatewayconfig.DefaultLimits()
	s := &Server{
		place:   cfg.Place(),
		client:  c,
		era:     cfg.Era,
		info:    info,
		log:     o.Log.With(zap.String("server", cfg.Name)),
		changed: o.Changed,
		limits:  limits{pages: 1000, items: gatewayconfig.MostItems, bytes: 64 << 20},
		timing: timing{
			grace:    250 * time.Millisecond,
			debounce: 100 * time.Millisecond,
			relist:   5 * time.Minute,
			fastest:  5 * time.Second,
			recheck:  5 * time.Second,
			settle:   time.Second,
			retryMin: 500 * time.Millisecond,
			retryMax: 30 * time.Second,
		},
		opening: queue{places: bounds.Openings, room: bounds.WaitingOpenings},
		telling: make(chan struct{}, tellings),
		recheck: make(chan struct{}, 1),
	}
	first := Snapshot{Lists: &Lists{}, Private: true}
	if o.Before != nil {
		first = *o.Before
		first.Err = nil
		if first.Listed {
			s.known = tools | prompts
		}
	}
	first.State = Connecting
	first.Modern = first.Modern && s.era != gatewayconfig.EraLegacy
	first.Legacy = first.Legacy && s.era != gatewayconfig.EraModern
	s.state.Store(&first)
	return s, nil
}

// Place is gatewayconfig.Server.Place.
func (s *Server) Place() string { return s.place }

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
		var listed time.Time
		err := s.serve(ctx, func() {
			if listed.IsZero() {
				listed = time.Now()
			}
		})
		if ctx.Err() != nil {
			break
		}
		if !listed.IsZero() && time.Since(listed) > s.timing.retryMax {
			retry.Reset() // it lived; a server that is lost after each listing must not
		}
		switch {
		case errors.Is(err, ErrSessionGone):
			s.log.Info("server has forgotten the session, beginning a new one")
			s.update(func(next *Snapshot) { next.State = Connecting })
		case errors.Is(err, errAnew):
			s.log.Info("server speaks or announces something else than before, beginning anew")
			s.update(func(next *Snapshot) { next.State = Connecting })
		default:
			s.fail(err)
		}
		_ = retry.Wait(ctx)
	}
	s.client.http.CloseIdleConnections()
	s.client.source.Close()
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
