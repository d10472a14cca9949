package broker

import (
	"net/http"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/ferry"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/tolegacy"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// isSessionless reports whether a message of a revision with sessions names none
// and is served nevertheless, as the configuration may say. Nothing that needs a
// session comes of it: no requests of servers, no stream, no settings.
func (c *call) isSessionless() bool {
	values := c.r.Header.Values(mcp.HeaderSession)
	return c.view.config.Sessionless && (len(values) == 0 || len(values) == 1 && values[0] == "") &&
		(c.msg.Kind == jsonrpc.Notification || c.msg.Kind == jsonrpc.Request && c.method != mcp.MethodInitialize)
}

// dispatchSessionless answers such a message.
func (b *Broker) dispatchSessionless(c *call) {
	if c.msg.Kind == jsonrpc.Notification {
		c.w.WriteHeader(http.StatusAccepted)
		return
	}
	c.session = session.Session{Endpoint: c.endpoint, Principal: c.principal()}
	switch c.method {
	case mcp.MethodPing, mcp.MethodToolsList, mcp.MethodPromptsList, mcp.MethodResourcesList, mcp.MethodResourcesTemplates:
		b.methods[c.method](c)
	case mcp.MethodToolsCall, mcp.MethodPromptsGet, mcp.MethodResourcesRead, mcp.MethodComplete:
		b.callSessionless(c)
	default:
		if _, ok := b.methods[c.method]; !ok {
			c.fail(http.StatusOK, mcp.CodeMethodNotFound, "method not found")
			return
		}
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "Mcp-Session-Id header is missing: initialize first")
	}
}

// callSessionless makes a call in a session that callers with the same credential
// share. Whoever leaves has cancelled it, as nothing else could.
func (b *Broker) callSessionless(c *call) {
	if !b.begun(c) {
		return
	}
	to, ok := c.target()
	if !ok {
		return
	}
	up := c.view.server(c.endpoint, to.server)
	switch {
	case up == nil:
		c.fail(http.StatusOK, mcp.CodeInternalError, "server "+to.server+" is not available")
		return
	case modernOnly(up.Snapshot()):
		c.fail(http.StatusOK, mcp.CodeInternalError, "server "+to.server+" can be called within a session only: initialize first")
		return
	}
	by := credential.From(c.r.Context())
	k, err := b.ferry.Begin(ferry.Call{
		Server: to.server, At: up, Session: b.poolKey(c.view, to.server, c.principal(), nil, by),
		Message: func(id string) []byte { return tolegacy.Request(&c.msg, c.body, to.own, id) },
		Method:  c.method, Label: c.view.label(to.server), Sessions: true,
		Timeout: c.view.limit(to.server),
	}, ferry.Request{ID: c.id, Token: c.msg.ProgressToken.Of(c.body), By: by})
	if err != nil {
		b.tooManyCalls(c)
		return
	}
	b.metrics.Called(metrics.ToLegacy)
	b.serveCaller(c, k)
}
