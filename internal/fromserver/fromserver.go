// Package fromserver makes what a server sends fit for a client that sees many
// servers as one: what only the server itself could understand again is marked
// with the server's name (internal/tag), and resource URIs get its label
// (internal/resourceuri). A few tokens are replaced where they stand; every
// other byte is the server's.
package fromserver

import (
	"slices"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/resourceuri"
	"mcp-gateway/internal/tag"
)

// Concerns reports whether Rewrite may change message.
func Concerns(message []byte, label string) bool { return WordsOf(label).In(message) }

// Rewrite appends message, one JSON-RPC message or a batch of them as a server
// sends it, to dst as a client may see it:
//
//   - of a request its id and params._meta.progressToken are marked by marker,
//     and so is params.requestId of the notifications/cancelled that takes it
//     back;
//   - with a label, it goes before each resource URI that a client may send
//     back: result.contents[].uri, uri and resource.uri of the content blocks in
//     result.content[] and result.messages[].content, error.data.uri, and
//     params.uri of notifications/resources/updated;
//   - what asks the user to open a URL names the server in its message.
//
// A message that cannot be read so, or holds nothing of this, is copied.
func Rewrite(dst, message []byte, marker *tag.Marker, label string) []byte {
	if !Concerns(message, label) {
		return append(dst, message...)
	}
	r := rewriter{message: message, labels: Labels{URI: label}, marker: marker, server: marker.Server()}
	return r.append(dst)
}

func appendLabelled(dst, token []byte, label string) []byte {
	uri, ok := jsonrpc.Unquote(nil, token)
	if !ok {
		return append(dst, token...)
	}
	return jsonrpc.AppendQuote(dst, []byte(resourceuri.Join(label, string(uri))))
}

// find is a token to replace: by another, or by itself with a label or with a server's
// name in front, or else marked.
type find struct {
	jsonrpc.Span
	token, label, name string
	task               bool
}

// rewriter walks one text and collects the tokens to replace.
type rewriter struct {
	message []byte
	labels  Labels
	marker  *tag.Marker // nil: nothing is marked
	server  string      // that asks for URLs to be opened; empty: nobody is named
	finds   []find
}

// append appends the message to dst, rewritten, or as it is if it cannot be read.
func (r *rewriter) append(dst []byte) []byte {
	if r.top() != nil {
		return append(dst, r.message...)
	}
	return r.replaced(dst)
}

// replaced appends the message with what was found replaced.
func (r *rewriter) replaced(dst []byte) []byte {
	// A batch, and members in any order: marks may have been found backwards.
	slices.SortFunc(r.finds, func(a, b find) int { return a.Start - b.Start })
	from := 0
	for _, f := range r.finds {
		dst = append(dst, r.message[from:f.Start]...)
		token := f.Of(r.message)
		switch {
		case f.token != "":
			dst = append(dst, f.token...)
		case f.task:
			dst = r.labels.appendTask(dst, token)
		case f.label != "":
			dst = appendLabelled(dst, token, f.label)
		case f.name != "":
			text, _ := jsonrpc.Unquote(nil, token) // it is a string
			dst = jsonrpc.AppendQuote(dst, append([]byte(f.name+": "), text...))
		default:
			dst = r.marker.AppendToken(dst, token)
		}
		from = f.End
	}
	return append(dst, r.message[from:]...)
}

// top reads the whole text: a message, or an array of them (2025-03-26,
// basic/transports: an answer may be a batch).
func (r *rewriter) top() error {
	begin := start(r.message)
	whole := jsonrpc.Span{Start: begin, End: len(r.message)}
	if begin < len(r.message) && r.message[begin] == '[' {
		return r.elements(whole, r.envelope)
	}
	return r.envelope(whole)
}

