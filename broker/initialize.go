package broker

import (
	"encoding/json"
	"net/http"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// largestKept bounds in bytes what is kept of each of clientInfo and
// capabilities, as every session in the store pays for it, and every
// subscription of a stateless client. Icons can be large.
const largestKept = 16 << 10

// initialize begins a session (2025-11-25, basic/lifecycle, Initialization). A
// session id sent with it means nothing: the answer brings a new one.
func (b *Broker) initialize(c *call) {
	requested, ok := jsonrpc.Unquote(nil, c.msg.ProtocolVersion.Of(c.body))
	if !ok {
		c.fail(http.StatusOK, mcp.CodeInvalidParams, "params.protocolVersion must be a string")
		return
	}
	if !b.started(c) {
		c.failLater("the gateway is starting")
		return
	}
	if !c.findEndpoint() {
		return
	}
	version := mcp.Revision(requested)
	if !mcp.Served(version) {
		version = mcp.LatestLegacy
	}
	of := countedFor(c)
	s := session.Session{Version: version, Endpoint: c.endpoint, Principal: of.name}
	s.ClientInfo, s.Capabilities = clientOf(c.msg.Params.Of(c.body))
	id, err := session.Begin(c.r.Context(), b.store, s, sessionCaps(c.view.limits, of))
	if err != nil {
		b.refuseSession(c, of, err)
		return
	}
	b.metrics.SessionOpened()
	c.w.Header().Set(mcp.HeaderSession, string(id))
	tail := jsonrpc.AppendQuote([]byte(`,"result":{"protocolVersion":`), []byte(version))
	c.reply(append(tail, c.greeting().hello...))
}

// clientOf returns params.clientInfo and params.capabilities of initialize as
// they came, as far as they are kept.
func clientOf(params []byte) (info, capabilities json.RawMessage) {
	// The text was scanned: an error means no params, or an array.
	_ = jsonrpc.Members(params, func(key, value jsonrpc.Span) bool {
		switch string(key.Of(params)) {
		case `"clientInfo"`:
			info = keptInfo(value.Of(params))
		case `"capabilities"`:
			capabilities = kept(value.Of(params))
		}
		return true
	})
	return info, capabilities
}

// kept returns a raw value; nil for what is no object, or too large.
func kept(value []byte) json.RawMessage {
	if len(value) == 0 || len(value) > largestKept || value[0] != '{' {
		return nil
	}
	return value
}

// keptInfo is kept for a clientInfo, of which name and version are left if it is
// too large.
func keptInfo(value []byte) json.RawMessage {
	if len(value) > largestKept {
		value = shortInfo(value)
	}
	return kept(value)
}

// shortInfo returns name and version of a clientInfo, nil if they are not there.
func shortInfo(raw []byte) []byte {
	var short struct {
		Name    json.RawMessage `json:"name"`
		Version json.RawMessage `json:"version"`
	}
	if json.Unmarshal(raw, &short) != nil || short.Name == nil || short.Version == nil {
		return nil
	}
	encoded, err := json.Marshal(short)
	if err != nil {
		return nil
	}
	return encoded
}
