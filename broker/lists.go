package broker

import (
	"net/http"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/mcp"
)

// list answers all list methods, each in one page, with bytes that were made
// when the list last changed.
func (b *Broker) list(c *call) {
	if cursor := c.msg.Cursor.Of(c.body); cursor != nil && string(cursor) != "null" {
		c.fail(http.StatusOK, mcp.CodeInvalidParams, "unknown cursor: lists have one page")
		return
	}
	if !b.started(c) {
		c.fail(http.StatusOK, mcp.CodeInternalError, "the gateway is starting")
		return
	}
	c.reply(c.view.catalog.Answer(listOf(c.method)))
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
