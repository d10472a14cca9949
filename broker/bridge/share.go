package bridge

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// share is a connection for all sessions, being opened or open.
type share struct {
	ready chan struct{} // closed when the rest is set
	peer  *peer
	hello []byte // result of initialize, raw
	err   error
}

// join begins a session on the shared connection and returns it with the
// server's result of initialize. The handshake is the bridge's own and done once
// for the connection, which then lasts as long as the server and the bridge do.
func (b *Bridge) join(ctx context.Context) (*backend, []byte, error) {
	b.mu.Lock()
	sh := b.shared
	if sh == nil {
		if err := b.admit(); err != nil {
			b.mu.Unlock()
			return nil, nil, err
		}
		sh = &share{ready: make(chan struct{})}
		b.shared = sh
		// No client's patience counts: others may wait for the same.
		go b.begin(context.WithoutCancel(ctx), sh)
	}
	var idle *backend
	full := len(b.sessions) >= b.o.MaxSessions()
	if full {
		if idle = b.idlest(); idle != nil {
			delete(b.sessions, idle.id)
		}
	}
	b.mu.Unlock()
	if idle != nil {
		idle.peer.detach(idle)
	} else if full {
		return nil, nil, errFull
	}
	select {
	case <-sh.ready:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if sh.err != nil {
		return nil, nil, sh.err
	}
	s := sh.peer.attach()
	if s == nil {
		return nil, nil, errEnded
	}
	if err := b.publish(s); err != nil {
		sh.peer.detach(s)
		return nil, nil, err
	}
	return s, sh.hello, nil
}

// begin opens the shared connection and shakes hands.
func (b *Bridge) begin(ctx context.Context, sh *share) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer close(sh.ready)
	p, err := b.dial(ctx)
	if err == nil {
		sh.hello, err = b.greet(ctx, p)
		if err != nil {
			b.o.Log.Warn("handshake with a shared server fails", zap.Error(err))
			b.refused(p)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	sh.peer, sh.err = p, err
	if err != nil || p.asked.Load() {
		b.shared = nil
	}
}

// greet initializes a shared server: no capability of a client is declared, as
// nobody could answer for all.
func (b *Bridge) greet(ctx context.Context, p *peer) (hello []byte, err error) {
	defer rescue.From(b.o.Log, &err)
	params := fmt.Appendf(nil, `{"protocolVersion":%q,"capabilities":{},"clientInfo":%s}`, mcp.LatestLegacy, b.o.ClientInfo)
	answer, err := p.ask(ctx, mcp.MethodInitialize, params)
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	var m jsonrpc.Message
	if err := m.Scan(answer); err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	if !m.Error.Empty() {
		return nil, errors.New("the server answers initialize with an error")
	}
	if err := p.tell(ctx, []byte(`{"jsonrpc":"2.0","method":"`+mcp.MethodNotifyInitialized+`"}`)); err != nil {
		return nil, fmt.Errorf("%s: %w", mcp.MethodNotifyInitialized, err)
	}
	return withoutLogging(answer, m.Result), nil
}

// withoutLogging returns a result of initialize that does not offer log
// messages: which session one belongs to cannot be told.
func withoutLogging(message []byte, result jsonrpc.Span) []byte {
	all := member(message, result, "capabilities")
	if member(message, all, "logging").Empty() {
		return result.Of(message)
	}
	whole := splice(message[:result.End], edit{all, without(all.Of(message), "logging")})
	return whole[result.Start:]
}

// local answers a request that must not reach a shared server, or not as it is:
// ok is false for one to be forwarded.
func (p *peer) local(s *backend, method string, body []byte, m *jsonrpc.Message) (answer []byte, ok bool) {
	id := m.ID.Of(body)
	switch method {
	case mcp.MethodSetLevel:
		return jsonrpc.AppendError(nil, id, mcp.CodeMethodNotFound, "no log messages: several share this server", nil), true
	case mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe:
	default:
		return nil, false
	}
	uri, valid := jsonrpc.Unquote(nil, m.URI.Of(body))
	if !valid {
		return nil, false // the server says what is wrong with it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if method == mcp.MethodResourcesSubscribe {
		if len(s.uris) >= maxCalls {
			return jsonrpc.AppendError(nil, id, mcp.CodeInternalError, "too many subscriptions", nil), true
		}
		s.uris[string(uri)] = true
		return nil, false
	}
	delete(s.uris, string(uri))
	if p.subscribed(string(uri)) {
		return append(append([]byte(`{"jsonrpc":"2.0","id":`), id...), `,"result":{}}`...), true
	}
	return nil, false
}
