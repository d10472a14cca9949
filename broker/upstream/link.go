package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// peer names a session at a server. Both are empty before initialize; the id
// stays empty for a server without sessions.
type peer struct {
	id      string
	version mcp.Revision
}

// link is one MCP session at a server, or the way to speak with it without one.
type link struct {
	*client
	peer
	// shared tells that the session is a client's too, which numbers its own
	// requests in it.
	shared bool
	// meta is the raw params._meta of the requests without a session; nil with.
	meta []byte
	// announces are the lists whose changes watch asks for without a session.
	announces kinds
	// fresh is how long each list is good, by the method; see freshness.
	fresh map[string]caching
	// notified is told the method of each notification of the server; nil for
	// a link that nobody listens to.
	notified func(method []byte)
}

// rpcError is an error that the server answered with.
type rpcError struct {
	code    int
	message string
	raw     []byte // the error object
}

func (e *rpcError) Error() string {
	return fmt.Sprintf("the server answers with error %d: %s", e.code, clip(e.message))
}

// reply is the answer to a call.
type reply struct {
	result []byte // raw JSON, owned by the caller
	header http.Header
}

// send makes one request in the session.
func (l *link) send(ctx context.Context, o outgoing) (*http.Response, error) {
	o.peer, o.own = l.peer, !l.shared
	return l.client.send(ctx, o)
}

// call sends a request and returns its result. params is a raw object, nil for
// none. Errors of the server are *rpcError.
func (l *link) call(ctx context.Context, method string, params []byte) (reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.timeout, fmt.Errorf("no answer within %v", l.timeout))
	defer cancel()
	id := l.nextID()
	resp, err := l.send(ctx, outgoing{
		verb: http.MethodPost, accept: typeBoth, body: request(id, method, withMeta(params, l.meta)),
		once: method == mcp.MethodInitialize, // two would open two sessions
	})
	if err != nil {
		return reply{}, cause(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	read := l.answer
	if mcp.Modern(l.version) {
		read = l.refusal
	}
	result, err := read(ctx, resp, id)
	if err != nil {
		return reply{}, cause(ctx, err)
	}
	return reply{result, resp.Header}, nil
}

// nextID returns a raw id: of a string's form where a number could be a client's.
func (l *link) nextID() []byte {
	n := l.ids.Add(1)
	if !l.shared {
		return strconv.AppendInt(nil, n, 10)
	}
	id := append([]byte{'"'}, l.origin...)
	return append(strconv.AppendInt(id, n, 10), '"')
}

// cause returns why ctx ended, if it did: that says more than err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// request encodes a request, or without id a notification. params is raw JSON.
func request(id []byte, method string, params []byte) []byte {
	b := append([]byte(`{"jsonrpc":"2.0","method":"`), method...)
	b = append(b, '"')
	if id != nil {
		b = append(append(b, `,"id":`...), id...)
	}
	if params != nil {
		b = append(append(b, `,"params":`...), params...)
	}
	return append(b, '}')
}

// answer finds the response with the id in the server's answer, which is one
// JSON message or a stream of them.
func (l *link) answer(ctx context.Context, resp *http.Response, id []byte) ([]byte, error) {
	switch mediaType(resp) {
	case typeJSON:
		body, err := l.readAll(resp)
		if err != nil {
			return nil, err
		}
		result, found, err := l.receive(ctx, body, id)
		if err == nil && found {
			return result, nil
		}
		// The status tells more than a body that is not what it should be.
		if resp.StatusCode != http.StatusOK && !errors.As(err, new(*rpcError)) {
			return nil, statusError(resp.StatusCode)
		}
		if err == nil {
			err = errors.New("the answer does not belong to the request")
		}
		return nil, err
	case typeStream:
		if resp.StatusCode != http.StatusOK {
			return nil, statusError(resp.StatusCode)
		}
		return l.streamed(ctx, resp.Body, id)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.StatusCode)
	}
	return nil, errType(resp)
}

func errType(resp *http.Response) error {
	return fmt.Errorf("the answer is of type %q, not JSON and no event stream", clip(resp.Header.Get("Content-Type")))
}

// statusError is an HTTP status that is no success.
type statusError int

func (e statusError) Error() string {
	return fmt.Sprintf("the server answers with HTTP status %d", int(e))
}

// errFound ends the reading of a stream that has brought the answer.
var errFound = errors.New("found")

