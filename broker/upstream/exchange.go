package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"

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
// session and returns the answer, a stream up to the response. Pings in it are
// answered and left out. ctx bounds the time. The error is ErrSessionGone, or
// says why there is no answer; the message may have arrived nevertheless.
func (s *Server) Exchange(ctx context.Context, in Session, message []byte) (Exchanged, error) {
	l := s.of(in)
	resp, err := l.send(ctx, outgoing{verb: http.MethodPost, accept: typeBoth, body: message, once: true})
	if err != nil {
		return Exchanged{}, cause(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusAccepted, resp.StatusCode == http.StatusNoContent:
		return Exchanged{}, nil
	case resp.StatusCode != http.StatusOK:
		return Exchanged{}, statusError(resp.StatusCode)
	}
	var body []byte
	kind := mediaType(resp)
	switch kind {
	case typeJSON:
		body, err = l.readAll(resp)
	case typeStream:
		body, err = l.collect(ctx, resp)
	default:
		err = errType(resp)
	}
	if err != nil {
		return Exchanged{}, cause(ctx, err)
	}
	return Exchanged{kind, body}, nil
}

// collect returns the events of a stream up to the response, which must come.
func (l *link) collect(ctx context.Context, resp *http.Response) ([]byte, error) {
	var all []byte
	err := l.events(resp.Body, func(e sse.Event) error {
		var m jsonrpc.Message
		if isMessage(e) && m.Scan(e.Data) == nil {
			switch method, _ := jsonrpc.Unquote(nil, m.Method.Of(e.Data)); {
			case m.Kind == jsonrpc.Request && string(method) == mcp.MethodPing:
				l.pong(ctx, m.ID.Of(e.Data))
				return nil
			case m.Kind == jsonrpc.Response:
				all = sse.AppendEvent(all, e)
				return errFound
			}
		}
		if all = sse.AppendEvent(all, e); len(all) > l.bodyLimit {
			return fmt.Errorf("the answer has more than %d bytes", l.bodyLimit)
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return all, nil
	}
	return nil, fmt.Errorf("read the answer: %w", err)
}
