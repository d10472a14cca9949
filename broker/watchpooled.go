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
		end, err := lease.Subscribe(ctx, uri, func(changed string, message []byte) { news.put(uri, changed, message) })
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

// maxNews is how many changes of parts of resources are kept for a client. What
// they are part of is bounded by what the client subscribed to.
const maxNews = 64

// news are changes of resources that are not told yet, the last of each: who tells
// them must not wait for who is slow to hear.
type news struct {
	wake chan struct{}

	mu       sync.Mutex
	order    []string
	messages map[string][]byte // by the URI that changed
}

func newNews() *news { return &news{wake: make(chan struct{}, 1), messages: map[string][]byte{}} }

// put keeps a message about changed, which is the resource of uri or part of it. Of
// too many parts the resource as a whole is told of.
func (n *news) put(uri, changed string, message []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if changed != uri && n.messages[changed] == nil && len(n.order) >= maxNews {
		changed, message = uri, updated(uri)
	}
	if n.messages[changed] == nil {
		n.order = append(n.order, changed)
	}
	n.messages[changed] = bytes.Clone(message)
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
