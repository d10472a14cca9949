package broker

import (
	"net/http"
	"time"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/ferry"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/pool"
	"mcp-gateway/broker/requeststate"
	"mcp-gateway/broker/tolegacy"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/mcpparam"
)

// pooledIdle is how long a session stays that clients without sessions share.
const pooledIdle = 5 * time.Minute

// startFerry makes what calls of clients without sessions need.
func (b *Broker) startFerry() {
	b.sealer = requeststate.New(b.opts.Secret)
	b.pool = pool.New(pool.Options{
		Log: b.log, Idle: pooledIdle,
		Bounds: func() (int, int) {
			l := b.limits()
			return l.PooledSessions, l.PooledSessionsPerServer
		},
		Refused:     func() { b.metrics.Refused(limitPooled) },
		OpenTimeout: openLease, EndTimeout: endTimeout, CloseTimeout: closeTimeout,
	})
	b.ferry = ferry.New(ferry.Options{
		Log: b.log, Pool: b.pool, Sealer: b.sealer, Instance: b.mail.instance, Send: b.mail.send,
		Bounds: func() (int, int) {
			l := b.limits()
			return l.Calls, l.WaitingCalls
		},
		NotHeld: func() { b.metrics.Refused(limitWaiting) },
	})
	b.mail.handle(ferry.KindContinue, b.ferry.ContinueFor)
	b.mail.handle(ferry.KindSaid, b.ferry.Said)
	b.mail.handle(ferry.KindLeft, b.ferry.LeftFor)
}

// toLegacy carries a call of a stateless client to a server with sessions: the
// filter leaves it to the broker to translate.
func (b *Broker) toLegacy(c *call) {
	if !b.started(c) {
		c.fail(http.StatusOK, mcp.CodeInternalError, "the gateway is starting")
		return
	}
	if !c.findEndpoint() {
		return
	}
	to, ok := c.target()
	if !ok {
		return
	}
	up := c.view.server(c.endpoint, to.server)
	if up == nil {
		c.fail(http.StatusOK, mcp.CodeInternalError, "server "+to.server+" is not available")
		return
	}
	if modernOnly(up.Snapshot()) {
		b.notRouted(c)
		return
	}
	params := c.msg.Params.Of(c.body)
	arguments := tolegacy.Arguments(params)
	if item, ok := c.shown.Find(catalog.Tools, to.tool); ok {
		if err := mcpparam.Check(objectMember(item.Raw, `"inputSchema"`), arguments, c.r.Header.Values); err != nil {
			c.failModern(mcp.CodeHeaderMismatch, "header and body do not agree: "+err.Error(), nil)
			return
		}
	}
	exposed, _ := jsonrpc.Unquote(nil, to.at.Of(c.body))
	by := credential.From(c.r.Context())
	key := b.poolKey(c.view, to.server, c.principal(), c.modern.capabilities, by)
	of := ferry.Request{
		ID: c.id, Token: c.msg.ProgressToken.Of(c.body), Level: c.modern.logLevel, Capabilities: []byte(key.Capabilities), By: by,
	}
	binding := requeststate.Binding{
		Principal: c.principal(), Endpoint: c.endpoint,
		Method: c.method, Target: string(exposed), Arguments: arguments,
	}
	if tolegacy.Asks(c.method) {
		if k, done := b.retry(c, params, of, binding); done {
			return
		} else if k != nil {
			b.serveCaller(c, k)
			return
		}
	}
	k, err := b.ferry.Begin(ferry.Call{
		Server: to.server, At: up, Session: key,
		Message: func(id string) []byte { return tolegacy.Request(&c.msg, c.body, to.own, id) },
		Method:  c.method, Label: c.view.label(to.server), Binding: binding,
		Logging: up.Snapshot().Logging, Timeout: c.view.limit(to.server),
	}, of)
	if err != nil {
		b.tooManyCalls(c)
		return
	}
	b.metrics.Called(metrics.ToLegacy)
	b.serveCaller(c, k)
}

// retry goes on with a call that a request brings input for. Neither, if the
// request begins one; done, if it was answered.
func (b *Broker) retry(c *call, params []byte, of ferry.Request, binding requeststate.Binding) (k *ferry.Caller, done bool) {
	brought := tolegacy.ReadRetry(params)
	switch {
	case brought.Malformed:
		c.failModern(mcp.CodeInvalidParams, "requestState must be a string, inputResponses an object", nil)
		return nil, true
	case !brought.HasState:
		return nil, false // nothing waits for it
	}
	state, err := b.sealer.Open(brought.State, binding, time.Now())
	if err != nil {
		c.failModern(mcp.CodeInvalidParams, "requestState is not valid here: call again without it", nil)
		return nil, true
	}
	if state.Call != "" {
		return b.ferry.Continue(ferry.Retry{Request: of, State: state, Responses: brought.Responses}), false
	}
	for _, key := range state.Keys {
		if response := tolegacy.Get(brought.Responses, key); response != nil && !tolegacy.Accepted(response) {
			c.failModern(mcp.CodeInternalError, "the server needs the user to open a URL, and that was declined", nil)
			return nil, true
		}
	}
	return nil, false
}

// poolKey tells in which pooled session of a server a caller's requests go. Of
// capabilities too large to be kept nothing is declared, as in initialize.
func (b *Broker) poolKey(v *view, server, principal string, capabilities []byte, by *credential.Caller) pool.Key {
	if len(capabilities) > largestKept {
		capabilities = nil
	}
	declared := declaredTo(capabilities, len(v.config.Servers) == 1)
	return pool.Key{
		Principal: principal, Capabilities: string(requeststate.Canonical(declared)), Version: mcp.LatestLegacy,
		Forwarded: v.forwarded(server, by),
	}
}
