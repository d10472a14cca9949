package bridge

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

const (
	// maxCalls bounds the requests of a session that have no answer yet. Those
	// whose client has left are forgotten for others.
	maxCalls = 1024
	// cancelGrace is how long an answer to a cancelled request is waited for: it
	// may be on its way, but there need not be one.
	cancelGrace = 5 * time.Second
	// sendTimeout bounds the writing of one message.
	sendTimeout = 5 * time.Minute
	// maxFaults is how many bad messages of one connection are logged.
	maxFaults = 5
)

var errTooManyCalls = errors.New("too many requests without an answer")

// peer is one connection with the sessions on it and their requests in flight.
type peer struct {
	bridge *Bridge
	conn   Conn
	began  time.Time
	gone   chan struct{} // closed when nothing of the connection is left
	asked  atomic.Bool   // somebody wants it to end
	faults int           // only receive's

	replies replies

	mu       sync.Mutex
	over     bool // no more calls
	next     int64
	calls    map[int64]*call
	sessions map[*backend]struct{}
}

// call is one request in flight. Its number is its id and its progress token on
// the connection.
type call struct {
	number  int64
	session *backend // nil for the bridge's own
	id      []byte   // the sender's id, raw
	token   []byte   // the sender's progress token, raw; nil if it has none
	box     *mailbox // nil if nobody waits for the answer
	// quiet is a call whose stream carries nothing but its answer.
	quiet bool
	// cancelled is a call that the server need not answer.
	cancelled bool
	// sent ends the sending of the request once its answer is there. Until sending
	// is false the message takes up memory.
	sent    context.CancelFunc
	sending bool
}

func newPeer(b *Bridge, conn Conn, began time.Time) *peer {
	return &peer{
		bridge: b, conn: conn, began: began, gone: make(chan struct{}),
		calls: map[int64]*call{}, sessions: map[*backend]struct{}{},
	}
}

// run reads the connection to its end.
func (p *peer) run() {
	err := p.read()
	asked := p.asked.Swap(true)
	b := p.bridge
	if !asked {
		b.o.Log.Warn("server ended", zap.Error(err), zap.Duration("after", time.Since(p.began).Round(time.Millisecond)))
	}
	// Whoever asks again is to meet the pause, so that comes first.
	b.ended(p, asked)
	p.finish()
	p.conn.Close(patience)
	b.mu.Lock()
	delete(b.peers, p)
	b.mu.Unlock()
	close(p.gone)
}

func (p *peer) read() (err error) {
	defer rescue.From(p.bridge.o.Log, &err)
	return p.conn.Receive(p.receive)
}

// close ends the connection and its sessions.
func (p *peer) close(patience time.Duration) {
	if !p.asked.Swap(true) {
		p.bridge.ended(p, true)
	}
	p.finish()
	p.conn.Close(patience)
	<-p.gone
}

// finish ends the sessions and answers what is in flight. Sessions become
// unknown first: whoever is told of the end can begin anew.
func (p *peer) finish() {
	p.mu.Lock()
	p.over = true
	var sessions []*backend
	for s := range p.sessions {
		close(s.gone)
		sessions = append(sessions, s)
	}
	clear(p.sessions)
	p.mu.Unlock()
	p.bridge.forget(sessions...)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		p.fail(c, "server "+p.bridge.o.Name+" ended")
	}
}

// fail ends a call with an error. Called under mu.
func (p *peer) fail(c *call, message string) {
	p.drop(c)
	if c.box != nil {
		c.box.seal(jsonrpc.AppendError(nil, c.id, mcp.CodeInternalError, message, nil))
	}
	c.sent()
}

// drop takes c from the calls in flight. Called under mu.
func (p *peer) drop(c *call) {
	delete(p.calls, c.number)
	if c.session != nil {
		delete(c.session.calls, c.number)
	}
}

// attach begins a session on the connection; nil if that is over.
func (p *peer) attach() *backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil
	}
	s := newBackend(p)
	p.sessions[s] = struct{}{}
	return s
}

// detach ends one session of a shared connection.
func (p *peer) detach(s *backend) {
	p.bridge.forget(s)
	var alone []string
	p.mu.Lock()
	if _, ok := p.sessions[s]; ok {
		delete(p.sessions, s)
		close(s.gone)
		for _, c := range s.calls {
			p.fail(c, "the session ended")
		}
		for uri := range s.uris {
			if !p.subscribed(uri) {
				alone = append(alone, uri)
			}
		}
	}
	p.mu.Unlock()
	if len(alone) > 0 {
		go p.unsubscribe(alone)
	}
}

// unsubscribe tells the server that nobody wants to hear of resources any more,
// if that is still so. Nobody hears its answers.
func (p *peer) unsubscribe(uris []string) {
	for _, uri := range uris {
		p.mu.Lock()
		p.next++
		number, again := p.next, p.subscribed(uri)
		p.mu.Unlock()
		if again {
			continue
		}
		params := append(jsonrpc.AppendQuote([]byte(`{"uri":`), []byte(uri)), '}')
		if p.tell(context.Background(), ownRequest(number, mcp.MethodResourcesUnsubscribe, params)) != nil {
			return // and would not take the others
		}
	}
}

// subscribed reports whether any session has the resource. Called under mu.
func (p *peer) subscribed(uri string) bool {
	for s := range p.sessions {
		if s.uris[uri] {
			return true
		}
	}
	return false
}

// waiting reports whether a client of the session waits for an answer.
func (p *peer) waiting(s *backend) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.oldest(s, true) != nil
}

