package upstream

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/outbound"
	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// longestEventID bounds the id of an event that is remembered and passed on.
const longestEventID = 1024

// Listener takes what a server says on the event stream of a client's session.
type Listener struct {
	// After is the id of the event to resume behind, as the server gave it;
	// empty for a new stream.
	After string
	// Settled is called once: when the server has opened the stream, without an error,
	// or the first attempt has failed. Nil for nobody who waits.
	Settled func(err error)
	// Message is called with each message that is for the client, in order, and
	// the id of its event, nil if it has none. The message is nil for an event
	// that only brings an id. Both are valid during the call, in which nothing
	// more is read. Its error ends Listen.
	Message func(message, id []byte) error
}

// errTaken wraps an error of Listener.Message.
type errTaken struct{ error }

func (e errTaken) Unwrap() error { return e.error }

// Listen keeps the event stream of a client's session open (2025-11-25,
// basic/transports, Listening for Messages from the Server): one that breaks or
// ends is opened again and resumed, after the time that the server wants or else
// with growing pauses. It answers pings, and turns announcements of changed
// lists into Changed, since the client hears of changes from the gateway. It
// returns ErrNoStream, ErrSessionGone, the error of Message, or that of ctx.
func (s *Server) Listen(ctx context.Context, in Session, o Listener) error {
	ended := make(chan error, 1)
	s.ListenApart(ctx, in, o, func(err error) { ended <- err })
	return <-ended
}

// ListenApart is Listen that does not wait: done is called, by another goroutine,
// with what Listen returns. While the server says nothing it holds no stack.
func (s *Server) ListenApart(ctx context.Context, in Session, o Listener, done func(error)) {
	h := &listening{
		server: s, link: s.of(in), ctx: ctx, o: o, done: done, after: o.After,
		retry: backoff.Backoff{Min: s.timing.retryMin, Max: s.timing.retryMax},
	}
	go h.run()
}

// listening is one Listen. At any time one goroutine has it, or none.
type listening struct {
	server *Server
	link   *link
	ctx    context.Context
	o      Listener
	done   func(error)
	retry  backoff.Backoff
	after  string // the id to resume behind
	// Of the attempt at hand: its stream, nil until that is open, and how long the
	// server wants it to stay closed when it has ended.
	began  time.Time
	body   io.ReadCloser
	parser *sse.Parser
	pause  time.Duration
	// awaited: the next read of it does not wait.
	awaited bool
}

// heard goes on where the stream had nothing more to say.
func (h *listening) heard() {
	h.awaited = true
	h.run()
}

// run reads until the stream says nothing or is over.
func (h *listening) run() {
	for {
		err := h.read()
		if err == nil {
			return
		}
		if err = h.again(err); err != nil {
			h.done(err)
			return
		}
	}
}

func (h *listening) settle(err error) {
	if h.o.Settled != nil {
		h.o.Settled(err)
		h.o.Settled = nil
	}
}

// chunks are for reading of streams: a quiet one holds none.
var chunks = sync.Pool{New: func() any { return new([smallChunk]byte) }}

// read opens a stream, if none is open, and reads it until it ends. Without an
// error there is nothing to read now, and heard is called when there is: nothing of
// h is the caller's any more.
func (h *listening) read() (err error) {
	defer rescue.From(h.server.log, &err)
	if h.body == nil {
		h.began, h.pause = time.Now(), 0
		// No patience: there are servers that begin to answer with their first
		// event, and one that hangs costs no more than a silent one.
		body, err := h.link.openStream(h.ctx, h.after)
		if err != nil {
			return err
		}
		h.body, h.parser, h.awaited = body, &sse.Parser{Limit: h.link.bodyLimit}, false
		h.settle(nil)
	}
	small := chunks.Get().(*[smallChunk]byte)
	defer chunks.Put(small)
	chunk := small[:]
	for h.awaited || !outbound.Await(h.body, h.heard) {
		h.awaited = false
		n, ended := h.body.Read(chunk)
		if err := h.parser.Feed(chunk[:n], h.event); err != nil {
			return err
		}
		if ended != nil {
			return ended
		}
		if n == len(chunk) && n < largeChunk {
			chunk = make([]byte, largeChunk)
		}
	}
	return nil
}

