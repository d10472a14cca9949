// Package ferry carries calls of clients of the stateless revisions to servers
// of those with sessions. A call lives apart from the request that began it: while
// the server works it belongs to that request, whose end cancels it. When the
// server asks for something, the request is answered with that, and the call waits
// for another request to bring it (2026-07-28, basic/patterns/mrtr), to whichever
// replica that comes.
package ferry

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/pool"
	"mcp-gateway/broker/requeststate"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
)

const (
	// gatherFor is how long what a server asks for comes together, after the last.
	gatherFor = 50 * time.Millisecond
	// heldFor is how long a call waits for input.
	heldFor = 10 * time.Minute
	// tellTimeout bounds one message to a server, or to another replica.
	tellTimeout = 5 * time.Second
)

// Upstream is what a crossing needs of an upstream.Server.
type Upstream interface {
	pool.Server
	Converse(ctx context.Context, in upstream.Session, c upstream.Conversation) error
	Changed()
}

// Options are what a Ferry needs.
type Options struct {
	Log    *zap.Logger
	Pool   *pool.Pool
	Sealer *requeststate.Sealer
	// Instance names this replica, Send brings another one a message of a kind
	// that its Handle takes; false if certainly nobody got it.
	Instance string
	Send     func(ctx context.Context, instance, kind string, payload []byte) (bool, error)
	// Bounds returns how many calls there may be, and how many of them may wait for
	// input; they may change. A principal has a share of both.
	Bounds func() (calls, held int)
	// NotHeld is called for each call that ends because it cannot wait; nil for
	// nothing to do. It must not block.
	NotHeld func()
}

// ErrTooMany says that there are as many calls as may be.
var ErrTooMany = errors.New("too many calls are under way")

// Ferry carries calls. Safe for concurrent use.
type Ferry struct {
	o      Options
	life   context.Context
	stop   context.CancelCauseFunc
	prefix string // of the ids of calls, other than any client's
	ids    atomic.Int64

	mu    sync.Mutex
	ended bool
	calls map[string]*crossing // by id
	held  int
	// ofOne and heldOfOne count both by principal.
	ofOne, heldOfOne tally
	away             map[string]*remote // what other replicas hold, by exchange
	near             map[string]*Caller // of other replicas, by exchange
	work             sync.WaitGroup
}

// New returns a Ferry without any call. End ends it.
func New(o Options) *Ferry {
	c := &Ferry{
		o: o, prefix: "call-" + rand.Text()[:12] + "-",
		calls: map[string]*crossing{}, ofOne: tally{}, heldOfOne: tally{}, away: map[string]*remote{}, near: map[string]*Caller{},
	}
	c.life, c.stop = context.WithCancelCause(context.Background())
	return c
}

// End ends all calls and waits for them.
func (c *Ferry) End() {
	c.mu.Lock()
	c.ended = true
	c.stop(errStopping)
	c.mu.Unlock()
	c.work.Wait()
}

// apart runs f unless all is over.
func (c *Ferry) apart(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.work.Go(f)
	return true
}

// Call is one call of a client.
type Call struct {
	// Server names the server to the client; At is the server.
	Server string
	At     Upstream
	// Session tells which session of the server the call goes to.
	Session pool.Key
	// Message returns the request to send, under an id.
	Message func(id string) []byte
	// Method and Label are as in tolegacy.Answered; Binding is who and what may
	// bring input, with the target as the client wrote it.
	Method, Label string
	Binding       requeststate.Binding
	// Sessions is as in tolegacy.Answered.
	Sessions bool
	// Logging tells that the server has logging.
	Logging bool
	// Timeout bounds the call with all that it waits for; 0 means no bound.
	Timeout time.Duration
}

// Begin begins a call for a request. Leave must be called when the Caller is not
// read any more. The error is ErrTooMany.
func (c *Ferry) Begin(call Call, of Request) (*Caller, error) {
	x := &crossing{of: c, Call: call, id: c.prefix + strconv.FormatInt(c.ids.Add(1), 10), level: of.Level}
	ctx, cancel := context.WithCancelCause(credential.WithLatest(c.life, x.by.Load))
	x.ctx, x.cancel = ctx, cancel
	if call.Timeout > 0 {
		x.deadline = time.AfterFunc(call.Timeout, func() { cancel(errTimeout) })
	}
	k := newCaller(of)
	x.take(k)
	c.mu.Lock()
	defer c.mu.Unlock()
	if most, _ := c.o.Bounds(); c.ended || len(c.calls) >= most || c.ofOne.full(x.Session.Principal, most) {
		x.stopTimers()
		cancel(nil)
		return nil, ErrTooMany
	}
	c.calls[x.id] = x
	c.ofOne.add(x.Session.Principal, 1)
	c.work.Go(x.run)
	return k, nil
}

// Retry is a request that brings input.
type Retry struct {
	Request
	// State was opened by the Sealer; it names a call.
	State requeststate.State
	// Responses is inputResponses, a raw object; nil for none.
	Responses []byte
}

// Continue brings a call its input, here or at the replica that holds it. As of
// Begin; what is wrong with the input, or that the call is over, is in the answer.
func (c *Ferry) Continue(r Retry) *Caller {
	k := newCaller(r.Request)
	if r.State.Instance != c.o.Instance {
		c.continueAway(k, r)
		return k
	}
	c.continueHere(k, r.State, r.Responses)
	return k
}

func (c *Ferry) continueHere(k *Caller, state requeststate.State, responses []byte) {
	c.mu.Lock()
	x := c.calls[state.Call]
	c.mu.Unlock()
	if x == nil {
		k.end(Message{Bytes: misfit(k, over), Last: true})
		return
	}
	x.resume(k, state.Round, responses)
}

// hold counts a call that waits for input; false if there are too many.
func (c *Ferry) hold(x *crossing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, most := c.o.Bounds(); c.held >= most || c.heldOfOne.full(x.Session.Principal, most) {
		if c.o.NotHeld != nil {
			c.o.NotHeld()
		}
		return false
	}
	c.held++
	c.heldOfOne.add(x.Session.Principal, 1)
	return true
}

// Count returns how many calls there are, and how many of them wait for input.
func (c *Ferry) Count() (calls, held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls), c.held
}

func (c *Ferry) unhold(x *crossing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held--
	c.heldOfOne.add(x.Session.Principal, -1)
}

// forget takes a call out that is over.
func (c *Ferry) forget(x *crossing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[x.id] != nil {
		delete(c.calls, x.id)
		c.ofOne.add(x.Session.Principal, -1)
	}
}

// tally counts by principal; those who are not told from others have no name.
type tally map[string]int

func (t tally) add(name string, n int) {
	if t[name] += n; t[name] == 0 {
		delete(t, name)
	}
}

// full reports whether a principal has its share of a limit.
func (t tally) full(name string, limit int) bool {
	return name != "" && t[name] >= gatewayconfig.Share(limit)
}
