package tomodern

import (
	"errors"
	"fmt"
	"strconv"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Answer is a server's response. One of the fields is set.
type Answer struct {
	// Result is for the client, raw, without what its revision does not know.
	Result []byte
	// Error is for the client, a raw error object.
	Error []byte
	// Required means that there is no answer yet.
	Required *Required
	// Refused is one of the codes of the stateless revisions that a client with a
	// session cannot know: what they blame is between the gateway and the server.
	Refused int
}

// Read takes a server's response to a call of a method apart. The error says
// what is wrong with it.
func Read(method string, message []byte) (Answer, error) {
	var m jsonrpc.Message
	if err := m.Scan(message); err != nil {
		return Answer{}, fmt.Errorf("the server's answer is no message: %w", err)
	}
	if !m.Error.Empty() {
		return readError(method, m.Error.Of(message)), nil
	}
	result := m.Result.Of(message)
	if !isObject(result) {
		return Answer{}, errors.New("the server's result is no object")
	}
	kind := member(result, "resultType")
	switch text := unquoted(kind); {
	case kind == nil, text == "complete":
		return Answer{Result: forClient(method, result)}, nil
	case text == "input_required":
		if method != mcp.MethodToolsCall && method != mcp.MethodPromptsGet && method != mcp.MethodResourcesRead {
			return Answer{}, fmt.Errorf("the server requires inputs for %s, which can have none", method)
		}
		r, err := required(result)
		return Answer{Required: &r}, err
	}
	return Answer{}, errors.New("the server's result is of an unknown type")
}

// forClient takes out of a result what revisions with sessions do not have. In
// them structuredContent is an object (2025-11-25, server/tools, Structured
// Content); what else it holds stays as text.
func forClient(method string, result []byte) []byte {
	drop := []string{"resultType", "ttlMs", "cacheScope"}
	structured := member(result, "structuredContent")
	if method != mcp.MethodToolsCall || structured == nil || isObject(structured) {
		return without(result, drop...)
	}
	drop = append(drop, "structuredContent")
	content := member(result, "content")
	if hasText(content) {
		return without(result, drop...)
	}
	block := append(jsonrpc.AppendQuote([]byte(`{"type":"text","text":`), structured), '}')
	blocks := []byte{'['}
	_ = jsonrpc.Elements(content, func(v jsonrpc.Span) bool { // what is no array has none
		blocks = append(append(blocks, v.Of(content)...), ',')
		return true
	})
	out := without(result, append(drop, "content")...)
	return append(appendMember(out[:len(out)-1], []byte(`"content"`), append(append(blocks, block...), ']')), '}')
}

// hasText reports whether one of the content blocks is a text.
func hasText(content []byte) (found bool) {
	_ = jsonrpc.Elements(content, func(v jsonrpc.Span) bool {
		found = unquoted(member(v.Of(content), "type")) == "text"
		return !found
	})
	return found
}

// readError reads an error object.
func readError(method string, raw []byte) Answer {
	at := memberAt(raw, "code")
	code, err := strconv.Atoi(string(at.Of(raw)))
	if err != nil {
		return Answer{Error: raw}
	}
	switch code {
	case mcp.CodeHeaderMismatch, mcp.CodeMissingCapability, mcp.CodeUnsupportedVersion:
		return Answer{Refused: code}
	case mcp.CodeInvalidParams:
		// A missing resource has a code of its own in the revisions before
		// (2025-11-25, server/resources, Error Handling).
		if method == mcp.MethodResourcesRead && member(member(raw, "data"), "uri") != nil {
			return Answer{Error: jsonrpc.ReplaceSpan(nil, raw, at, strconv.AppendInt(nil, mcp.CodeResourceNotFound, 10))}
		}
	}
	return Answer{Error: raw}
}
