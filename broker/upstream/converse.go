package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// Conversation is one request of a client to a server, and who hears the answer.
type Conversation struct {
	// Message is the request, sent as it is.
	Message []byte
	// Header goes with it, as Mcp-Param-* headers; nil for none. It cannot change
	// what the session and the message say themselves.
	Header http.Header
	// Each is called with each message of the answer, in order, the response
	// last. A message is valid during the call, in which nothing more is read. An
	// error ends the exchange.
	Each func(message []byte) error
}

// Converse sends one request of a client, once, and hands over the answer,
// message by message as it comes: notifications, in a session also requests of
// the server, then the response. Pings are answered here; a stateless server may
// ask nothing in this way, and what it asks is dropped like responses to others.
// A stream of a session that breaks is resumed, if the server gave its events ids
// (2025-11-25, basic/transports, Resumability and Redelivery): so may a server
// wait that closes its streams. A response counts with any HTTP status. An error without an id is the answer
// to the request if the status says that the request is at fault; it gets the
// request's id. The error is ErrSessionGone, that of Each, or says why there is
// no answer; the request may have arrived nevertheless. Only ctx bounds the time.
func (s *Server) Converse(ctx context.Context, in Session, c Conversation) (err error) {
	defer rescue.From(s.log, &err)
	var m jsonrpc.Message
	if err := m.Scan(c.Message); err != nil {
		return fmt.Errorf("the message is none: %w", err)
	}
	if m.Kind != jsonrpc.Request {
		return fmt.Errorf("a %v has no answer", m.Kind)
	}
	t := talk{link: s.of(in), id: m.ID.Of(c.Message), each: c.Each}
	resp, err := t.send(ctx, outgoing{
		verb: http.MethodPost, accept: typeBoth, body: c.Message, once: true, header: c.Header, id: t.id,
	})
	if err != nil {
		return cause(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	err = t.hear(ctx, resp)
	if taken, ok := errors.AsType[errTaken](err); ok {
		return taken.error
	}
	if err != nil {
		return cause(ctx, err)
	}
	return nil
}

// talk is a Conversation under way.
type talk struct {
	*link
	id   []byte // raw, of the request
	each func(message []byte) error
	// after is the id of the last event; empty for none. retry is how long the
	// server wants to be left alone before its stream is resumed.
	after string
	retry time.Duration
}

// resumeMin and resumeMax bound the wait before a stream is resumed.
const (
	resumeMin = 100 * time.Millisecond
	resumeMax = 5 * time.Second
)

// resumptions is how often a stream is resumed that brings nothing new.
const resumptions = 4

// hear reads the answer up to the response.
func (t *talk) hear(ctx context.Context, resp *http.Response) error {
	switch kind := mediaType(resp); {
	case kind == typeJSON:
		body, err := t.readAll(resp)
		if err != nil {
			return err
		}
		atFault := resp.StatusCode >= 400 && resp.StatusCode < 500
		answered, err := t.take(ctx, body, atFault)
		switch {
		case answered || errors.As(err, new(errTaken)):
			return err
		case resp.StatusCode != http.StatusOK:
			return statusError(resp.StatusCode) // tells more than the body
		case err != nil:
			return err
		}
		return errors.New("the answer does not belong to the request")
	case resp.StatusCode != http.StatusOK:
		return statusError(resp.StatusCode)
	case kind != typeStream:
		return errType(resp)
	}
	event := func(e sse.Event) error { return t.event(ctx, e) }
	err := t.resume(ctx, t.events(resp.Body, event), event)
	switch {
	case errors.Is(err, errFound):
		return nil
	case errors.Is(err, io.EOF):
		return errors.New("the stream ends before the answer")
	}
	return err
}

// event takes one event of the answer; errFound after the response.
func (t *talk) event(ctx context.Context, e sse.Event) error {
	if e.HasID && len(e.ID) <= longestEventID {
		t.after = string(e.ID)
	}
	if wait, ok := retryOf(e); ok {
		t.retry = wait
	}
	if !isMessage(e) {
		return nil
	}
	answered, err := t.take(ctx, e.Data, false)
	if answered && err == nil {
		return errFound
	}
	if errors.As(err, new(*jsonrpc.Error)) {
		return nil // the server's loss, not the stream's
	}
	return err
}

// resume reads on where a stream has ended with why, and returns why the last
// one has.
func (t *talk) resume(ctx context.Context, why error, event func(sse.Event) error) error {
	pause := backoff.Backoff{Min: resumeMin, Max: resumeMax}
	for tries := 0; tries < resumptions; tries++ {
		stopped := errors.Is(why, errFound) || errors.As(why, new(errTaken)) || errors.Is(why, sse.ErrTooLarge)
		if stopped || t.after == "" || mcp.Modern(t.version) || ctx.Err() != nil {
			return why
		}
		if err := backoff.Sleep(ctx, max(t.retry, pause.Next())); err != nil {
			return err
		}
		before := t.after
		_, err := t.stream(ctx, streaming{after: t.after, opened: func() {}, event: event})
		if errors.Is(err, ErrNoStream) || errors.Is(err, ErrSessionGone) {
			return why // it cannot be resumed
		}
		if why = err; t.after != before {
			tries = -1
			pause.Reset()
		}
	}
	return why
}

// take hands over what is for the client of one message, or of a batch
// (2025-03-26), and reports whether the response was among it. The error is
// errTaken, or says that data is no message.
func (t *talk) take(ctx context.Context, data []byte, atFault bool) (answered bool, err error) {
	var m jsonrpc.Message
	if err := m.Scan(data); err != nil {
		return false, fmt.Errorf("the server sends no JSON-RPC message: %w", err)
	}
	if m.Kind != jsonrpc.Batch {
		return t.takeOne(ctx, &m, data, atFault)
	}
	_ = jsonrpc.Elements(data, func(item jsonrpc.Span) bool { // was scanned
		var m jsonrpc.Message
		if m.Scan(item.Of(data)) == nil {
			answered, err = t.takeOne(ctx, &m, item.Of(data), false)
		}
		return !answered && err == nil
	})
	return answered, err
}

func (t *talk) takeOne(ctx context.Context, m *jsonrpc.Message, message []byte, atFault bool) (answered bool, err error) {
	switch m.Kind {
	case jsonrpc.Response:
		id := m.ID.Of(message)
		switch {
		case sameID(id, t.id):
		case atFault && string(id) == "null":
			message = jsonrpc.ReplaceSpan(nil, message, m.ID, t.id)
		default:
			return false, nil
		}
		answered = true
	case jsonrpc.Request:
		if mcp.Modern(t.version) {
			return false, nil
		}
		if method, _ := jsonrpc.Unquote(nil, m.Method.Of(message)); string(method) == mcp.MethodPing {
			t.pong(ctx, m.ID.Of(message))
			return false, nil
		}
	case jsonrpc.Notification:
	default:
		return false, nil
	}
	if err := t.each(message); err != nil {
		return answered, errTaken{err}
	}
	return answered, nil
}
