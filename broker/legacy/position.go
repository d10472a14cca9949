package legacy

import (
	"io"
	"strconv"
	"time"

	"mcp-gateway/internal/sse"
)

const (
	// resumeAfter is how long a stream rests before it is opened again, unless
	// its server names a time, of which longestRest is kept.
	resumeAfter = time.Second
	longestRest = time.Minute
)

// position is how far an event stream of the endpoint was read. The zero value
// is its beginning.
type position struct {
	lastID string
	retry  time.Duration
}

// read reads a stream to its end, or to its first fault, and hands each message
// in it to take, which may keep it.
func (p *position) read(body io.Reader, take func(text []byte)) {
	parser := sse.Parser{Limit: maxAnswer}
	chunk := make([]byte, 8<<10)
	for {
		n, err := body.Read(chunk)
		fault := parser.Feed(chunk[:n], func(e sse.Event) error {
			if e.HasID {
				p.lastID = string(e.ID)
			}
			if ms, err := strconv.ParseUint(string(e.Retry), 10, 32); err == nil {
				p.retry = min(time.Duration(ms)*time.Millisecond, longestRest)
			}
			// A stream may begin with an event that has nothing but its id.
			if e.HasData && len(e.Data) > 0 && (len(e.Name) == 0 || string(e.Name) == "message") {
				take(append([]byte(nil), e.Data...))
			}
			return nil
		})
		if err != nil || fault != nil {
			return
		}
	}
}

// pause is how long to wait before the stream is opened again.
func (p *position) pause() time.Duration {
	if p.retry > 0 {
		return p.retry
	}
	return resumeAfter
}
