package broker

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/upstream"
)

// errNoneHonoured says that a server takes no subscription of several.
var errNoneHonoured = errors.New("the server honours none of the subscriptions")

// watchPooled is upstream.Server.Watch for a server with sessions: it subscribes
// in a pooled session, whose event stream tells of changes (2025-11-25,
// server/resources, Subscriptions), and in another when that is lost. There are no
// tasks to watch there. It returns upstream.ErrNoStream, errNoneHonoured, the error
// of w.Message, or that of ctx.
func (b *Broker) watchPooled(ctx context.Context, server string, up *upstream.Server, principal string, w upstream.Watching) error {
	retry := backoff.Backoff{Min: renewMin, Max: renewMax}
	for {
		began := time.Now()
		err := b.watchSession(ctx, server, up, principal, w)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, upstream.ErrNoStream), errors.Is(err, errNoneHonoured), errors.As(err, new(errTaken)):
			return err
		}
		if time.Since(began) > renewMax {
			retry.Reset()
		}
		if err := retry.Wait(ctx); err != nil {
			return err
		}
	}
}

// errTaken wraps an error of Watching.Message.
type errTaken struct{ error }

func (e errTaken) Unwrap() error { return e.error }

// watchSession watches in one session, until that is not to be used any more.
func (b *Broker) watchSession(ctx context.Context, server string, up *upstream.Server, principal string, w upstream.Watching) error {
	lease, err := b.pool.Lease(ctx, up, b.poolKey(b.view.Load(), server, principal, nil, credential.From(ctx)))
	if err != nil {
		return err
	}
	defer lease.Release()
	news := newNews()
	var honoured []string
	for _, uri := range w.URIs {
		end, err := lease.Subscribe(ctx, uri, func(message []byte) { news.put(uri, message) })
		switch {
		case err == nil:
			defer end()
			honoured = append(honoured, uri)
		case errors.Is(err, upstream.ErrNoStream), errors.Is(err, upstream.ErrSessionGone), ctx.Err() != nil:
			return err
		}
	}
	if len(honoured) == 0 {
		return errNoneHonoured
	}
	w.Acknowledged(honoured, nil)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-lease.Gone():
			return upstream.ErrSessionGone
		case <-lease.Mute():
			return upstream.ErrNoStream
		case <-news.wake:
			for _, message := range news.take() {
				if err := w.Message(message); err != nil {
					return errTaken{err}
				}
			}
		}
	}
}

// news are changes of resources that are not told yet, the last of each: who tells
// them must not wait for who is slow to hear.
type news struct {
	wake chan struct{}

	mu       sync.Mutex
	order    []string
	messages map[string][]byte // by URI
}

func newNews() *news { return &news{wake: make(chan struct{}, 1), messages: map[string][]byte{}} }

func (n *news) put(uri string, message []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.messages[uri] == nil {
		n.order = append(n.order, uri)
	}
	n.messages[uri] = bytes.Clone(message)
	wakeUp(n.wake)
}

func (n *news) take() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out [][]byte
	for _, uri := range n.order {
		out = append(out, n.messages[uri])
	}
	n.order, n.messages = nil, map[string][]byte{}
	return out
}
