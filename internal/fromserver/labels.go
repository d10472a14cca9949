package fromserver

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/resourceuri"
	"mcp-gateway/internal/tag"
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
	// Owner is whose these tasks are: their ids are sealed for it.
	Owner tag.Owner
	// Server is named where it asks the user to open a URL; empty for nobody.
	Server string
	// Private tells that a result is for its client alone, whatever its cacheScope says
	// (2026-07-28, server/utilities/caching).
	Private bool
}

// Concern reports whether Append may change message.
func (l Labels) Concern(message []byte) bool {
	var w Words
	if l.URI != "" {
		w |= WordURI
	}
	if l.tasks() {
		w |= WordTask
	}
	if l.Server != "" {
		w |= WordInputs | WordEscape
	}
	if l.Private {
		w |= WordPublic | WordEscape
	}
	return w.In(message)
}

// tasks reports whether ids of tasks change.
func (l Labels) tasks() bool { return l.Task != "" || l.Owner.Seals() }

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
	if !r.labels.tasks() {
		return nil
	}
	switch key {
	case "taskId":
		if r.message[value.Start] == '"' {
			r.finds = append(r.finds, find{Span: value, task: true})
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

// appendTask appends the id of a task as its owner may use it.
func (l Labels) appendTask(dst, token []byte) []byte {
	own, ok := jsonrpc.Unquote(nil, token)
	if !ok {
		return append(dst, token...)
	}
	id := l.Owner.Seal(string(own))
	if l.Task != "" {
		id = resourceuri.Join(l.Task, id)
	}
	return jsonrpc.AppendQuote(dst, []byte(id))
}
