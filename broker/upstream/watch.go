package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// ErrNoStream says that the server offers no event stream: it answers GET, or
// without sessions subscriptions/listen, with a refusal that no later attempt
// will change.
var ErrNoStream = errors.New("the server offers no event stream")

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

// watch keeps a stream of announcements open until ctx ends, the session is gone,
// or the server turns out to have none: then it returns why. It calls settled
// once, when the first attempt has succeeded or failed. What changes while no
// stream is open goes unnoticed, so each opening counts as a change of
// everything; so does each attempt that fails, because a listing will tell
// whether the server is down, and one that finds no stream where there was one,
// because another version of the server may be there now.
func (l *link) watch(ctx context.Context, t timing, changed *changes, settled func()) error {
	retry := backoff.Backoff{Min: t.retryMin, Max: t.retryMax}
	settle := sync.OnceFunc(settled)
	defer settle()
	had := false
	for {
		began, opened := time.Now(), false
		pause, err := l.announcements(ctx, func() {
			opened, had = true, true
			changed.add(everything)
			settle()
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrSessionGone) {
			err = l.withoutStream(ctx)
		}
		if had && errors.Is(err, ErrNoStream) {
			changed.add(everything)
		}
		if errors.Is(err, ErrNoStream) || errors.Is(err, ErrSessionGone) {
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

// withoutStream tells what a refusal of the event stream means that looks like
// one of the session, since some servers answer 404 instead of 405: ErrNoStream,
// ErrSessionGone, or nil if a ping does not tell either.
func (l *link) withoutStream(ctx context.Context) error {
	_, err := l.call(ctx, mcp.MethodPing, nil)
	switch {
	case errors.Is(err, ErrSessionGone):
		return ErrSessionGone
	case err == nil, errors.As(err, new(*rpcError)):
		return ErrNoStream
	}
	return nil
}

// announcements reads one stream to its end: that of the session (2025-11-25,
// basic/transports, Listening for Messages from the Server), or without one that
// of a subscription. pause is as in stream.
func (l *link) announcements(ctx context.Context, opened func()) (pause time.Duration, err error) {
	if mcp.Modern(l.version) {
		return 0, l.subscribe(ctx, l.meta, filterOf(l.announces), subscriber{
			acknowledged: func(honoured []byte) error {
				if l.announces != 0 && announced(honoured) == 0 {
					return ErrNoStream
				}
				opened()
				return nil
			},
			notified: func(method, _ []byte) error {
				l.notified(method)
				return nil
			},
		})
	}
	return l.stream(ctx, streaming{
		patience: l.timeout,
		opened:   opened,
		event: func(e sse.Event) error {
			if isMessage(e) {
				// A message that cannot be read is the server's loss, not the
				// stream's.
				_, _, _ = l.receive(ctx, e.Data, nil)
			}
			return nil
		},
	})
}

// streaming is what stream needs to know.
type streaming struct {
	after string // the id to resume behind; empty for a new stream
	// patience bounds the wait for the stream to begin; 0 means none.
	patience time.Duration
	opened   func()
	event    func(sse.Event) error // its error ends the stream
}

// stream reads one event stream to its end. The pause is what the server wants
// to pass before the next one (field retry); 0 if it did not say.
func (l *link) stream(ctx context.Context, o streaming) (pause time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.patience > 0 {
		slow := time.AfterFunc(o.patience, func() { cancel(fmt.Errorf("no answer within %v", o.patience)) })
		defer slow.Stop()
		begun := o.opened
		o.opened = func() { slow.Stop(); begun() }
	}
	body, err := l.openStream(ctx, o.after)
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }()
	o.opened()
	err = l.events(body, func(e sse.Event) error {
		if wait, ok := retryOf(e); ok {
			pause = wait
		}
		return o.event(e)
	})
	return pause, err
}

// openStream opens the event stream of the session, to resume behind an id if one
// is given. The error is ErrNoStream for a server that has none.
func (l *link) openStream(ctx context.Context, after string) (io.ReadCloser, error) {
	resp, err := l.send(ctx, outgoing{verb: http.MethodGet, accept: typeStream, after: after, lasts: true})
	if err != nil {
		return nil, cause(ctx, err)
	}
	if resp.StatusCode == http.StatusOK && mediaType(resp) == typeStream {
		return resp.Body, nil
	}
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return nil, ErrNoStream
	}
	return nil, statusError(resp.StatusCode)
}

// retryOf returns how long the server wants its stream to stay closed, and
// whether the event says so.
func retryOf(e sse.Event) (time.Duration, bool) {
	ms, err := strconv.ParseUint(string(e.Retry), 10, 32)
	if err != nil {
		return 0, false
	}
	return min(time.Duration(ms)*time.Millisecond, longestPause), true
}
