package mcpserver

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Stream is an open text/event-stream answer.
type Stream struct {
	mu sync.Mutex
	w  http.ResponseWriter
	// params is what a notification on it ends with, raw; empty on a GET stream.
	params string
}

// Stream begins an SSE answer and sends its headers at once.
func (x *Exchange) Stream() *Stream {
	x.w.Header().Set("Content-Type", "text/event-stream")
	x.w.Header().Set("Cache-Control", "no-cache")
	x.w.WriteHeader(http.StatusOK)
	s := &Stream{w: x.w, params: x.meta()}
	s.flush()
	return s
}

// Send sends one message as an event of its own, at once.
func (s *Stream) Send(message string) { s.Raw("event: message\n" + data(message)) }

// data is the end of an event: one data field for each line of the message.
func data(message string) string {
	return "data: " + strings.ReplaceAll(message, "\n", "\ndata: ") + "\n\n"
}

// Raw sends any bytes at once, so that a test can split events as it likes.
func (s *Stream) Raw(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.w.Write([]byte(text)) // a reader that went away ends the request's context
	_ = http.NewResponseController(s.w).Flush()
}

func (s *Stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = http.NewResponseController(s.w).Flush()
}

// Progress sends a progress notification for a raw token.
func (s *Stream) Progress(token []byte, progress, total int) {
	s.Send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":`+
		`{"progressToken":%s,"progress":%d,"total":%d}}`, token, progress, total))
}

// Streams is the number of open streams of GET and subscriptions/listen.
func (s *Server) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// Notify sends a notification on each of them.
func (s *Server) Notify(method string) {
	for _, stream := range s.open() {
		stream.Send(fmt.Sprintf(`{"jsonrpc":"2.0","method":%q%s}`, method, stream.params))
	}
}

// Updated says on each of them that a resource has changed.
func (s *Server) Updated(uri string) {
	for _, stream := range s.open() {
		stream.Updated(uri)
	}
}

// Updated says that a resource has changed.
func (s *Stream) Updated(uri string) {
	params := fmt.Sprintf(`,"params":{"uri":%q}`, uri)
	if meta, ok := strings.CutPrefix(s.params, `,"params":{`); ok {
		params = fmt.Sprintf(`,"params":{"uri":%q,%s`, uri, meta)
	}
	s.Send(`{"jsonrpc":"2.0","method":"notifications/resources/updated"` + params + `}`)
}

func (s *Server) open() []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.streams))
}

func (s *Server) serveStream(x *Exchange) {
	if s.script.NoStream {
		x.Respond(http.StatusMethodNotAllowed, "", nil)
		return
	}
	stream := x.Stream()
	x.acknowledge(stream)
	s.mu.Lock()
	s.streams[stream] = true
	s.wake()
	s.mu.Unlock()
	Hang(x)
	s.mu.Lock()
	delete(s.streams, stream)
	s.wake()
	s.mu.Unlock()
}
