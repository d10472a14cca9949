package bridge

import (
	"net/http"
	"time"

	"mcp-gateway/broker/wire"
	"mcp-gateway/internal/sse"
)

// writeTimeout ends a stream whose reader takes nothing.
const writeTimeout = 30 * time.Second

// exchange is one HTTP request.
type exchange struct {
	w http.ResponseWriter
	r *http.Request
	// id is that of the JSON-RPC request; nil before it is known.
	id []byte
}

// stream begins an event stream.
func (x *exchange) stream() {
	h := x.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	x.w.WriteHeader(http.StatusOK)
}

// events writes messages, one event each; false if the reader is gone.
func (x *exchange) events(messages [][]byte) bool {
	var text []byte
	for _, m := range messages {
		text = sse.AppendEvent(text, sse.Event{Name: []byte("message"), Data: m, HasData: true})
	}
	control := http.NewResponseController(x.w)
	// A writer without deadlines is in this process.
	_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := x.w.Write(text); err != nil {
		return false
	}
	return control.Flush() == nil
}

// json answers with one message. Most callers need not know that nobody reads it.
func (x *exchange) json(message []byte) error { return wire.JSON(x.w, http.StatusOK, message) }

// fail answers with a JSON-RPC error. No addresses in the message.
func (x *exchange) fail(status, code int, message string) {
	wire.Error(x.w, status, x.id, code, message, nil)
}
