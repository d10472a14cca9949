// Package broker answers what no single MCP server can: initialize, ping, all
// lists, what concerns all servers of a session, its event stream, and its end.
// It owns the client sessions, and tells the filter in Envoy who owns which name
// and which backend session belongs to a client session. Calls do not pass here:
// the filter sends them to their server. Only one that met a forgotten session
// comes, to be sent once more (replay.go).
//
// A request is served by public.go (clients, through Envoy) or internal.go (the
// filter, operators). What they serve from is a view: an immutable state that
// fleet.go replaces when the configuration or a server's lists change.
package broker

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/ferry"
	"mcp-gateway/broker/integrity"
	"mcp-gateway/broker/legacy"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/pool"
	"mcp-gateway/broker/requeststate"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/policy"
)

// Options adjust a Broker. The zero value is right for a gateway whose internal
// API is on a unix socket.
type Options struct {
	// Secret guards the internal API but for its health checks: requests must
	// carry it as bearer token; those to the public listener as mcp.HeaderProof.
	// Empty means no guard.
	Secret string
	// SessionTTL is how long the filter may reuse the answer about a backend
	// session; 0 means 30 s. It is also how long a call can still reach a server
	// after its client session was ended through another Envoy.
	SessionTTL time.Duration
	// Pins keeps what was trusted of servers, for all replicas; nil for a file, see
	// gatewayconfig.Pins.
	Pins integrity.Store
	// Transport makes the requests to all servers; nil means one for each.
	Transport http.RoundTripper
	// Roots are the certificate authorities of https servers and token endpoints
	// that have none of their own; nil means the system's.
	Roots *x509.CertPool
	// Loop makes the requests to the gateway's own endpoint that clients of older
	// forms cause; nil means one of its own.
	Loop http.RoundTripper
}

const (
	defaultSessionTTL = 30 * time.Second
	// openLease is how long opening a backend session may take.
	openLease = 30 * time.Second
)

// Broker serves the clients and the filters of one gateway.
type Broker struct {
	log     *zap.Logger
	metrics *metrics.Metrics
	store   session.Store
	opener  *session.Opener
	opts    Options
	methods map[string]func(*call)
	// modern are the methods of the stateless revisions.
	modern  map[string]func(*call)
	hub     *hub
	endings *endings
	errands errands
	streams streams
	mail    *mail
	// integrity judges what servers list.
	integrity *integrity.Keeper

	crossings *crossings

	// pool and ferry serve calls of clients without sessions at servers that
	// have some; sealer seals what such a client brings back.
	pool   *pool.Pool
	ferry  *ferry.Ferry
	sealer *requeststate.Sealer
	// taskKey seals ids of tasks for their principals.
	taskKey []byte
	// versionKey makes versions of routing tables, see catalog.Options.
	versionKey []byte

	oldClients *legacy.Clients

	// counts has the open event streams, by whose they are.
	counts openStreams

	startup
	view atomic.Pointer[view]
	life context.Context // of streams and servers
	stop context.CancelFunc

	// stale tells that a view newer than the one being made is due.
	stale atomic.Bool

	mu      sync.Mutex
	ended   bool
	config  gatewayconfig.Broker
	policy  *policy.Policy // of config
	applied int            // how many configurations there were
	servers []*server
	running sync.WaitGroup // one for each server that runs
}

// New returns a Broker that has no configuration yet. Its sessions live in
// store. Run must be called, and ends it.
func New(log *zap.Logger, store session.Store, opts Options) *Broker {
	if opts.SessionTTL <= 0 {
		opts.SessionTTL = defaultSessionTTL
	}
	b := &Broker{
		log:     log,
		opts:    opts,
		hub:     newHub(),
		endings: newEndings(log),
		mail:    newMail(log, store),
		startup: newStartup(),
		taskKey: newKey(opts.Secret, forTasks),

		versionKey: newKey(opts.Secret, forVersions),
	}
	b.metrics = metrics.New(counted, b.measure)
	b.store = session.Patient(b.metrics.Store(store))
	b.opener = session.NewOpener(b.store, openLease)
	b.crossings = newCrossings(b.mail)
	b.mail.handle(mailLook, b.lookAt)
	b.integrity = integrity.New(integrity.Options{Shared: opts.Pins, Changed: b.refresh, Log: log})
	b.methods, b.modern = b.methodTable(), b.modernTable()
	b.life, b.stop = context.WithCancel(context.Background())
	b.startFerry()
	b.oldClients = newOldClients(b)
	b.view.Store(emptyView())
	return b
}

// Run keeps house until ctx ends: it ends expired sessions, follows what other
// replicas do with sessions, and says goodbye to servers. Then it closes all
// streams and servers and returns nil.
func (b *Broker) Run(ctx context.Context) error {
	if b.life.Err() != nil {
		return errors.New("broker: run twice")
	}
	var wg sync.WaitGroup
	wg.Go(func() { b.sweep(ctx) })
	wg.Go(func() { b.follow(ctx) })
	wg.Go(func() { b.endings.run(ctx) })
	wg.Go(func() { b.mail.run(ctx) })
	wg.Go(func() { b.integrity.Run(ctx) })
	<-ctx.Done()
	b.ferry.End()
	b.pool.Close()

	b.mu.Lock()
	b.ended = true
	b.stop()
	b.mu.Unlock()
	b.errands.end()
	b.streams.end(b.hub.endAll)
	b.running.Wait()
	wg.Wait()
	return nil
}

// sweepEvery is how often expired sessions are looked for.
const sweepEvery = 30 * time.Second

// sweep ends the backend sessions of expired client sessions.
func (b *Broker) sweep(ctx context.Context) {
	const batch = 128
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for ctx.Err() == nil {
			ended, err := b.store.Expired(ctx, batch)
			for _, e := range ended {
				b.metrics.SessionEnded(metrics.Expired)
				b.endSession(e.Key)
				b.endBackends(e.Backends, nil)
			}
			if err != nil {
				b.log.Warn("expired sessions cannot be collected", zap.Error(err))
			}
			if err != nil || len(ended) < batch {
				break
			}
		}
	}
}

// follow closes the streams of sessions that ended anywhere, and lets the others
// join what was opened anywhere.
func (b *Broker) follow(ctx context.Context) {
	for inv := range b.store.Invalidations(ctx) {
		switch {
		case inv.Flush:
			b.hub.lookAll()
		case inv.Server == "":
			b.endSession(inv.Key)
		default:
			b.hub.look(inv.Key)
		}
	}
}

// endSession ends what is here of a session that has ended.
func (b *Broker) endSession(k session.Key) {
	b.hub.end(k)
	b.crossings.end(k)
}
