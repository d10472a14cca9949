package rawserver

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"mcp-gateway/internal/mcp"
)

// Feed is an event stream that a test writes to: a value for Server.Stream.
type Feed struct {
	// Opened counts how often it was opened.
	Opened atomic.Int32
	// Out takes raw bytes for the open stream, or End. A send blocks until a
	// stream takes it.
	Out chan string
}

// End makes a Feed end the open stream.
const End = "end"

// NewFeed returns a Feed.
func NewFeed() *Feed { return &Feed{Out: make(chan string)} }

// Listen is a value for Server.Listen: all that the filter wants is honoured.
func (f *Feed) Listen(w http.ResponseWriter, r *http.Request, id, filter string) {
	f.open(w, r, Acknowledgement(id, filter))
}

// Acknowledgement returns the event that a listen stream begins with, of raw id
// and filter.
func Acknowledgement(id, filter string) string {
	return fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"method\":%q,\"params\":{\"_meta\":{%q:%s},\"notifications\":%s}}\n\n",
		mcp.MethodNotifyAcknowledged, mcp.MetaSubscriptionID, id, filter)
}

// ServeHTTP implements http.Handler.
func (f *Feed) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.open(w, r, "") }

func (f *Feed) open(w http.ResponseWriter, r *http.Request, first string) {
	f.Opened.Add(1)
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = w.Write([]byte(first))
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case text := <-f.Out:
			if text == End {
				return
			}
			_, _ = w.Write([]byte(text))
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// Notification returns the event of a notification without params.
func Notification(method string) string {
	return fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"method\":%q}\n\n", method)
}
