package broker

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

const (
	// tellTimeout bounds the way of one notification to one server.
	tellTimeout = 5 * time.Second
	// errandsAtOnce bounds what runs for clients that were answered already. Half
	// of it is room for one notification to as many servers as there may be.
	errandsAtOnce = 2048
	// largestTold bounds a notification that goes to servers as it is.
	largestTold = 16 << 10
)

// errands are short tasks that nobody waits for. The zero value is ready.
type errands struct {
	mu    sync.Mutex
	now   int
	of    map[string]int // by whose they are
	ended bool
	all   sync.WaitGroup
}

// run runs f apart, for somebody; false if there are too many, or after the end.
// Nobody has more than are free, so that others always find a place.
func (e *errands) run(whose string, f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || e.of[whose] >= errandsAtOnce-e.now {
		return false
	}
	if e.of == nil {
		e.of = make(map[string]int)
	}
	e.now++
	e.of[whose]++
	e.all.Go(func() {
		defer e.done(whose)
		f()
	})
	return true
}

func (e *errands) done(whose string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now--
	if e.of[whose]--; e.of[whose] == 0 {
		delete(e.of, whose)
	}
}

// end admits no more and waits for those under way.
func (e *errands) end() {
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.all.Wait()
}

// notification takes a message that has no answer. What concerns servers but
// names none of them goes to all: a request that is cancelled (the others ignore
// an id that they do not know), and changed roots. What is for one server, the
// filter has sent there, but for one that speaks no revision with sessions; the
// rest is for nobody.
func (b *Broker) notification(c *call) {
	if b.passAnswer(c) {
		return
	}
	if c.msg.Kind == jsonrpc.Notification && c.method == mcp.MethodNotifyCancelled {
		b.takeBack(c.r.Context(), c)
	}
	toAll := c.msg.Kind == jsonrpc.Notification &&
		(c.method == mcp.MethodNotifyCancelled ||
			c.method == mcp.MethodNotifyRootsChanged && objectMember(c.session.Capabilities, `"roots"`) != nil)
	if toAll {
		held, err := b.backendsOf(c)
		if err != nil {
			b.failStore(c, err)
			return
		}
		if message := c.told(); message != nil {
			whose := cmp.Or(countedFor(c).name, c.session.ID.Key().String())
			for _, h := range held {
				b.tell(h, whose, message, credential.From(c.r.Context()))
			}
		}
	}
	c.w.WriteHeader(http.StatusAccepted)
}

// told returns the client's notification as servers get it, which is kept until
// the slowest of them has it: as it is, or if that is large with nothing but what
// it must have. The reason of a cancellation is optional, and for people
// (2025-11-25, basic/utilities/cancellation). Nil for one whose id alone is large.
func (c *call) told() []byte {
	if len(c.body) <= largestTold {
		return c.body
	}
	message := []byte(`{"jsonrpc":"2.0","method":"` + c.method + `"`)
	if c.method == mcp.MethodNotifyCancelled {
		id := c.msg.Cancelled.Of(c.body)
		if len(id) == 0 || len(id) > largestTold {
			return nil
		}
		message = append(append(append(message, `,"params":{"requestId":`...), id...), '}')
	}
	return append(message, '}')
}

// heldServer is an open backend session with its server.
type heldServer struct {
	name    string
	up      *upstream.Server
	session upstream.Session
}

// backendsOf returns the open backend sessions of the client's session at
// servers that are still configured.
func (b *Broker) backendsOf(c *call) ([]heldServer, error) {
	held, err := b.store.Backends(c.r.Context(), c.session.ID)
	if err != nil {
		return nil, err
	}
	return c.view.present(c.endpoint, held), nil
}

// present returns those whose servers the endpoint shows. Where a server has
// come to speak no revision with sessions, nothing is left of its sessions.
func (v *view) present(endpoint string, held []session.Held) []heldServer {
	var out []heldServer
	for _, h := range held {
		name := v.places[h.Server]
		if up := v.server(endpoint, name); up != nil && !modernOnly(up.Snapshot()) {
			out = append(out, heldServer{name, up, upstream.Session(h.Backend)})
		}
	}
	return out
}

// tell sends a message of somebody to one server, in the background.
func (b *Broker) tell(to heldServer, whose string, message []byte, by *credential.Caller) {
	started := b.errands.run(whose, func() {
		ctx, cancel := context.WithTimeout(credential.With(b.life, by), tellTimeout)
		defer cancel()
		if err := to.up.Tell(ctx, to.session, message); err != nil {
			b.log.Debug("notification of a client does not reach its server", zap.String("server", to.name), zap.Error(err))
		}
	})
	if !started {
		b.log.Warn("too many notifications under way, dropping one", zap.String("server", to.name))
	}
}
