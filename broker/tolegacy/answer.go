package tolegacy

import (
	"strconv"

	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/tag"
)

// Answered is what a response belongs to.
type Answered struct {
	// ID is the raw id of the client's request, Method its method.
	ID     []byte
	Method string
	// URI is the one of resources/read, as the client wrote it.
	URI string
	// Sessions tells that the client's revision has sessions, too: what the server
	// answers is in a form that it knows.
	Sessions bool
	// Label goes before resource URIs of the server; empty for none.
	Label string
}

// Response returns a server's response as a client of the stateless revisions
// reads it (2026-07-28, basic/index, Results and Error Codes): with the client's
// id, a resultType, and what a cache must know of a resource: that it is not to be
// kept. Of an error the code that is not in use any more becomes the one that is.
// False for a result that no such client can take.
func Response(message []byte, to Answered) ([]byte, bool) {
	var none tag.Marker // a response has nothing to mark
	message = fromserver.Rewrite(nil, message, &none, to.Label)
	var m jsonrpc.Message
	if m.Scan(message) != nil || m.Kind != jsonrpc.Response {
		return nil, false
	}
	edits := []edit{{m.ID, to.ID}}
	if to.Sessions {
		return apply(nil, message, edits), true
	}
	if m.Result.Empty() {
		return apply(nil, message, append(edits, notFound(message, m.Error, to)...)), true
	}
	if !isObject(m.Result.Of(message)) || to.Method == mcp.MethodToolsCall && isTask(m.Result.Of(message)) {
		return nil, false
	}
	names, add := []string{"resultType"}, `"resultType":"complete"`
	if to.Method == mcp.MethodResourcesRead {
		names, add = append(names, "ttlMs", "cacheScope"), add+`,"ttlMs":0,"cacheScope":"private"`
	}
	more, left := cut(membersOf(message, m.Result), names...)
	if left > 0 {
		add += ","
	}
	begin := jsonrpc.Span{Start: m.Result.Start + 1, End: m.Result.Start + 1}
	edits = append(append(edits, edit{begin, []byte(add)}), more...)
	return apply(make([]byte, 0, len(message)+64), message, edits), true
}

// isTask reports whether the result is a task of 2025-11-25, which nobody could
// ask for its result.
func isTask(result []byte) bool {
	return isObject(get(result, "task")) && get(result, "content") == nil
}

// notFound changes an error that says that a resource is not found.
func notFound(message []byte, at jsonrpc.Span, to Answered) []edit {
	var edits []edit
	var data jsonrpc.Span
	members := membersOf(message, at)
	for _, m := range members {
		switch {
		case m.name == "code" && Code(at.Of(message)) == mcp.CodeResourceNotFound:
			edits = append(edits, edit{m.value, strconv.AppendInt(nil, mcp.CodeInvalidParams, 10)})
		case m.name == "data":
			data = m.value
		}
	}
	if len(edits) == 0 || to.Method != mcp.MethodResourcesRead || text(get(data.Of(message), "uri")) != "" {
		return edits
	}
	uri := append(append([]byte(`{"uri":`), quote(to.URI)...), '}')
	if !data.Empty() {
		return append(edits, edit{data, uri})
	}
	end := jsonrpc.Span{Start: members[len(members)-1].value.End, End: members[len(members)-1].value.End}
	return append(edits, edit{end, append([]byte(`,"data":`), uri...)})
}

// Code returns the code of a raw error object; 0 if it has none.
func Code(raw []byte) int {
	n, err := strconv.Atoi(string(get(raw, "code")))
	if err != nil {
		return 0
	}
	return n
}

// Progress returns a notifications/progress under another token, raw; nil if it is
// none of the token's.
func Progress(m *jsonrpc.Message, message []byte, token string, as []byte) []byte {
	if m.Progress.Empty() || text(m.Progress.Of(message)) != token || len(as) == 0 {
		return nil
	}
	return jsonrpc.ReplaceSpan(nil, message, m.Progress, as)
}

// Level returns the level of a notifications/message; empty if it has none.
func Level(m *jsonrpc.Message, message []byte) string {
	return text(get(m.Params.Of(message), "level"))
}
