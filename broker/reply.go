package broker

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/wire"
	"mcp-gateway/internal/mcp"
)

// response is a ResponseWriter that knows whether the answer has begun.
type response struct {
	http.ResponseWriter
	begun bool
}

func (w *response) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find what is beneath.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// reply answers a request: tail is what follows the id, to the last byte, in
// parts. Writing them apart keeps a large one from being copied. A client that
// names event streams before JSON gets a stream of one event.
func (c *call) reply(tail ...[]byte) {
	head := make([]byte, 0, 64)
	head = append(head, `{"jsonrpc":"2.0","id":`...)
	head = append(head, c.id...)
	header := c.w.Header()
	if prefersEvents(c.r) {
		header.Set("Content-Type", "text/event-stream")
		_, _ = c.w.Write(appendMessage(nil, append(head, slices.Concat(tail...)...)))
		return
	}
	header.Set("Content-Type", "application/json")
	size := len(head)
	for _, part := range tail {
		size += len(part)
	}
	header.Set("Content-Length", strconv.Itoa(size))
	// A client that is gone needs no answer.
	_, _ = c.w.Write(head)
	for _, part := range tail {
		_, _ = c.w.Write(part)
	}
}

// write answers a request with a whole message.
func (c *call) write(message []byte) { _ = wire.JSON(c.w, http.StatusOK, message) }

// prefersEvents reports whether the Accept list has event streams first. Weights
// do not count: whoever names both reads both.
func prefersEvents(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	return mcp.MediaType(first, "text/event-stream")
}

// fail answers with a JSON-RPC error under the id of the request, if that is
// known. The message goes to clients: no addresses in it.
func (c *call) fail(status, code int, message string) { c.failData(status, code, message, nil) }

func (c *call) failData(status, code int, message string, data []byte) {
	wire.Error(c.w, status, c.id, code, message, data)
}

// failStore answers for an error of the session store.
func (b *Broker) failStore(c *call, err error) {
	switch {
	case errors.Is(err, session.ErrNotFound):
		c.fail(http.StatusNotFound, mcp.CodeInvalidRequest, "session not found: initialize again")
	case errors.Is(err, session.ErrTooLarge):
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "clientInfo and capabilities are too large for this gateway's sessions")
	default:
		if c.r.Context().Err() == nil {
			b.log.Warn("session store fails", zap.String("method", c.method), zap.Error(err))
		}
		c.failLater("sessions are not available now")
	}
}

// failLater answers with 503: the same request may succeed soon.
func (c *call) failLater(message string) {
	c.w.Header().Set("Retry-After", "5")
	c.fail(http.StatusServiceUnavailable, mcp.CodeInternalError, message)
}

// failBusy answers with 429: the client has to wait, or a limit is too low.
func (c *call) failBusy(message string) {
	c.w.Header().Set("Retry-After", "30")
	c.fail(http.StatusTooManyRequests, mcp.CodeInternalError, message)
}
