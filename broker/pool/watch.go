package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/resourceuri"
)

// watcher is who hears of the changes of one resource.
type watcher struct {
	updated func(uri string, message []byte)
}

// Subscribe has the server tell of changes of a resource (2025-11-25,
// server/resources, Subscriptions), by its own URI. updated gets each
// notifications/resources/updated of it or of a part of it, with the URI in there,
// in the goroutine that reads the session's stream. The server is told of the first subscription to a URI and of the last
// one's end, which the returned function brings. upstream.ErrNoStream if the
// server has no stream to tell it on.
func (l *Lease) Subscribe(ctx context.Context, uri string, updated func(uri string, message []byte)) (unsubscribe func(), err error) {
	s := l.session
	if err := l.settled(ctx); err != nil {
		return nil, err
	}
	s.subscribing.Lock()
	defer s.subscribing.Unlock()
	s.pool.mu.Lock()
	first := len(s.watched[uri]) == 0
	s.pool.mu.Unlock()
	if s.isMute() {
		return nil, upstream.ErrNoStream
	}
	if first {
		answer, err := s.server.Request(ctx, s.at, mcp.MethodResourcesSubscribe, uriParams(uri))
		switch {
		case errors.Is(err, upstream.ErrSessionGone):
			l.Lost()
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("subscribe: %w", err)
		case answer.Error != nil:
			return nil, errors.New("the server refuses the subscription")
		}
	}
	if s.isMute() { // which may be known since the request only
		return nil, upstream.ErrNoStream
	}
	w := &watcher{updated}
	s.pool.mu.Lock()
	s.watched[uri] = append(s.watched[uri], w)
	s.pool.mu.Unlock()
	return func() { s.unsubscribe(uri, w) }, nil
}

func (s *session) isMute() bool {
	select {
	case <-s.mute:
		return true
	default:
		return false
	}
}

// unsubscribe takes a watcher out. The server is told of the last one, and not
// waited for by who hears of changes.
func (s *session) unsubscribe(uri string, w *watcher) {
	s.subscribing.Lock()
	defer s.subscribing.Unlock()
	s.pool.mu.Lock()
	s.watched[uri] = slices.DeleteFunc(s.watched[uri], func(other *watcher) bool { return other == w })
	last := len(s.watched[uri]) == 0
	if last {
		delete(s.watched, uri)
	}
	over := s.lost || s.pool.closed
	s.pool.mu.Unlock()
	if !last || over {
		return
	}
	ctx, cancel := context.WithTimeout(s.forLatest(s.pool.life), s.pool.o.EndTimeout)
	defer cancel()
	// If that fails, the server tells what nobody hears.
	_, _ = s.server.Request(ctx, s.at, mcp.MethodResourcesUnsubscribe, uriParams(uri))
}

// updated tells those who watch the resource, or one that it is part of.
func (s *session) updated(uri string, message []byte) {
	s.pool.mu.Lock()
	var watchers []*watcher
	for watched, by := range s.watched {
		if resourceuri.Within(uri, watched) {
			watchers = append(watchers, by...)
		}
	}
	s.pool.mu.Unlock()
	for _, w := range watchers {
		w.updated(uri, message)
	}
}

func uriParams(uri string) []byte {
	return append(jsonrpc.AppendQuote([]byte(`{"uri":`), []byte(uri)), '}')
}

// Updated tells those who watch a resource of a change that was told elsewhere.
// uri is a raw string.
func (l *Lease) Updated(uri, message []byte) {
	own, _ := jsonrpc.Unquote(nil, uri)
	l.session.updated(string(own), message)
}
