package fromserver

import (
	"bytes"

	"mcp-gateway/internal/jsonrpc"
)

// Labels are what goes before a value that a client may send back, in a message
// of which nothing needs a mark: stateless servers send no requests, and what
// answers a request comes in its own exchange. An empty one leaves its values as
// they are.
type Labels struct {
	// URI goes before the resource URIs that Rewrite labels.
	URI string
	// Task goes before ids of tasks: taskId of a result and of
	// notifications/tasks (extension io.modelcontextprotocol/tasks, SEP-2663). With
	// it the result or error that a task has ended with is looked into as well.
	Task string
	// Server is named where it asks the user to open a URL; empty for nobody.
	Server string
}

// Concern reports whether Append may change message.
func (l Labels) Concern(message []byte) bool {
	return l.URI != "" && bytes.Contains(message, uriMember) || l.Task != "" && bytes.Contains(message, taskMember) ||
		l.Server != "" && MayAsk(message)
}

// Append appends message, one JSON-RPC message of a server, to dst as a client
// may see it. A message that cannot be read is copied.
func (l Labels) Append(dst, message []byte) []byte {
	if !l.Concern(message) {
		return append(dst, message...)
	}
	r := rewriter{message: message, labels: l, server: l.Server}
	return r.append(dst)
}

// task reads a member of a task, or of a result that may be one.
func (r *rewriter) task(key string, value jsonrpc.Span) error {
	if r.labels.Task == "" {
		return nil
	}
	switch key {
	case "taskId":
		if r.message[value.Start] == '"' {
			r.finds = append(r.finds, find{Span: value, label: r.labels.Task})
		}
	case "error":
		return r.members(value, r.error)
	case "result":
		// Of the request that became the task, so no task itself.
		inner := rewriter{message: r.message, labels: Labels{URI: r.labels.URI}}
		err := inner.members(value, inner.result)
		r.finds = append(r.finds, inner.finds...)
		return err
	}
	return nil
}
