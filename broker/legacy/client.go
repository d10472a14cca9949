package legacy

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// client is one HTTP+SSE client, as long as its stream is open.
type client struct {
	id    string // in the URL to which it posts; never the session's
	owner string // Config.Principal of who has opened the stream
	log   *zap.Logger
	loop  loop
	limit int64           // of waiting, in bytes
	held  *room           // of all clients
	idle  *time.Timer     // leaves; stopped by initialize
	ctx   context.Context // of its stream
	leave context.CancelFunc
	out   chan event    // for its stream
	queue chan *message // has room for maxWaiting
	work  sync.WaitGroup

	mu        sync.Mutex
	from      sender // as of its last message
	waiting   int
	size      int64 // of all that waits
	begun     bool  // initialize is under way or done
	listening bool
}

// message is what a client has posted.
type message struct {
	question
	method string
	asked  jsonrpc.Span // params.protocolVersion
	from   sender
	// counted is one that takes up room among those of all clients.
	counted bool
}

// accept queues a message; false if too much is waiting, or the stream has ended.
// What others wait for keeps no client from having one message on its way.
func (c *client) accept(m *message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(len(m.text))
	if c.ctx.Err() != nil || c.waiting == maxWaiting || c.waiting > 0 && c.size+size > c.limit {
		return false
	}
	if m.counted = c.held.take(c.owner, size); !m.counted && c.waiting > 0 {
		return false
	}
	c.waiting++
	c.size += size
	c.from.host, c.from.header = m.from.host, m.from.header
	c.queue <- m // has room: it holds no more than what waits
	return true
}

// release makes room for the next message.
func (c *client) release(m *message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free(m)
}

// releaseAll does the same for what is still in the queue after the stream's end.
func (c *client) releaseAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		select {
		case m := <-c.queue:
			c.free(m)
		default:
			return
		}
	}
}

func (c *client) free(m *message) {
	size := int64(len(m.text))
	c.waiting--
	c.size -= size
	if m.counted {
		c.held.give(c.owner, size)
	}
}

// sender is on whose behalf a message goes on: its own headers, and the session.
func (c *client) sender(m *message) sender {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := m.from
	from.session, from.version = c.from.session, c.from.version
	return from
}

// event is a message for the client's stream.
type event struct {
	text []byte
	done chan struct{} // closed when it is written, or cannot be
}

// emit puts a message on the client's stream, and returns when it is not needed
// any more.
func (c *client) emit(text []byte) {
	e := event{text, make(chan struct{})}
	select {
	case c.out <- e:
		<-e.done
	case <-c.ctx.Done():
	}
}

// pass sends on what the client posts, until its stream ends. Requests run at
// the same time; but one is on its way before the next is sent, and nothing
// overtakes initialize or what follows it.
func (c *client) pass() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case m := <-c.queue:
			gone := make(chan struct{})
			done := sync.OnceFunc(func() { close(gone) })
			c.work.Go(func() {
				defer done()
				defer rescue.Then(c.log, c.leave)
				c.send(m, done)
			})
			select {
			case <-gone:
			case <-c.ctx.Done():
				return
			}
		}
	}
}

func (c *client) send(m *message, written func()) {
	release := sync.OnceFunc(func() { c.release(m) })
	defer release()
	switch {
	case m.kind == jsonrpc.Request && m.method == mcp.MethodInitialize:
		c.initialize(m)
		return
	case m.kind == jsonrpc.Notification && m.method == mcp.MethodNotifyInitialized:
		if status := c.loop.send(c.ctx, c.sender(m), m.question, nil, nil); status == http.StatusAccepted {
			c.startListening()
		}
		return
	}
	status := c.loop.send(c.ctx, c.sender(m), m.question, written, func(text []byte, final bool, _ http.Header) {
		c.emit(text)
		if final {
			release()
		}
	})
	if status == http.StatusNotFound {
		c.leave() // the session has ended: the client learns it by its stream's end
	}
}

// initialize opens the session.
func (c *client) initialize(m *message) {
	c.mu.Lock()
	again := c.begun
	c.begun = true
	c.mu.Unlock()
	if again {
		c.emit(jsonrpc.AppendError(nil, m.id, mcp.CodeInvalidRequest, "the session is initialized already", nil))
		return
	}
	c.idle.Stop()
	q := m.question
	old := tooOld(q.text, m.asked)
	if old {
		q.text = setVersion(q.text, m.asked, mcp.Revision20250326)
	}
	c.loop.send(c.ctx, c.sender(m), q, nil, func(text []byte, final bool, head http.Header) {
		if final {
			text = c.opened(text, old, head.Get(mcp.HeaderSession))
		}
		c.emit(text)
	})
}

// opened keeps what the answer to initialize says, and returns it as the client
// is to see it. Without a session it may try again.
func (c *client) opened(text []byte, old bool, session string) []byte {
	at := negotiated(text)
	version, _ := jsonrpc.Unquote(nil, at.Of(text))
	c.mu.Lock()
	defer c.mu.Unlock()
	if session == "" || len(version) == 0 {
		c.begun = false
		c.idle.Reset(initTimeout)
		return text
	}
	c.from.session, c.from.version = session, mcp.Revision(version)
	if old && c.from.version == mcp.Revision20250326 {
		return setVersion(text, at, mcp.Revision20241105)
	}
	return text
}

// startListening has the session's own stream merged into the client's.
func (c *client) startListening() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listening || c.from.session == "" {
		return
	}
	c.listening = true
	c.work.Go(c.listen)
}

// listen keeps the session's GET stream open (2025-11-25, basic/transports,
// Listening for Messages from the Server) until the client leaves.
func (c *client) listen() {
	defer rescue.Then(c.log, c.leave)
	retry := backoff.Backoff{Min: 500 * time.Millisecond, Max: 30 * time.Second}
	at := position{}
	for c.ctx.Err() == nil {
		began := time.Now()
		c.mu.Lock()
		from := c.from
		c.mu.Unlock()
		switch c.loop.listen(c.ctx, from, &at, c.emit) {
		case http.StatusMethodNotAllowed:
			return
		case http.StatusNotFound:
			c.leave()
			return
		}
		if time.Since(began) > time.Minute {
			retry.Reset() // it lived; one that ends at once must not
		}
		if backoff.Sleep(c.ctx, max(at.retry, retry.Next())) != nil {
			return
		}
	}
}
