package bridge

import (
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// first is the oldest revision; its servers may be reached, though its own
// transport is not what the bridge speaks to its clients.
const first mcp.Revision = "2024-11-05"

// ServeHTTP is the server side of Streamable HTTP (2025-11-25,
// basic/transports). Only requests that name gatewayconfig.BridgeAuthority are
// served: no browser can be made to send one, since no such host exists.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, r: r}
	version := mcp.Revision(r.Header.Get(mcp.HeaderProtocolVersion))
	switch {
	case r.Host != gatewayconfig.BridgeAuthority:
		x.fail(http.StatusMisdirectedRequest, mcp.CodeInvalidRequest, "only the gateway's own proxy is served here")
	case version != "" && version != first && !mcp.Served(version):
		x.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "unsupported MCP-Protocol-Version")
	case r.Method == http.MethodPost:
		b.post(x)
	case r.Method == http.MethodGet:
		b.get(x)
	case r.Method == http.MethodDelete:
		if s := b.sessionOf(x); s != nil {
			b.end(s)
			w.WriteHeader(http.StatusNoContent)
		}
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		x.fail(http.StatusMethodNotAllowed, mcp.CodeInvalidRequest, "method not allowed")
	}
}

// end ends a session; its connection, if it had one to itself, in the
// background.
func (b *Bridge) end(s *backend) {
	if b.o.Shared {
		s.peer.detach(s)
		return
	}
	b.forget(s)
	go s.peer.close(patience)
}

// sessionOf returns the session of a request, nil if it has none and that was
// answered.
func (b *Bridge) sessionOf(x *exchange) *backend {
	values := x.r.Header.Values(mcp.HeaderSession)
	if len(values) != 1 || values[0] == "" {
		x.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "want one Mcp-Session-Id header")
		return nil
	}
	s := b.find(values[0])
	if s == nil {
		x.fail(http.StatusNotFound, mcp.CodeInvalidRequest, "session not found")
	}
	return s
}

// post takes one message (2025-11-25, basic/transports, Sending Messages to the
// Server).
func (b *Bridge) post(x *exchange) {
	b.busy(1)
	defer b.busy(-1)
	var m jsonrpc.Message
	body, ok := b.read(x)
	if !ok {
		return
	}
	if err := m.Scan(body); err != nil {
		x.id = err.ID.Of(body)
		x.fail(http.StatusBadRequest, err.Code, err.Reason)
		return
	}
	x.id = m.ID.Of(body)
	token, _ := jsonrpc.Unquote(nil, m.Method.Of(body))
	method := string(token)
	if m.Kind == jsonrpc.Request && method == mcp.MethodInitialize {
		b.initialize(x, body, &m)
		return
	}
	s := b.sessionOf(x)
	if s == nil {
		return
	}
	b.use(s)
	switch m.Kind {
	case jsonrpc.Request:
		b.request(x, s, method, body, &m)
	case jsonrpc.Notification, jsonrpc.Response:
		b.tell(x, s, method, body, &m)
	default:
		x.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "batches are not supported")
	}
}

func (b *Bridge) busy(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests += n
}

// read checks the headers of a POST and reads its body.
func (b *Bridge) read(x *exchange) ([]byte, bool) {
	accept := strings.Join(x.r.Header.Values("Accept"), ",")
	switch {
	case !mcp.JSONBody(x.r.Header.Get("Content-Type")):
		x.fail(http.StatusUnsupportedMediaType, mcp.CodeInvalidRequest, "Content-Type must be application/json")
		return nil, false
	case accept != "" && !(mcp.Accepts(accept, "application/json") && mcp.Accepts(accept, "text/event-stream")):
		x.fail(http.StatusNotAcceptable, mcp.CodeInvalidRequest, "Accept must include application/json and text/event-stream")
		return nil, false
	}
	limit := b.o.BodyLimit()
	body, err := io.ReadAll(io.LimitReader(x.r.Body, limit+1))
	switch {
	case err != nil:
		x.fail(http.StatusBadRequest, mcp.CodeParseError, "request body ends too early")
	case int64(len(body)) > limit:
		x.fail(http.StatusRequestEntityTooLarge, mcp.CodeInvalidRequest, "request body exceeds the limit")
	default:
		return body, true
	}
	return nil, false
}

