package upstream

import (
	"fmt"
	"net/http"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// describe sets the headers in which a request of a stateless revision repeats
// what its body says (2026-07-28, basic/transports/streamable-http, Request
// Headers), and takes away that of a session, which only a configuration can
// have put there.
func describe(h http.Header, body []byte) error {
	h.Del(mcp.HeaderSession)
	h.Del(mcp.HeaderName)
	var m jsonrpc.Message
	if err := m.Scan(body); err != nil {
		return fmt.Errorf("the message is none: %w", err)
	}
	method, ok := jsonrpc.Unquote(nil, m.Method.Of(body))
	if !ok {
		return fmt.Errorf("a %v is nothing for a server without sessions", m.Kind)
	}
	h.Set(mcp.HeaderMethod, string(modern.AppendHeader(nil, method)))
	if named := modern.Named(&m, method); named.There() {
		// What is no string is the server's to refuse.
		if name, ok := jsonrpc.Unquote(nil, named.Of(body)); ok {
			h.Set(mcp.HeaderName, string(modern.AppendHeader(nil, name)))
		}
	}
	return nil
}
