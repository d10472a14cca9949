package legacy

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// tooOld reports whether the revision asked for, a string at that place, is one
// from before Streamable HTTP. Revisions are dates and compare as strings.
func tooOld(text []byte, asked jsonrpc.Span) bool {
	v, ok := jsonrpc.Unquote(nil, asked.Of(text))
	return ok && len(v) == len(mcp.Revision20250326) && v[4] == '-' && v[7] == '-' && mcp.Revision(v) < mcp.Revision20250326
}

// setVersion replaces the revision at that place; no other byte changes.
func setVersion(text []byte, at jsonrpc.Span, version mcp.Revision) []byte {
	return jsonrpc.ReplaceSpan(nil, text, at, jsonrpc.AppendQuote(nil, []byte(version)))
}

// negotiated is the place of result.protocolVersion in the answer to initialize,
// empty if there is none.
func negotiated(text []byte) jsonrpc.Span {
	var m jsonrpc.Message
	if err := m.Scan(text); err != nil || m.Result.Empty() {
		return jsonrpc.Span{}
	}
	var found jsonrpc.Span
	result := m.Result.Of(text)
	// The text was scanned: an error means that the result is no object.
	_ = jsonrpc.Members(result, func(key, value jsonrpc.Span) bool {
		if string(key.Of(result)) != `"protocolVersion"` {
			return true
		}
		found = jsonrpc.Span{Start: m.Result.Start + value.Start, End: m.Result.Start + value.End}
		return false
	})
	return found
}
