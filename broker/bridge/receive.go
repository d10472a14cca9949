package bridge

import (
	"bytes"
	"strconv"

	"go.uber.org/zap"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/resourceuri"
)

// receive takes one message of the server to where it belongs.
func (p *peer) receive(message []byte) {
	var m jsonrpc.Message
	if err := m.Scan(message); err != nil {
		// Servers print to standard output what belongs to standard error. The
		// text itself may hold anything and is not logged.
		p.fault(err.Reason)
		id := err.ID.Of(message)
		if err.TooDeep || err.Code == mcp.CodeParseError {
			id = jsonrpc.MeantID(message)
		}
		if n, ok := number(id); ok {
			p.refuse(n)
		}
		return
	}
	switch m.Kind {
	case jsonrpc.Batch: // 2025-03-26
		_ = jsonrpc.Elements(message, func(v jsonrpc.Span) bool {
			if item := v.Of(message); item[0] == '{' {
				p.receive(item)
			}
			return true
		})
	case jsonrpc.Response:
		p.respond(message, &m)
	case jsonrpc.Request:
		p.asks(message, &m)
	case jsonrpc.Notification:
		p.notify(message, &m)
	}
}

// fault logs that a message is none.
func (p *peer) fault(reason string) {
	if p.faults++; p.faults <= maxFaults {
		p.bridge.o.Log.Warn("server sends something that is no JSON-RPC message, ignored",
			zap.String("reason", reason), zap.Bool("last_report", p.faults == maxFaults))
	}
}

// number reads one of the bridge's own numbers.
func number(token []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(token), 10, 64)
	return n, err == nil
}

// refuse ends a call whose answer is malformed.
func (p *peer) refuse(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.calls[n]; c != nil {
		p.fail(c, "server "+p.bridge.o.Name+" sent a malformed answer")
	}
}

// respond hands a response to whoever waits for it.
func (p *peer) respond(message []byte, m *jsonrpc.Message) {
	n, ok := number(m.ID.Of(message))
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.calls[n]
	if !ok || c == nil {
		return // of a call that was given up
	}
	p.drop(c)
	if c.box != nil {
		id := c.id
		if c.session == nil {
			id = m.ID.Of(message)
		}
		c.box.seal(splice(message, edit{m.ID, id}))
	}
	c.sent()
}

// asks passes on a request of the server. A ping is for this side of the
// connection, and a shared server has nobody to ask.
func (p *peer) asks(message []byte, m *jsonrpc.Message) {
	id := bytes.Clone(m.ID.Of(message))
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	switch {
	case string(method) == mcp.MethodPing:
		p.reply(append(append([]byte(`{"jsonrpc":"2.0","id":`), id...), `,"result":{}}`...))
	case p.bridge.o.Shared:
		p.reply(jsonrpc.AppendError(nil, id, mcp.CodeMethodNotFound, "no client can be asked: several share this server", nil))
	case !p.deliver(splice(message), true):
		p.unheard(id)
	}
}

// unheard answers a request of the server that no client will.
func (p *peer) unheard(id []byte) {
	p.reply(jsonrpc.AppendError(nil, id, mcp.CodeInternalError, "the client does not listen", nil))
}

// notify passes on a notification.
func (p *peer) notify(message []byte, m *jsonrpc.Message) {
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	switch string(method) {
	case mcp.MethodNotifyProgress:
		p.progress(message, m)
	case mcp.MethodNotifyToolsChanged, mcp.MethodNotifyPromptsChanged, mcp.MethodNotifyResourceChanged:
		p.broadcast(message, func(*backend) bool { return true })
	case mcp.MethodNotifyResourceUpdated:
		uri, _ := jsonrpc.Unquote(nil, m.URI.Of(message))
		p.broadcast(message, func(s *backend) bool { return !p.bridge.o.Shared || s.follows(string(uri)) })
	default:
		// Whom it concerns is not in it: a log message of a shared server may
		// speak of any client's business.
		if !p.bridge.o.Shared && !p.deliver(splice(message), false) {
			p.overflow()
		}
	}
}

// follows reports whether the session has subscribed to a resource or to what it
// is part of. Called under mu.
func (s *backend) follows(uri string) bool {
	for own := range s.uris {
		if resourceuri.Within(uri, own) {
			return true
		}
	}
	return false
}

func (p *peer) overflow() {
	p.bridge.o.Log.Debug("a notification is dropped: the client does not read")
}

// progress goes to the stream of the request that asked for it.
func (p *peer) progress(message []byte, m *jsonrpc.Message) {
	n, ok := number(m.Progress.Of(message))
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.calls[n]; ok && c != nil && c.token != nil && c.box != nil && !c.quiet {
		if !c.box.put(splice(message, edit{m.Progress, c.token})) {
			p.overflow()
		}
	}
}

// broadcast puts a notification on the GET streams of the sessions that it
// concerns.
func (p *peer) broadcast(message []byte, concerns func(*backend) bool) {
	message = splice(message)
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		if concerns(s) && !s.inbox.put(message) {
			p.overflow()
		}
	}
}

// deliver puts a message on the stream of the only session: that of its oldest
// request, else its GET stream. A request of the server that finds no room there
// is not lost silently.
func (p *peer) deliver(message []byte, request bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.place(message, request)
}

// place is deliver, called under mu.
func (p *peer) place(message []byte, request bool) bool {
	for s := range p.sessions {
		if c := p.oldest(s, false); c != nil && c.box.put(message) {
			return true
		}
		return s.inbox.put(message)
	}
	return !request
}