// oldest returns the session's first call with a stream, nil if there is none.
// Called under mu.
func (p *peer) oldest(s *backend, quiet bool) *call {
	var found *call
	for _, c := range s.calls {
		if c.box != nil && (quiet || !c.quiet) && (found == nil || c.number < found.number) {
			found = c
		}
	}
	return found
}

// request sends a request of a session; body is the client's message, m where
// its members stand. The answer and all that belongs to it comes into box.
func (p *peer) request(s *backend, body []byte, m *jsonrpc.Message, quiet bool) (*call, error) {
	// Of its own, so that a call that lasts does not keep the whole message.
	id, token := bytes.Clone(m.ID.Of(body)), bytes.Clone(m.ProgressToken.Of(body))
	c := &call{session: s, id: id, token: token, box: newMailbox(), quiet: quiet}
	p.mu.Lock()
	full := !p.room(s)
	if !full {
		p.enter(c)
	}
	over := p.over
	p.mu.Unlock()
	switch {
	case full:
		return nil, errTooManyCalls
	case over:
		return c, nil // answered already
	}
	number := strconv.AppendInt(nil, c.number, 10)
	p.send(c, splice(body, edit{m.ID, number}, edit{m.ProgressToken, number}))
	return c, nil
}

// room reports whether the session may have another request, for which one that
// nobody waits for is forgotten if need be. Called under mu.
func (p *peer) room(s *backend) bool {
	if len(s.calls) < maxCalls {
		return true
	}
	var found *call
	for _, c := range s.calls {
		if c.box == nil && !c.sending && (found == nil || c.number < found.number) {
			found = c
		}
	}
	if found == nil {
		return false
	}
	p.drop(found)
	return true
}

// enter takes c among the calls in flight. Called under mu.
func (p *peer) enter(c *call) {
	p.next++
	c.number, c.sent = p.next, func() {}
	p.calls[c.number] = c
	if c.session != nil {
		c.session.calls[c.number] = c
	}
	if p.over {
		p.fail(c, "server "+p.bridge.o.Name+" ended")
	}
}

// send sends the message of a call, in the background: the answer may come
// before the sending is over.
func (p *peer) send(c *call, message []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	p.mu.Lock()
	c.sent, c.sending = cancel, true
	if p.calls[c.number] != c {
		cancel()
	}
	p.mu.Unlock()
	go func() {
		defer cancel()
		err := p.conn.Send(ctx, message)
		p.mu.Lock()
		defer p.mu.Unlock()
		c.sending = false
		if err != nil && p.calls[c.number] == c {
			p.bridge.o.Log.Warn("a request could not be sent", zap.Error(err))
			p.fail(c, "server "+p.bridge.o.Name+" did not take the request")
		}
	}()
}

// leave says that nobody reads the stream of c any more; unread is what was taken
// from it in vain. The request goes on (2025-11-25, basic/transports: a
// disconnect is no cancellation). What the server asked on the stream goes
// elsewhere, so that it does not wait for an answer forever.
func (p *peer) leave(c *call, unread [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest, _ := c.box.take()
	c.box = nil
	if c.session == nil || p.bridge.o.Shared {
		return // no other messages on it
	}
	for _, message := range append(unread, rest...) {
		var m jsonrpc.Message
		if m.Scan(message) == nil && m.Kind == jsonrpc.Request && !p.place(message, true) {
			p.unheard(m.ID.Of(message))
		}
	}
}

// ask makes a request of the bridge's own and returns the whole answer, or an
// error when the connection or ctx ends first.
func (p *peer) ask(ctx context.Context, method string, params []byte) ([]byte, error) {
	c := &call{box: newMailbox(), quiet: true}
	box := c.box
	p.mu.Lock()
	p.enter(c)
	p.mu.Unlock()
	p.send(c, ownRequest(c.number, method, params))
	select {
	case <-box.wake:
		answers, _ := box.take()
		return answers[0], nil
	case <-ctx.Done():
		p.leave(c, nil)
		return nil, ctx.Err()
	}
}

func ownRequest(number int64, method string, params []byte) []byte {
	message := strconv.AppendInt([]byte(`{"jsonrpc":"2.0","id":`), number, 10)
	message = append(append(message, `,"method":"`...), method...)
	return append(append(append(message, `","params":`...), params...), '}')
}

// tell sends a message that has no answer.
func (p *peer) tell(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return p.conn.Send(ctx, message)
}

// cancel returns the client's notifications/cancelled with the number of the
// request that it names at span, nil if no such request is in flight. The server
// should not answer that any more (2025-11-25, basic/utilities/cancellation), so
// it is forgotten: at once if nobody waits, else after cancelGrace, with the end
// of its stream.
func (p *peer) cancel(s *backend, body []byte, span jsonrpc.Span) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found *call // the last one: an id may be used again after its client has left
	for _, c := range s.calls {
		if !c.cancelled && bytes.Equal(c.id, span.Of(body)) && (found == nil || c.number > found.number) {
			found = c
		}
	}
	if found == nil {
		return nil
	}
	found.cancelled = true
	if found.box == nil {
		p.giveUp(found)
	} else {
		time.AfterFunc(cancelGrace, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.giveUp(found)
		})
	}
	return splice(body, edit{span, strconv.AppendInt(nil, found.number, 10)})
}

// giveUp ends a call without an answer. Called under mu.
func (p *peer) giveUp(c *call) {
	p.drop(c)
	if c.box != nil {
		c.box.end()
	}
	c.sent()
}
