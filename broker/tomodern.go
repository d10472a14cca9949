package broker

import (
	"context"
	"net/http"
	"slices"
	"time"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/tomodern"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/mcpparam"
	"mcp-gateway/internal/tag"
)

// toModern makes the calls of clients with a session at servers that speak
// stateless revisions only: the filter sends these to the broker, as the server's
// questions need somebody who waits for the answers.
func (b *Broker) toModern(c *call) {
	if !b.begun(c) {
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
	if s := up.Snapshot(); !s.Modern {
		b.notRouted(c)
		return
	}
	ctx, stop := b.callContext(c, to.server)
	defer stop(nil)
	x := &crossing{
		broker: b, call: c, key: c.session.ID.Key(), id: plainID(c.id), server: to.server, up: up, stop: stop,
		declared: tomodern.Declare(c.session.Version, c.session.Capabilities),
		marker:   tag.NewMarker([]byte(c.session.ID), to.server),
		header:   c.mirrored(to),
	}
	if !b.crossings.add(x, c.view.limits.Calls) {
		b.tooManyCalls(c)
		return
	}
	b.metrics.Called(metrics.ToModern)
	defer b.crossings.remove(x)
	// From here on the session's end ends the call.
	settings, err := b.store.Settings(c.r.Context(), c.session.ID)
	if err != nil {
		b.failStore(c, err)
		return
	}
	x.level = settings.Level
	x.request = tomodern.NewCall(c.body, &c.msg, to.at, to.own, tomodern.Client{
		Info: c.session.ClientInfo, Declared: x.declared, Level: x.level,
	})
	x.out = newAnswering(c, func() { _, _ = b.store.Get(ctx, c.session.ID) }) // of its end the store tells itself
	defer x.out.end()
	x.run(ctx)
}

// callContext lives as long as a call may take. The client's leaving does not end
// it at once: it is no cancellation (2025-11-25, basic/transports).
func (b *Broker) callContext(c *call, server string) (context.Context, context.CancelCauseFunc) {
	ctx, stop := context.WithCancelCause(credential.With(b.life, credential.From(c.r.Context())))
	tooLong := func() { stop(errTooLong) }
	if limit := c.view.limit(server); limit > 0 {
		timer := time.AfterFunc(limit, tooLong)
		return ctx, func(why error) { timer.Stop(); stop(why) }
	}
	// Only the client's patience bounds it.
	forget := context.AfterFunc(c.r.Context(), func() { time.AfterFunc(longestReplay, tooLong) })
	return ctx, func(why error) { forget(); stop(why) }
}

// target is where a call belongs.
type target struct {
	server, own string
	// at is the name or URI in the body that own replaces.
	at jsonrpc.Span
	// tool is the exposed name of a tool; empty for all else.
	tool string
}

// target finds the server of a call; it answers if there is none.
func (c *call) target() (target, bool) {
	m := &c.msg
	switch c.method {
	case mcp.MethodToolsCall:
		return c.named(catalog.Tools, m.Name, "params.name", "Unknown tool: ")
	case mcp.MethodPromptsGet:
		return c.named(catalog.Prompts, m.Name, "params.name", "Unknown prompt: ")
	case mcp.MethodResourcesRead:
		code := mcp.CodeResourceNotFound
		if c.modern != nil {
			code = mcp.CodeInvalidParams
		}
		return c.located(m.URI, "params.uri", code)
	}
	switch kind, _ := jsonrpc.Unquote(nil, m.RefType.Of(c.body)); string(kind) {
	case "ref/prompt":
		return c.named(catalog.Prompts, m.RefName, "params.ref.name", "Unknown prompt: ")
	case "ref/resource":
		return c.located(m.RefURI, "params.ref.uri", mcp.CodeInvalidParams)
	}
	c.fail(http.StatusOK, mcp.CodeInvalidParams, "params.ref must be a ref/prompt or a ref/resource")
	return target{}, false
}

func (c *call) named(kind catalog.Kind, at jsonrpc.Span, member, unknown string) (target, bool) {
	name, ok := jsonrpc.Unquote(nil, at.Of(c.body))
	if !ok {
		c.fail(http.StatusOK, mcp.CodeInvalidParams, member+" must be a string")
		return target{}, false
	}
	item, other, ok := c.shown.Owner(kind, string(name))
	answered := false
	if ok = ok && !(c.modern != nil && item.Stateful); ok {
		ok, answered = c.may(kind, catalog.Listed{Server: item.Server, Name: string(name), Own: item.Own, Hints: item.Hints})
	}
	if ok && other != "" {
		ok, answered = c.may(kind, catalog.Listed{Server: item.Server, Name: other, Own: item.Own})
	}
	if !ok {
		if !answered {
			c.fail(http.StatusOK, mcp.CodeInvalidParams, unknown+string(name))
		}
		return target{}, false
	}
	to := target{server: item.Server, own: item.Own, at: at}
	if kind == catalog.Tools {
		to.tool = string(name)
	}
	return to, true
}

func (c *call) located(at jsonrpc.Span, member string, unknown int) (target, bool) {
	uri, ok := jsonrpc.Unquote(nil, at.Of(c.body))
	if !ok {
		c.fail(http.StatusOK, mcp.CodeInvalidParams, member+" must be a string")
		return target{}, false
	}
	server, own, ok := c.shown.Resource(string(uri))
	answered := false
	if ok {
		ok, answered = c.may(catalog.Resources, catalog.Listed{Server: server, Name: string(uri), Own: own})
	}
	if !ok {
		if !answered {
			c.failData(http.StatusOK, unknown, "Resource not found", append(append([]byte(`{"uri":`), at.Of(c.body)...), '}'))
		}
		return target{}, false
	}
	return target{server: server, own: own, at: at}, true
}

// mirrored returns what tells the headers of a call that mirror its arguments
// (2026-07-28, basic/transports/streamable-http, Custom Headers from Tool
// Parameters), by the lists of a view.
func (c *call) mirrored(to target) func(*view) map[string]string {
	params := c.msg.Params.Of(c.body)
	arguments := objectMember(params, `"arguments"`)
	return func(v *view) map[string]string {
		shown := v.catalog.View(c.endpoint)
		if to.tool == "" || shown == nil {
			return nil
		}
		item, ok := shown.Find(catalog.Tools, to.tool)
		if !ok || item.Server != to.server {
			return nil
		}
		return mcpparam.Headers(objectMember(item.Raw, `"inputSchema"`), arguments)
	}
}

// modernOnly reports whether a server speaks only revisions without sessions.
func modernOnly(s *upstream.Snapshot) bool { return s.Modern && !s.Legacy }

// hasModernOnly reports whether there is any such server.
func (v *view) hasModernOnly() bool {
	for _, up := range v.servers {
		if modernOnly(up.Snapshot()) {
			return true
		}
	}
	return false
}

// sameEras reports whether the servers speak in both views what they spoke.
func (v *view) sameEras(next *view) bool {
	return slices.EqualFunc(v.seen, next.seen, func(a, b *upstream.Snapshot) bool { return modernOnly(a) == modernOnly(b) })
}
