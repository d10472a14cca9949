package broker

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/tag"
)

const (
	// levelTimeout bounds how long the answer to logging/setLevel waits for
	// servers; who has not answered by then keeps its level until the next one.
	levelTimeout = 3 * time.Second
	// relayTimeout bounds a request that is relayed to its server, the opening
	// of a session included. Envoy gives up on the broker after 10 s.
	relayTimeout = 9 * time.Second
)

// setLevel keeps the log level for the servers that come later and sets it at
// those that are there.
func (b *Broker) setLevel(c *call) {
	if !b.begun(c) {
		return
	}
	if !c.offers().logging {
		c.fail(http.StatusOK, mcp.CodeMethodNotFound, "no server offers logging")
		return
	}
	params := c.msg.Params.Of(c.body)
	var level string
	_ = jsonrpc.Members(params, func(key, value jsonrpc.Span) bool { // an error means no object
		if string(key.Of(params)) == `"level"` {
			text, _ := jsonrpc.Unquote(nil, value.Of(params))
			level = string(text)
		}
		return true
	})
	if mcp.Verbosity(level) < 0 {
		c.fail(http.StatusOK, mcp.CodeInvalidParams, "params.level must be a log level, as info or error")
		return
	}
	if err := b.store.SetLevel(c.r.Context(), c.session.ID, level); err != nil {
		b.failStore(c, err)
		return
	}
	held, err := b.backendsOf(c)
	if err != nil {
		b.failStore(c, err)
		return
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), levelTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, to := range held {
		if !to.up.Snapshot().Logging {
			continue
		}
		wg.Go(func() {
			answer, err := to.up.Request(ctx, to.session, mcp.MethodSetLevel, params)
			if err != nil || answer.Error != nil {
				b.log.Warn("server does not take over a log level", zap.String("server", to.name), zap.Error(err))
			}
		})
	}
	wg.Wait()
	c.reply([]byte(`,"result":{}}`))
}

// levelParams are the params of logging/setLevel.
func levelParams(level string) []byte {
	return append(jsonrpc.AppendQuote([]byte(`{"level":`), []byte(level)), '}')
}

// subscribe relays resources/subscribe and resources/unsubscribe to the server
// whose resource it is (2025-11-25, server/resources, Subscriptions), and keeps
// the subscription for the server's later sessions.
func (b *Broker) subscribe(c *call) {
	if !b.begun(c) {
		return
	}
	if !c.offers().subscribe {
		c.fail(http.StatusOK, mcp.CodeMethodNotFound, "no server offers subscriptions")
		return
	}
	if !c.msg.URIIsString {
		c.fail(http.StatusOK, mcp.CodeInvalidParams, "params.uri must be a string")
		return
	}
	token := c.msg.URI.Of(c.body)
	text, _ := jsonrpc.Unquote(nil, token) // was scanned
	owner, uri, ok := c.shown.Resource(string(text))
	answered := false
	if ok {
		ok, answered = c.may(catalog.Resources, catalog.Listed{Server: owner, Name: string(text), Own: uri})
	}
	if !ok {
		if !answered {
			c.failData(http.StatusOK, mcp.CodeResourceNotFound, "Resource not found", append(append([]byte(`{"uri":`), token...), '}'))
		}
		return
	}
	if up := c.view.servers[owner]; modernOnly(up.Snapshot()) {
		b.keep(c, up, session.Subscription{Server: owner, URI: uri})
		return
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), relayTimeout)
	defer cancel()
	at := jsonrpc.Span{Start: c.msg.URI.Start - c.msg.Params.Start, End: c.msg.URI.End - c.msg.Params.Start}
	params := jsonrpc.ReplaceSpan(nil, c.msg.Params.Of(c.body), at, jsonrpc.AppendQuote(nil, []byte(uri)))
	answer, err := b.relay(ctx, c, session.Subscription{Server: owner, URI: uri}, params)
	switch {
	case errors.Is(err, session.ErrTooMuch), errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrUnavailable):
		b.failSubscribe(c, err)
	case err != nil:
		b.log.Warn("server does not answer", zap.String("server", owner), zap.String("method", c.method), zap.Error(err))
		c.fail(http.StatusOK, mcp.CodeInternalError, "server "+owner+" does not answer")
	default:
		c.relayed(owner, answer)
	}
}

// failSubscribe answers for an error of the store.
func (b *Broker) failSubscribe(c *call, err error) {
	if errors.Is(err, session.ErrTooMuch) {
		c.fail(http.StatusOK, mcp.CodeInvalidParams, "too many subscriptions, or too long a URI")
		return
	}
	b.failStore(c, err)
}

// label returns what stands before the URIs of a server.
func (v *view) label(server string) string {
	for _, s := range v.config.Servers {
		if s.Name == server {
			return s.Label
		}
	}
	return ""
}

// relay sends the client's request with other params in the backend session,
// and once more in a new one if the server has forgotten it. What the session
// keeps is changed behind the opening, which would tell the server as well, and
// before the server is told, for the case that another opening follows.
func (b *Broker) relay(ctx context.Context, c *call, sub session.Subscription, params []byte) (upstream.Answer, error) {
	up := c.view.servers[sub.Server]
	question := gatewayconfig.ResolveRequest{Session: string(c.session.ID), Server: sub.Server, Endpoint: c.endpoint, Principal: c.session.Principal}
	backend, err := b.openBackend(ctx, up, question)
	if err != nil {
		return upstream.Answer{}, err
	}
	var added bool
	if c.method == mcp.MethodResourcesSubscribe {
		added, err = b.store.Subscribe(ctx, c.session.ID, sub)
	} else {
		err = b.store.Unsubscribe(ctx, c.session.ID, sub)
	}
	if err != nil {
		return upstream.Answer{}, err
	}
	answer, err := up.Request(ctx, upstream.Session(backend), c.method, params)
	if errors.Is(err, upstream.ErrSessionGone) {
		question.Stale = backend.ID
		if backend, err = b.openBackend(ctx, up, question); err == nil {
			answer, err = up.Request(ctx, upstream.Session(backend), c.method, params)
		}
	}
	if added && (err != nil || answer.Error != nil) {
		// Though ctx may have ended: later sessions would be told of it.
		forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := b.store.Unsubscribe(forget, c.session.ID, sub); err != nil {
			b.log.Debug("refused subscription stays recorded", zap.Error(err))
		}
	}
	return answer, err
}

// relayed answers with what the server has answered.
func (c *call) relayed(owner string, answer upstream.Answer) {
	tail := append([]byte(`,"result":`), answer.Result...)
	if answer.Error != nil {
		tail = append([]byte(`,"error":`), answer.Error...)
	}
	message := append(append([]byte(`{"jsonrpc":"2.0","id":`), c.id...), append(tail, '}')...)
	marker := tag.NewMarker([]byte(c.session.ID), owner)
	c.write(fromserver.Rewrite(nil, message, &marker, c.view.label(owner)))
}
