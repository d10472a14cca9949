package broker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// openBackend returns the backend session of a client session at a server,
// opened if there is none. Errors: session.ErrNotFound, session.ErrUnavailable,
// or why the server did not open one.
func (b *Broker) openBackend(ctx context.Context, up *upstream.Server, r gatewayconfig.ResolveRequest) (session.Backend, error) {
	if r.Stale != "" {
		up.Recheck() // it may have restarted with other lists
	}
	id := session.ID(r.Session)
	// Also one that is open already is found only at the client's own endpoint.
	client, err := b.store.Get(ctx, id)
	if err != nil {
		return session.Backend{}, err
	}
	if client.Endpoint != r.Endpoint || !b.owns(r.Principal, client) {
		return session.Backend{}, session.ErrNotFound
	}
	var told session.Settings // of the attempt, if it is this caller's
	return b.opener.Open(ctx, session.Request{
		ID: id, Server: up.Place(), Stale: r.Stale,
		Enter: func(ctx context.Context, wait bool) (func(), bool, error) { return takeTurn(ctx, up, wait) },
		Open: func(ctx context.Context) (session.Backend, error) {
			var err error
			if told, err = b.store.Settings(ctx, id); err != nil {
				return session.Backend{}, err
			}
			sole := len(b.view.Load().config.Servers) == 1
			opened, err := up.OpenInTurn(ctx, upstream.Client{
				Version: client.Version, Info: client.ClientInfo,
				Capabilities: declaredTo(client.Capabilities, sole),
				Level:        told.Level, Subscriptions: urisAt(r.Server, told.Subscriptions),
			})
			return session.Backend(opened), err
		},
		Opened: func(ctx context.Context, backend session.Backend) {
			b.catchUp(ctx, up, id, told.Level, backend)
			b.hub.awaitJoin(ctx, id.Key(), heldKey{r.Server, backend.ID})
		},
		Discard: func(backend session.Backend) { b.endings.add(up, backend, credential.From(ctx)) },
	})
}

// turnPatience bounds the wait for a turn to open a backend session. With what
// opening it takes after that it is still less than the filter waits for the
// answer, so that who has waited in vain is told why.
const turnPatience = 14 * time.Second

// takeTurn is session.Request.Enter. The error is upstream.ErrBusy if it is not to
// be expected that the turn comes soon.
func takeTurn(ctx context.Context, up *upstream.Server, wait bool) (leave func(), ok bool, err error) {
	if !wait {
		turn, ok := up.TryTurn()
		return turn.Leave, ok, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, turnPatience, upstream.ErrBusy)
	defer cancel()
	turn, err := up.Turn(ctx)
	return turn.Leave, err == nil, err
}

// urisAt returns the subscriptions at one server.
func urisAt(server string, all []session.Subscription) []string {
	var uris []string
	for _, s := range all {
		if s.Server == server {
			uris = append(uris, s.URI)
		}
	}
	return uris
}

// catchUp tells a new backend session of a log level that was set while it was
// opened: who set it did not find the session yet.
func (b *Broker) catchUp(ctx context.Context, up *upstream.Server, id session.ID, told string, backend session.Backend) {
	now, err := b.store.Settings(ctx, id)
	if err != nil || now.Level == told || !up.Snapshot().Logging {
		return // without the store nothing works, with the next call it shows
	}
	if _, err := up.Request(ctx, upstream.Session(backend), mcp.MethodSetLevel, levelParams(now.Level)); err != nil {
		b.log.Debug("new backend session misses a log level", zap.Error(err))
	}
}

// endBackends ends backend sessions in the background, for who is known to have
// used them. Those of servers that are gone from the configuration, or from where they
// were, end by their own timeout.
func (b *Broker) endBackends(held []session.Held, by *credential.Caller) {
	v := b.view.Load()
	for _, h := range held {
		if up := v.servers[v.places[h.Server]]; up != nil {
			b.endings.add(up, h.Backend, by)
		}
	}
}

const (
	endingWorkers = 8
	endingQueue   = 4096
	// endTimeout bounds one goodbye, closeTimeout all that are left at the end.
	endTimeout   = 5 * time.Second
	closeTimeout = time.Second
)

// endings ends backend sessions at their servers, a few at a time and without
// anybody waiting. When too many are queued the rest is left to the servers'
// own timeouts.
type endings struct {
	log   *zap.Logger
	queue chan ending
}

type ending struct {
	up      *upstream.Server
	backend session.Backend
	by      *credential.Caller
}

func newEndings(log *zap.Logger) *endings {
	return &endings{log: log, queue: make(chan ending, endingQueue)}
}

// add queues a backend session and never blocks.
func (e *endings) add(up *upstream.Server, backend session.Backend, by *credential.Caller) {
	if backend.ID == "" {
		return
	}
	select {
	case e.queue <- ending{up, backend, by}:
	default:
		e.log.Warn("too many backend sessions to end, leaving one to its server's timeout")
	}
}

// run works off the queue until ctx ends, and then what is left in it, but for
// no longer than closeTimeout.
func (e *endings) run(ctx context.Context) {
	patience, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	context.AfterFunc(ctx, func() { time.AfterFunc(closeTimeout, giveUp) })
	var wg sync.WaitGroup
	for range endingWorkers {
		wg.Go(func() {
			for e.work(ctx, patience) {
			}
		})
	}
	wg.Wait()
}

// work ends one backend session; false if there is no more to do.
func (e *endings) work(ctx, patience context.Context) bool {
	var next ending
	select {
	case next = <-e.queue:
	default:
		select {
		case next = <-e.queue:
		case <-ctx.Done():
			return false
		}
	}
	if patience.Err() != nil {
		return false
	}
	within, cancel := context.WithTimeout(credential.With(patience, next.by), endTimeout)
	defer cancel()
	if err := next.up.EndSession(within, upstream.Session(next.backend)); err != nil {
		e.log.Debug("backend session could not be ended", zap.Error(err))
	}
	return true
}