// initialize begins a session.
func (b *Bridge) initialize(x *exchange, body []byte, m *jsonrpc.Message) {
	if x.r.Header.Get(mcp.HeaderSession) != "" {
		x.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "initialize begins a session: it cannot have one")
		return
	}
	if b.o.Shared {
		s, hello, err := b.join(x.r.Context())
		if err != nil {
			b.notOpened(x, err)
			return
		}
		answer := append(append([]byte(`{"jsonrpc":"2.0","id":`), x.id...), `,"result":`...)
		b.greeted(x, s, append(append(answer, hello...), '}'))
		return
	}
	p, err := b.connect(x.r.Context())
	if err != nil {
		b.notOpened(x, err)
		return
	}
	s := p.attach()
	if s == nil {
		b.notOpened(x, errEnded)
		return
	}
	c, err := p.request(s, body, m, true)
	if err != nil {
		b.notOpened(x, err)
		return
	}
	select {
	case <-c.box.wake:
	case <-x.r.Context().Done():
		go p.close(patience)
		return
	}
	answers, _ := c.box.take()
	var reply jsonrpc.Message
	if reply.Scan(answers[0]) != nil || !reply.Error.Empty() {
		go b.refused(p)
		_ = x.json(answers[0])
		return
	}
	if err := b.publish(s); err != nil {
		b.notOpened(x, err)
		return
	}
	b.greeted(x, s, answers[0])
}

// greeted answers initialize. A session whose id nobody has heard is of no use.
func (b *Bridge) greeted(x *exchange, s *backend, answer []byte) {
	x.w.Header().Set(mcp.HeaderSession, s.id)
	if err := x.json(answer); err != nil || x.r.Context().Err() != nil {
		b.end(s)
	}
}

// notOpened says why there is no session, and nothing that only the log may
// know.
func (b *Bridge) notOpened(x *exchange, err error) {
	status, message, wait := http.StatusBadGateway, "cannot be started", 0
	busy := new(busyError)
	switch {
	case errors.As(err, &busy):
		status, message = http.StatusServiceUnavailable, "ended too often, it is started again soon"
		wait = int(math.Ceil(busy.wait.Seconds()))
	case errors.Is(err, errFull):
		status, message, wait = http.StatusServiceUnavailable, "has too many sessions", 5
		if b.o.Refused != nil {
			b.o.Refused()
		}
	}
	if wait > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	x.fail(status, mcp.CodeInternalError, "server "+b.o.Name+" "+message)
}

// request passes on a request and answers with what the server has to say: one
// message as JSON, more of them as an event stream.
func (b *Bridge) request(x *exchange, s *backend, method string, body []byte, m *jsonrpc.Message) {
	if b.o.Shared {
		if answer, ok := s.peer.local(s, method, body, m); ok {
			_ = x.json(answer)
			return
		}
	}
	c, err := s.peer.request(s, body, m, false)
	if err != nil {
		x.fail(http.StatusOK, mcp.CodeInternalError, err.Error())
		return
	}
	var unread [][]byte
	defer func() {
		s.peer.leave(c, unread)
		b.use(s) // until now
	}()
	begun := false
	box := c.box
	for {
		select {
		case <-x.r.Context().Done():
			return
		case <-box.wake:
		}
		messages, last := box.take()
		if last && !begun && len(messages) == 1 {
			_ = x.json(messages[0])
			return
		}
		if !begun {
			x.stream()
			begun = true
		}
		if !x.events(messages) {
			unread = messages
			return
		}
		if last {
			return
		}
	}
}

// tell passes on a message that has no answer. A session of a shared server has
// nothing to say but which of its requests it gives up.
func (b *Bridge) tell(x *exchange, s *backend, method string, body []byte, m *jsonrpc.Message) {
	message := splice(body)
	if m.Kind == jsonrpc.Notification && method == mcp.MethodNotifyCancelled {
		if message = s.peer.cancel(s, body, m.Cancelled); message == nil {
			x.w.WriteHeader(http.StatusAccepted) // it may have been answered by now
			return
		}
	} else if b.o.Shared {
		x.w.WriteHeader(http.StatusAccepted)
		return
	}
	if err := s.peer.tell(x.r.Context(), message); err != nil {
		x.fail(http.StatusBadGateway, mcp.CodeInternalError, "server "+b.o.Name+" did not take the message")
		return
	}
	x.w.WriteHeader(http.StatusAccepted)
}

// get serves the event stream of a session until that ends.
func (b *Bridge) get(x *exchange) {
	if accept := strings.Join(x.r.Header.Values("Accept"), ","); accept != "" && !mcp.Accepts(accept, "text/event-stream") {
		x.fail(http.StatusNotAcceptable, mcp.CodeInvalidRequest, "GET opens an event stream: Accept must include text/event-stream")
		return
	}
	s := b.sessionOf(x)
	if s == nil {
		return
	}
	b.mu.Lock()
	taken := s.listen
	s.listen = true
	b.mu.Unlock()
	if taken {
		x.fail(http.StatusConflict, mcp.CodeInvalidRequest, "the session has an event stream already")
		return
	}
	defer func() {
		b.mu.Lock()
		s.listen = false
		b.mu.Unlock()
	}()
	x.stream()
	s.inbox.stir()
	for x.events(nil) {
		select {
		case <-x.r.Context().Done():
			return
		case <-s.gone:
			return
		case <-s.inbox.wake:
			messages, _ := s.inbox.take()
			if !x.events(messages) {
				s.inbox.back(messages)
				return
			}
		}
	}
}
