package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/principal"
	"mcp-gateway/internal/resourceuri"
	"mcp-gateway/internal/sse"
	"mcp-gateway/internal/tag"
)

const (
	// renewMin and renewMax bound the pauses between attempts to replace a
	// backend session that its server has forgotten.
	renewMin, renewMax = 500 * time.Millisecond, time.Minute
	// storeRetry is when the store is asked again that has not answered.
	storeRetry = 5 * time.Second
)

// merge puts what the servers of a client session say on their event streams on
// the client's: of the backend sessions that are open, and of those opened
// later, by whichever replica. Each message is on one stream only, since the
// client has no other here.
//
// Of every server one event is read and handed over, then the next. So a client
// that does not read holds at most one event of each server, and a server that
// says much, or hangs, keeps no other waiting.
type merge struct {
	broker  *Broker
	session session.Session
	stream  *stream
	// resume holds ids of events to resume behind, by server.
	resume map[string]string
	// who opened the stream, for the rules about who may use what.
	who   *principal.Principal
	until until
	// leave tells that the client's stream takes no place any more.
	leave func()
	// looked takes a token when a look is over, and again makes the next one due.
	looked chan struct{}
	again  *time.Timer

	joined   map[string]*joined   // by server
	observed map[string]*observed // by server without sessions
	all      sync.WaitGroup

	mu       sync.Mutex
	renewals map[string]*backoff.Backoff // by server; outlive the sessions
}

// joined is a backend session whose event stream is merged.
type joined struct {
	heldServer
	leave context.CancelFunc
	// over: the server had forgotten the session and that was seen to. The new
	// one may have the same id.
	over atomic.Bool
}

// begin prepares to look, which is due at once.
func (m *merge) begin() {
	m.joined, m.renewals = make(map[string]*joined), make(map[string]*backoff.Backoff)
	m.observed = make(map[string]*observed)
	m.looked = make(chan struct{}, 1)
	m.again = time.AfterFunc(0, func() { wakeUp(m.stream.look) })
}

// end waits until nothing is heard of any server. The stream has ended.
func (m *merge) end() {
	m.all.Wait()
	m.stream.awaitTurn() // if nobody has looked yet: the next stream relies on it
	m.again.Stop()
}

// lookOnce looks, says so, and has it be done again after a while.
func (m *merge) lookOnce() {
	m.stream.awaitTurn()
	again := touchEvery // in case news was lost
	switch err := m.look(m.stream.open); {
	case errors.Is(err, session.ErrNotFound):
		m.broker.endSession(m.session.ID.Key())
	case err != nil:
		again = storeRetry
	}
	m.again.Reset(backoff.Jitter(again))
	m.looked <- struct{}{}
}

// look joins and leaves streams as the session's backend sessions are now.
func (m *merge) look(ctx context.Context) error {
	if !m.broker.view.Load().admits(m.who) {
		m.stream.end()
		return nil
	}
	if err := m.observe(ctx); err != nil {
		return err
	}
	held, err := m.broker.store.Backends(ctx, m.session.ID)
	if err != nil {
		return err
	}
	open := make(map[string]heldServer)
	for _, h := range m.broker.view.Load().present(m.session.Endpoint, held) {
		open[h.name] = h
	}
	for name, j := range m.joined {
		if j.heldServer != open[name] || j.over.Load() {
			j.leave()
			m.broker.hub.left(m.stream, heldKey{name, j.session.ID})
			delete(m.joined, name)
		}
	}
	for name, h := range open {
		if m.joined[name] != nil {
			continue
		}
		within, leave := context.WithCancel(ctx)
		j := &joined{heldServer: h, leave: leave}
		m.joined[name] = j
		after := m.resume[name]
		delete(m.resume, name)
		m.all.Add(1)
		m.join(within, h, after, func(err error, lived time.Duration) {
			defer m.all.Done()
			defer leave()
			if errors.Is(err, upstream.ErrSessionGone) {
				m.renew(ctx, h, lived)
				j.over.Store(true)
				wakeUp(m.stream.look)
			}
		})
	}
	return nil
}

// join listens to one server until ctx ends, it turns out to have no stream, or
// the session is gone; then it calls done, by another goroutine.
func (m *merge) join(ctx context.Context, h heldServer, after string, done func(err error, lived time.Duration)) {
	marker, began := tag.NewMarker([]byte(m.session.ID), h.name), time.Now()
	h.up.ListenApart(ctx, h.session, upstream.Listener{
		After:   after,
		Settled: func(error) { m.broker.hub.settled(ctx, m.stream, heldKey{h.name, h.session.ID}) },
		Message: func(message, id []byte) error { return m.pass(ctx, h, &marker, message, id) },
	}, func(err error) { done(err, time.Since(began)) })
}