// event takes one event.
func (h *listening) event(e sse.Event) error {
	if wait, ok := retryOf(e); ok {
		h.pause = wait
	}
	if e.HasID && len(e.ID) <= longestEventID {
		h.after = string(e.ID)
	}
	return h.server.hear(h.ctx, h.link, e, h.o.Message)
}

// again waits until the stream, which has ended with err, or could not be opened,
// is to be opened anew. An error says that it is not.
func (h *listening) again(err error) (end error) {
	defer rescue.From(h.server.log, &end)
	opened := h.body != nil
	if opened {
		_ = h.body.Close()
		h.body, h.parser = nil, nil
	}
	h.settle(err)
	s := h.server
	taken, stopped := errors.AsType[errTaken](err)
	switch {
	case h.ctx.Err() != nil:
		return h.ctx.Err()
	case stopped:
		return taken.error
	case errors.Is(err, ErrNoStream):
		return ErrNoStream
	case errors.Is(err, ErrSessionGone):
		if why := h.link.withoutStream(h.ctx); why != nil {
			return why
		}
	case errors.Is(err, sse.ErrTooLarge):
		s.log.Warn("server sends a client an event that is too large, going on behind it", zap.Int("limit", h.link.bodyLimit))
		h.after = "" // resuming would bring it again
	case refusedID(err):
		h.after = "" // perhaps the server does not know it any more
	}
	if time.Since(h.began) > s.timing.retryMax {
		h.retry.Reset()
	}
	wait := h.retry.Next()
	if opened && h.pause > 0 {
		// A server that closes its streams and says when to come back.
		h.retry.Reset()
		wait = max(h.pause, s.timing.retryMin)
		wait += rand.N(wait / 4)
	}
	s.log.Debug("event stream of a client's session has ended", zap.Error(err), zap.Duration("again", wait))
	return backoff.Sleep(h.ctx, wait)
}

// refusedID reports whether an error may be about the id to resume behind. A
// server that has not noticed yet that the stream before is closed says 409, a
// busy one 408 or 429: to both the id will be good later.
func refusedID(err error) bool {
	status, ok := errors.AsType[statusError](err)
	if !ok || status >= http.StatusInternalServerError {
		return false
	}
	return status != http.StatusConflict && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}

// hear takes one event. Servers of 2025-03-26 may put a batch into it.
func (s *Server) hear(ctx context.Context, l *link, e sse.Event, pass func(message, id []byte) error) error {
	var messages [][]byte
	if isMessage(e) {
		var m jsonrpc.Message
		switch err := m.Scan(e.Data); {
		case err != nil: // the server's loss, not the stream's
		case m.Kind == jsonrpc.Batch:
			_ = jsonrpc.Elements(e.Data, func(item jsonrpc.Span) bool { // was scanned
				var m jsonrpc.Message
				if m.Scan(item.Of(e.Data)) == nil && s.forClient(ctx, l, &m, item.Of(e.Data)) {
					messages = append(messages, item.Of(e.Data))
				}
				return true
			})
		case s.forClient(ctx, l, &m, e.Data):
			messages = append(messages, e.Data)
		}
	}
	if e.HasID && len(e.ID) > 0 && len(e.ID) <= longestEventID && len(messages) != 1 {
		// Behind the messages, as it says that they have come.
		messages = append(messages, nil)
	}
	for i, message := range messages {
		var id []byte
		if i == len(messages)-1 && len(e.ID) > 0 && len(e.ID) <= longestEventID {
			id = e.ID
		}
		if err := pass(message, id); err != nil {
			return errTaken{err}
		}
	}
	return nil
}

// forClient reports whether a message goes on to the client; else it was seen to.
func (s *Server) forClient(ctx context.Context, l *link, m *jsonrpc.Message, message []byte) bool {
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	switch {
	case m.Kind == jsonrpc.Request && string(method) == mcp.MethodPing:
		l.pong(ctx, m.ID.Of(message))
		return false
	case m.Kind == jsonrpc.Notification && changedBy(method) != 0:
		s.Changed()
		return false
	}
	// A response has no place here: it could be taken for the answer of another
	// server, to which the client has sent a request of that id.
	return m.Kind == jsonrpc.Request || m.Kind == jsonrpc.Notification
}