// envelope reads one message. All members of a name count: which of two equal
// ones a client takes is its own affair.
func (r *rewriter) envelope(span jsonrpc.Span) error {
	var method []byte
	var ids, params []jsonrpc.Span
	err := r.members(span, func(key string, value jsonrpc.Span) error {
		switch key {
		case "method":
			method, _ = jsonrpc.Unquote(nil, value.Of(r.message))
		case "id":
			ids = append(ids, value)
		case "params":
			params = append(params, value)
		case "result":
			return r.members(value, r.result)
		case "error":
			return r.members(value, r.error)
		}
		return nil
	})
	if err != nil || len(method) == 0 {
		return err
	}
	for _, id := range ids {
		r.mark(id)
	}
	for _, span := range params {
		if err := r.members(span, r.params(string(method), len(ids) > 0)); err != nil {
			return err
		}
		if string(method) == mcp.MethodElicit {
			if err := r.elicitation(span); err != nil {
				return err
			}
		}
	}
	return nil
}

// params reads the params of a request or notification of a server.
func (r *rewriter) params(method string, isRequest bool) func(key string, value jsonrpc.Span) error {
	return func(key string, value jsonrpc.Span) error {
		switch {
		case isRequest && key == "_meta":
			return r.members(value, func(key string, value jsonrpc.Span) error {
				if key == "progressToken" {
					r.mark(value)
				}
				return nil
			})
		case isRequest:
		case key == "requestId" && method == mcp.MethodNotifyCancelled:
			r.mark(value)
		case key == "uri" && method == mcp.MethodNotifyResourceUpdated:
			r.uri(value)
		case method == mcp.MethodNotifyTasks:
			return r.task(key, value)
		}
		return nil
	}
}

func (r *rewriter) error(key string, value jsonrpc.Span) error {
	if key != "data" {
		return nil
	}
	if r.server != "" { // of URLElicitationRequiredError
		err := r.members(value, func(key string, value jsonrpc.Span) error {
			if key == "elicitations" {
				return r.elements(value, r.elicitation)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return r.holder(value)
}

func (r *rewriter) result(key string, value jsonrpc.Span) error {
	switch key {
	case "contents":
		return r.elements(value, r.holder)
	case "content":
		return r.elements(value, r.block)
	case "messages":
		return r.elements(value, func(message jsonrpc.Span) error {
			return r.members(message, func(key string, value jsonrpc.Span) error {
				if key != "content" {
					return nil
				}
				if err := r.elements(value, r.block); err != nil {
					return err
				}
				return r.block(value)
			})
		})
	}
	if r.server != "" && spells(key, "inputRequests") {
		return r.inputs(value)
	}
	if r.labels.Private && spells(key, "cacheScope") && is(value.Of(r.message), "public") {
		r.finds = append(r.finds, find{Span: value, token: `"private"`})
		return nil
	}
	return r.task(key, value)
}

// block is a content block: a resource_link with a uri, or an embedded
// resource (2025-11-25, server/tools, Tool Result).
func (r *rewriter) block(span jsonrpc.Span) error {
	return r.members(span, func(key string, value jsonrpc.Span) error {
		switch key {
		case "uri":
			r.uri(value)
		case "resource":
			return r.holder(value)
		}
		return nil
	})
}

// holder is an object whose own uri counts.
func (r *rewriter) holder(span jsonrpc.Span) error {
	return r.members(span, func(key string, value jsonrpc.Span) error {
		if key == "uri" {
			r.uri(value)
		}
		return nil
	})
}

func (r *rewriter) uri(value jsonrpc.Span) {
	if r.labels.URI != "" && r.message[value.Start] == '"' {
		r.finds = append(r.finds, find{Span: value, label: r.labels.URI})
	}
}

// mark takes an id or a progress token: a string or a number.
func (r *rewriter) mark(value jsonrpc.Span) {
	if c := r.message[value.Start]; r.marker != nil && (c == '"' || c == '-' || '0' <= c && c <= '9') {
		r.finds = append(r.finds, find{Span: value})
	}
}