// renew replaces a backend session that its server has forgotten, because nobody
// else may notice: the client perhaps only listens. The news of the old one's end
// makes look leave it, which must not end this.
func (m *merge) renew(ctx context.Context, h heldServer, lived time.Duration) {
	for ; backoff.Sleep(ctx, m.pause(h.name, lived)) == nil && m.hasSessions(h); lived = 0 {
		_, err := m.broker.openBackend(ctx, h.up, gatewayconfig.ResolveRequest{
			Session: string(m.session.ID), Server: h.name, Endpoint: m.session.Endpoint, Stale: h.session.ID,
			Principal: m.session.Principal,
		})
		if err == nil || errors.Is(err, session.ErrNotFound) {
			return
		}
		m.broker.log.Debug("backend session of a client that listens cannot be renewed", zap.String("server", h.name), zap.Error(err))
	}
}

// hasSessions reports whether a server is there that may open a session.
func (m *merge) hasSessions(h heldServer) bool {
	return m.broker.view.Load().server(m.session.Endpoint, h.name) == h.up && !modernOnly(h.up.Snapshot())
}

// pause returns how long to wait before a renewal. It grows from one to the next
// unless a session has lived: a server may forget each as soon as it has it.
func (m *merge) pause(server string, lived time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.renewals[server]
	if b == nil {
		b = &backoff.Backoff{Min: renewMin, Max: renewMax}
		m.renewals[server] = b
	}
	if lived > 2*renewMax {
		b.Reset()
	}
	return b.Next()
}

// pass hands one message over to the client's stream, or only an event's id.
func (m *merge) pass(ctx context.Context, h heldServer, marker *tag.Marker, message, id []byte) error {
	e := sse.Event{HasID: id != nil}
	if id != nil {
		e.ID = marker.AppendMerged(nil, id)
	}
	if message != nil && m.hidden(h, message) {
		if message = nil; id == nil {
			return nil
		}
	}
	if message != nil {
		if m.refused(ctx, h, message) {
			return nil
		}
		e.Name, e.HasData = []byte("message"), true
		e.Data = fromserver.Rewrite(nil, message, marker, m.broker.view.Load().label(h.name))
	}
	select {
	case m.stream.events <- sse.AppendEvent(nil, e):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hidden reports whether a message tells of a resource that the session's view,
// a rule of its server, or a rule about who may use what, does not show; or comes
// from a server of which nothing is for the client.
func (m *merge) hidden(h heldServer, message []byte) bool {
	var msg jsonrpc.Message
	if msg.Scan(message) != nil || msg.Kind != jsonrpc.Notification {
		return false
	}
	v := m.broker.view.Load()
	g := v.groupOf(m.who)
	if !reachesAny(g, m.session.Endpoint, h.name) {
		return true
	}
	method, _ := jsonrpc.Unquote(nil, msg.Method.Of(message))
	if string(method) != mcp.MethodNotifyResourceUpdated {
		return false
	}
	uri, ok := jsonrpc.Unquote(nil, msg.URI.Of(message))
	return !ok || !m.follows(v, h.name, string(uri))
}

// follows reports whether the client may be told of a resource, by the URI that its
// server has for it.
func (m *merge) follows(v *view, server, uri string) bool {
	shown := v.catalog.View(m.session.Endpoint)
	if shown == nil {
		return false
	}
	exposed := resourceuri.Join(v.label(server), uri)
	owner, own, ok := shown.Resource(exposed)
	return ok && owner == server && mayFollow(v.groupOf(m.who), m.session.Endpoint, owner, exposed, own)
}

// refused answers a request that the client has not declared to understand, and
// that the server must not send therefore (2025-11-25, basic/lifecycle,
// Operation), or of a server of which nothing is for the client.
func (m *merge) refused(ctx context.Context, h heldServer, message []byte) bool {
	var msg jsonrpc.Message
	if msg.Scan(message) != nil || msg.Kind != jsonrpc.Request {
		return false
	}
	method, _ := jsonrpc.Unquote(nil, msg.Method.Of(message))
	code, words := refusal(m.session.Capabilities, string(method), msg.Params.Of(message))
	if !reachesAny(m.broker.view.Load().groupOf(m.who), m.session.Endpoint, h.name) {
		code, words = mcp.CodeMethodNotFound, "the client does not offer this"
	}
	if code == 0 {
		return false
	}
	answer := jsonrpc.AppendError(nil, msg.ID.Of(message), code, words, nil)
	if err := h.up.Tell(ctx, h.session, answer); err != nil {
		m.broker.log.Debug("refusal does not reach the server", zap.String("server", h.name), zap.Error(err))
	}
	return true
}
