package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/internal/sse"
)

// errNoStream says that the server offers no event stream: it answers GET with
// 405, or with something else that no later attempt will change.
var errNoStream = errors.New("the server offers no event stream")

// changes collects what has changed at a server since it was last asked.
type changes struct {
	mu   sync.Mutex
	set  kinds
	wake chan struct{} // holds a token while the set may not be empty
}

func newChanges() *changes { return &changes{wake: make(chan struct{}, 1)} }

func (c *changes) add(k kinds) {
	if k == 0 {
		return
	}
	c.mu.Lock()
	c.set |= k
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) take() kinds {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.set
	c.set = 0
	return k
}

// watch keeps an event stream of the session open (2025-11-25, basic/transports,
// Listening for Messages from the Server) until ctx ends, the session is gone,
// or the server turns out to have none: then it returns why. It calls settled
// once, when the first attempt has succeeded or failed. What changes while no
// stream is open goes unnoticed, so each opening counts as a change of
// everything; so does each attempt that fails, because a listing will tell
// whether the server is down.
func (l *link) watch(ctx context.Context, t timing, changed *changes, settled func()) error {
	retry := backoff.Backoff{Min: t.retryMin, Max: t.retryMax}
	settle := sync.OnceFunc(settled)
	defer settle()
	for {
		began, opened := time.Now(), false
		pause, err := l.stream(ctx, func() {
			opened = true
			changed.add(everything)
			settle()
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errNoStream) || errors.Is(err, errSessionGone) {
			return err
		}
		if !opened {
			changed.add(everything)
			settle()
		}
		if time.Since(began) > t.retryMax {
			retry.Reset() // it lived; a stream that ends at once must not
		}
		if err := backoff.Sleep(ctx, max(pause, retry.Next())); err != nil {
			return err
		}
	}
}

// stream reads one event stream to its end. The pause is what the server wants
// to pass before the next one (field retry).
func (l *link) stream(ctx context.Context, opened func()) (pause time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(l.timeout, func() { cancel(fmt.Errorf("no answer within %v", l.timeout)) })
	resp, err := l.send(ctx, http.MethodGet, typeStream, l.peer, nil)
	slow.Stop()
	if err != nil {
		return 0, cause(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusOK && mediaType(resp) == typeStream:
	case resp.StatusCode == http.StatusOK,
		resp.StatusCode == http.StatusNotFound,
		resp.StatusCode == http.StatusMethodNotAllowed,
		resp.StatusCode == http.StatusNotImplemented:
		return 0, errNoStream
	default:
		return 0, statusError(resp)
	}
	opened()
	err = l.events(resp.Body, func(e sse.Event) error {
		if ms, err := strconv.ParseUint(string(e.Retry), 10, 32); err == nil {
			pause = min(time.Duration(ms)*time.Millisecond, longestPause)
		}
		if isMessage(e) {
			// A message that cannot be read is the server's loss, not the stream's.
			_, _, _ = l.receive(ctx, e.Data, nil)
		}
		return nil
	})
	return pause, err
}