func (l *link) streamed(ctx context.Context, body io.Reader, id []byte) ([]byte, error) {
	var result []byte
	err := l.events(body, func(e sse.Event) error {
		if !isMessage(e) {
			return nil
		}
		got, found, err := l.receive(ctx, e.Data, id)
		if found {
			result, err = bytes.Clone(got), errFound
		}
		return err
	})
	switch {
	case errors.Is(err, errFound):
		return result, nil
	case errors.Is(err, io.EOF):
		return nil, errors.New("the stream ends before the answer")
	}
	return nil, err
}

// smallChunk is read at once of a stream that says little, as most do: each waits
// with one in hand. Of one that says much largeChunk is read.
const smallChunk, largeChunk = 1 << 10, 16 << 10

// events calls f for each event of a stream until that ends (io.EOF) or f fails.
// The event is valid during the call only.
func (l *link) events(body io.Reader, f func(sse.Event) error) error {
	parser := sse.Parser{Limit: l.bodyLimit}
	small := make([]byte, smallChunk)
	chunk := small
	for {
		n, readErr := body.Read(chunk)
		if err := parser.Feed(chunk[:n], f); err != nil {
			return err
		}
		switch {
		case n <= smallChunk/2:
			chunk = small
		case n == len(chunk) && n < largeChunk:
			chunk = make([]byte, largeChunk)
		}
		if readErr != nil {
			return readErr
		}
	}
}

// isMessage reports whether e carries a JSON-RPC message. Events without data
// carry an id or a retry time; other names are not MCP's.
func isMessage(e sse.Event) bool {
	return len(e.Data) > 0 && (len(e.Name) == 0 || string(e.Name) == "message")
}

// receive takes one message of the server. It returns the result if the message
// is the response with the id; else found is false, notifications are handed on
// and requests answered: see attend.
func (l *link) receive(ctx context.Context, message, id []byte) (result []byte, found bool, err error) {
	var m jsonrpc.Message
	if err := m.Scan(message); err != nil {
		return nil, false, fmt.Errorf("the server sends no JSON-RPC message: %w", err)
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	switch m.Kind {
	case jsonrpc.Response:
		if id == nil || !bytes.Equal(m.ID.Of(message), id) {
			return nil, false, nil
		}
		if !m.Error.Empty() {
			return nil, false, decodeError(m.Error.Of(message))
		}
		return m.Result.Of(message), true, nil
	case jsonrpc.Request:
		l.attend(ctx, string(method), m.ID.Of(message))
	case jsonrpc.Notification:
		if l.notified != nil {
			l.notified(method)
		}
	}
	return nil, false, nil
}

func decodeError(raw []byte) error {
	var e struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return &rpcError{code: mcp.CodeInternalError, message: "malformed error"}
	}
	return &rpcError{e.Code, e.Message, bytes.Clone(raw)}
}

// attend answers a request of the server. In a session of the broker's own
// nobody is there to be asked; in a client's, its streams bring the client what
// is asked, and only pings are answered here.
func (l *link) attend(ctx context.Context, method string, id []byte) {
	switch {
	case method == mcp.MethodPing:
		l.pong(ctx, id)
	case l.shared:
	case method == mcp.MethodRootsList:
		_ = l.post(ctx, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{"roots":[]}}`, id))
	default:
		_ = l.post(ctx, jsonrpc.AppendError(nil, id, mcp.CodeMethodNotFound, "no user is here to be asked", nil))
	}
}

// pong answers a ping. If that fails, so will the requests of this side.
func (l *link) pong(ctx context.Context, id []byte) {
	body := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	_ = l.post(ctx, append(body, `,"result":{}}`...))
}

// notify sends a notification without params.
func (l *link) notify(ctx context.Context, method string) error {
	return l.post(ctx, request(nil, method, nil))
}

// post sends a message that has no answer, and that may arrive twice.
func (l *link) post(ctx context.Context, body []byte) error {
	return l.deliver(ctx, outgoing{verb: http.MethodPost, accept: typeBoth, body: body})
}

// deliver makes a request whose answer has no content.
func (l *link) deliver(ctx context.Context, o outgoing) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.timeout, fmt.Errorf("no answer within %v", l.timeout))
	defer cancel()
	resp, err := l.send(ctx, o)
	if err != nil {
		return cause(ctx, err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= 300 {
		return statusError(resp.StatusCode)
	}
	return nil
}

// end tells the server that the session is over. A server may refuse (405) or
// have forgotten it (404): both are as good.
func (l *link) end(ctx context.Context) error {
	if l.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	resp, err := l.send(ctx, outgoing{verb: http.MethodDelete})
	if err != nil {
		if errors.Is(err, ErrSessionGone) {
			return nil
		}
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusMethodNotAllowed {
		return statusError(resp.StatusCode)
	}
	return nil
}
