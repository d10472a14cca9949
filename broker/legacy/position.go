package legacy

import (
	"context"
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
// in it to take, which must not keep it. h holds what is read.
func (p *position) read(ctx context.Context, body io.Reader, h *hold, take func(text []byte)) {
	defer h.release()
	parser := sse.Parser{Limit: maxAnswer}
	chunk := make([]byte, handful)
	for {
		n, err := body.Read(chunk)
		if !h.cover(ctx, int64(parser.Held()+n), maxAnswer+int64(len(chunk))) {
			return
		}
		fault := parser.Feed(chunk[:n], func(e sse.Event) error {
			if e.HasID {
				p.lastID = string(e.ID)
			}
			if ms, err := strconv.ParseUint(string(e.Retry), 10, 32); err == nil {
				p.retry = min(time.Duration(ms)*time.Millisecond, longestRest)
			}
			// A stream may begin with an event that has nothing but its id.
			if e.HasData && len(e.Data) > 0 && (len(e.Name) == 0 || string(e.Name) == "message") {
				h.keep(len(e.Data))
				take(e.Data)
			}
			if !e.HasComment {
				h.release()
			}
			return nil
		})
		if parser.Held() == 0 {
			h.release() // comments
		}
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
