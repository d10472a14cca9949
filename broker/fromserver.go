package broker

import (
	"cmp"
	"slices"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/resourceuri"
	"mcp-gateway/internal/tag"
)

// fromServer appends a message of a server as the client may see it: the id and
// the progress token of a request marked, and the URI of an updated resource
// with the server's label.
func fromServer(dst, message []byte, server, label string) []byte {
	var m jsonrpc.Message
	if m.Scan(message) != nil || m.Kind != jsonrpc.Request && m.Kind != jsonrpc.Notification {
		return append(dst, message...)
	}
	type change struct {
		jsonrpc.Span
		with []byte
	}
	var changes []change
	mark := func(s jsonrpc.Span) {
		if !s.Empty() {
			changes = append(changes, change{s, tag.AppendToken(nil, server, s.Of(message))})
		}
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	switch {
	case m.Kind == jsonrpc.Request:
		mark(m.ID)
		mark(m.ProgressToken)
	case string(method) == mcp.MethodNotifyCancelled:
		params := m.Params.Of(message)
		_ = jsonrpc.Members(params, func(key, value jsonrpc.Span) bool { // was scanned
			if string(key.Of(params)) == `"requestId"` {
				mark(jsonrpc.Span{Start: m.Params.Start + value.Start, End: m.Params.Start + value.End})
			}
			return true
		})
	case string(method) == mcp.MethodNotifyResourceUpdated && m.URIIsString && label != "":
		uri, _ := jsonrpc.Unquote(nil, m.URI.Of(message))
		changes = append(changes, change{m.URI, jsonrpc.AppendQuote(nil, []byte(resourceuri.Join(label, string(uri))))})
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.Start, b.Start) })
	from := 0
	for _, c := range changes {
		dst = append(append(dst, message[from:c.Start]...), c.with...)
		from = c.End
	}
	return append(dst, message[from:]...)
}
