package broker

import (
	"net/http"
	"time"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// list answers all list methods of all revisions with pages that were made when
// the list last changed (2025-11-25, server/utilities/pagination). It waits for no
// server.
func (b *Broker) list(c *call) {
	if !b.begun(c) {
		return
	}
	kind := listOf(c.method)
	defer func(start time.Time) { b.metrics.Listed(kind.String(), time.Since(start)) }(time.Now())
	g := c.view.groupOf(c.who)
	if server := c.shown.FailingOf(kind, func(name string) bool { return reaches(g, c.endpoint, name, kindOf(kind)) }); server != "" {
		c.fail(http.StatusOK, mcp.CodeInternalError, "the list is not complete: server "+server+" is not available")
		return
	}
	first, at := c.shown.First, c.shown.Page
	if c.modern != nil {
		first, at = c.shown.FirstStateless, c.shown.PageStateless
	}
	if g != nil {
		part := c.part(g, kind)
		first = func(catalog.Kind) []byte { return part.First() }
		at = func(_ catalog.Kind, cursor string) ([]byte, bool) { return part.Page(cursor) }
	}
	page, ok := []byte(nil), true
	if raw := c.msg.Cursor.Of(c.body); raw == nil || string(raw) == "null" {
		page = first(kind)
	} else if cursor, isString := jsonrpc.Unquote(nil, raw); !isString {
		ok = false
	} else {
		page, ok = at(kind, string(cursor))
	}
	switch {
	case !ok:
		c.fail(http.StatusOK, mcp.CodeInvalidParams, "unknown cursor: the list may have changed, begin anew without one")
	case c.modern != nil:
		c.replyModern(c.view.endpoints[c.endpoint].listed[kind], page)
	default:
		c.reply(page)
	}
}

func listOf(method string) catalog.Kind {
	switch method {
	case mcp.MethodPromptsList:
		return catalog.Prompts
	case mcp.MethodResourcesList:
		return catalog.Resources
	case mcp.MethodResourcesTemplates:
		return catalog.Templates
	}
	return catalog.Tools
}
