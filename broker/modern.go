package broker

import (
	"encoding/json"
	"net/http"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// modernTable maps each method of the stateless revisions that can come here to
// its function (2026-07-28). None of them has a session; what a client declares
// comes with each request.
func (b *Broker) modernTable() map[string]func(*call) {
	return map[string]func(*call){
		mcp.MethodDiscover:           b.discover,
		mcp.MethodToolsList:          b.list,
		mcp.MethodPromptsList:        b.list,
		mcp.MethodResourcesList:      b.list,
		mcp.MethodResourcesTemplates: b.list,
		mcp.MethodListen:             b.listen,
		mcp.MethodToolsCall:          b.toLegacy,
		mcp.MethodPromptsGet:         b.toLegacy,
		mcp.MethodResourcesRead:      b.toLegacy,
		mcp.MethodComplete:           b.toLegacy,
		mcp.MethodTasksGet:           b.notRouted,
		mcp.MethodTasksUpdate:        b.notRouted,
		mcp.MethodTasksCancel:        b.notRouted,
	}
}

// modernCall is what a request of a stateless revision brings along with its
// method (2026-07-28, basic/index, _meta).
type modernCall struct {
	// capabilities and clientInfo are the client's, raw objects that point into the
	// body; nil for none, or what is too large to keep, as initialize has it.
	capabilities, clientInfo json.RawMessage
	// logLevel is the least severe message that the client wants; empty for none
	// at all.
	logLevel string
}

// isModern reports whether the message belongs to a stateless revision.
func (c *call) isModern() bool { return modern.Is(&c.msg, headersOf(c.r)) }

// headersOf returns the headers that repeat what a body says.
func headersOf(r *http.Request) modern.Headers {
	var h modern.Headers
	take := func(name string) []byte {
		values := r.Header.Values(name)
		if len(values) == 0 {
			return nil
		}
		h.Repeated = h.Repeated || len(values) > 1
		return []byte(values[0])
	}
	h.Version, h.Method, h.Name = take(mcp.HeaderProtocolVersion), take(mcp.HeaderMethod), take(mcp.HeaderName)
	return h
}

// postModern answers a message of a stateless revision (2026-07-28,
// basic/transports/streamable-http, Sending Messages). A session id in it means
// nothing, and none is given.
func (b *Broker) postModern(c *call) {
	switch c.msg.Kind {
	case jsonrpc.Request:
	case jsonrpc.Notification:
		c.w.WriteHeader(http.StatusAccepted)
		return
	default:
		c.id = nil // a response's is the client's own
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "the body must be one request or notification")
		return
	}
	if refusal := modern.Check(&c.msg, c.body, headersOf(c.r)); refusal != nil {
		c.failData(http.StatusBadRequest, refusal.Code, refusal.Message, refusal.Data)
		return
	}
	answer, ok := b.modern[c.method]
	if !ok {
		c.failModern(mcp.CodeMethodNotFound, "method not found", nil)
		return
	}
	level, _ := jsonrpc.Unquote(nil, c.msg.MetaLogLevel.Of(c.body))
	c.modern = &modernCall{
		capabilities: kept(c.msg.MetaCapabilities.Of(c.body)),
		clientInfo:   keptInfo(c.msg.MetaClientInfo.Of(c.body)),
		logLevel:     string(level),
	}
	answer(c)
}

// onlyPost answers another verb with the headers of a stateless revision
// (2026-07-28, basic/transports/streamable-http, Earlier revisions).
func (c *call) onlyPost() {
	c.w.Header().Set("Allow", "POST")
	c.fail(http.StatusMethodNotAllowed, mcp.CodeInvalidRequest, "method not allowed: this protocol version has no stream and no session")
}

// replyModern answers a request of a stateless revision: tail is what follows
// the id, to the last byte, in parts, as in `,"result":{"resultType":"complete"}}`.
func (c *call) replyModern(tail ...[]byte) { c.reply(tail...) }

// failModern answers a request of a stateless revision with an error, under the
// HTTP status that goes with the code (2026-07-28, basic/index, Error Codes). data
// is a raw value, nil for none.
func (c *call) failModern(code int, message string, data []byte) {
	status := http.StatusOK
	switch code {
	case mcp.CodeMethodNotFound:
		status = http.StatusNotFound
	case mcp.CodeHeaderMismatch, mcp.CodeMissingCapability, mcp.CodeUnsupportedVersion:
		status = http.StatusBadRequest
	}
	c.failData(status, code, message, data)
}
