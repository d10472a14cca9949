package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// Exchanged is a server's whole answer over HTTP.
type Exchanged struct {
	// Type is application/json or text/event-stream; empty for an answer without
	// content, to a message that is no request.
	Type string
	Body []byte
}

// Exchange sends one message of a client as it is, once, in the client's
// session, with what header has besides, and returns the answer: to a request a response with its id, of a
// stream also the notifications before it. What the server asks in it is
// answered and left out, see sift. ctx bounds the time. The error is
// ErrSessionGone, or says why there is no answer; the message may have arrived
// nevertheless.
func (s *Server) Exchange(ctx context.Context, in Session, message []byte, header http.Header) (Exchanged, error) {
	var m jsonrpc.Message
	if err := m.Scan(message); err != nil {
		return Exchanged{}, fmt.Errorf("the message is none: %w", err)
	}
	l := s.of(in)
	resp, err := l.send(ctx, outgoing{verb: http.MethodPost, accept: typeBoth, body: message, once: true, header: header})
	if err != nil {
		return Exchanged{}, cause(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusAccepted, resp.StatusCode == http.StatusNoContent:
		return Exchanged{}, nil
	case resp.StatusCode != http.StatusOK:
		return Exchanged{}, statusError(resp.StatusCode)
	case m.Kind == jsonrpc.Notification, m.Kind == jsonrpc.Response:
		return Exchanged{}, nil // no answer is due
	}
	var body []byte
	kind, id := mediaType(resp), m.ID.Of(message)
	switch kind {
	case typeJSON:
		body, err = l.single(ctx, resp, id)
	case typeStream:
		body, err = l.collect(ctx, resp, id)
	default:
		err = errType(resp)
	}
	if err != nil {
		return Exchanged{}, cause(ctx, err)
	}
	return Exchanged{kind, body}, nil
}

// single returns the response of an answer that is no stream.
func (l *link) single(ctx context.Context, resp *http.Response, id []byte) ([]byte, error) {
	body, err := l.readAll(resp)
	if err != nil {
		return nil, err
	}
	kept, answered := l.sift(ctx, sse.Event{Data: body}, id)
	if !answered {
		return nil, errors.New("the answer does not belong to the request")
	}
	return kept[len(kept)-1].Data, nil
}

// collect returns the events of a stream up to the response, which must come.
func (l *link) collect(ctx context.Context, resp *http.Response, id []byte) ([]byte, error) {
	var all []byte
	err := l.events(resp.Body, func(e sse.Event) error {
		kept, answered := l.sift(ctx, e, id)
		for _, e := range kept {
			all = sse.AppendEvent(all, e)
		}
		switch {
		case answered:
			return errFound
		case len(all) > l.bodyLimit:
			return fmt.Errorf("the answer has more than %d bytes", l.bodyLimit)
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return all, nil
	}
	return nil, fmt.Errorf("read the answer: %w", err)
}

// sift returns what the client gets of an event, and whether its last is the
// response with the id. Requests are answered here: the client gets nothing
// before the response, and could answer none of them. Responses to others are
// dropped. Of a batch (2025-03-26) each message becomes an event.
func (l *link) sift(ctx context.Context, e sse.Event, id []byte) (kept []sse.Event, answered bool) {
	var m jsonrpc.Message
	if !isMessage(e) || m.Scan(e.Data) != nil {
		return []sse.Event{e}, false
	}
	if m.Kind != jsonrpc.Batch {
		if l.forCaller(ctx, &m, e.Data, id) {
			kept = []sse.Event{e}
		}
		return kept, kept != nil && m.Kind == jsonrpc.Response
	}
	_ = jsonrpc.Elements(e.Data, func(item jsonrpc.Span) bool { // was scanned
		part := item.Of(e.Data)
		var m jsonrpc.Message
		if m.Scan(part) == nil && l.forCaller(ctx, &m, part, id) {
			kept = append(kept, sse.Event{Name: e.Name, Data: part, HasData: true})
			answered = m.Kind == jsonrpc.Response
		}
		return !answered
	})
	if len(kept) > 0 {
		last := &kept[len(kept)-1]
		last.ID, last.HasID = e.ID, e.HasID
	}
	return kept, answered
}

// forCaller reports whether a message is for who has sent the request with the
// id. A request of the server is answered.
func (l *link) forCaller(ctx context.Context, m *jsonrpc.Message, message, id []byte) bool {
	switch m.Kind {
	case jsonrpc.Response:
		return sameID(m.ID.Of(message), id)
	case jsonrpc.Request:
		asked := m.ID.Of(message)
		if method, _ := jsonrpc.Unquote(nil, m.Method.Of(message)); string(method) == mcp.MethodPing {
			l.pong(ctx, asked)
		} else {
			// If that fails, the server waits in vain, and ctx ends it.
			_ = l.post(ctx, jsonrpc.AppendError(nil, asked, mcp.CodeInternalError, "the client cannot be asked in a call that is sent again", nil))
		}
		return false
	}
	return m.Kind == jsonrpc.Notification
}

// sameID reports whether two raw ids are the same value: a server may write it
// in another way than the client did.
func sameID(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 || bytes.Equal(a, b) {
		return len(a) > 0 && len(b) > 0
	}
	if a[0] == '"' || b[0] == '"' {
		x, isText := jsonrpc.Unquote(nil, a)
		y, both := jsonrpc.Unquote(nil, b)
		return isText && both && bytes.Equal(x, y)
	}
	x, err := strconv.ParseFloat(string(a), 64)
	if err != nil {
		return false
	}
	y, err := strconv.ParseFloat(string(b), 64)
	return err == nil && x == y
}
