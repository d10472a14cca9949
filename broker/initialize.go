package broker

import (
	"encoding/json"
	"net/http"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// largestKept bounds in bytes what is kept of each of clientInfo and
// capabilities, as every session in the store pays for it. Icons can be large.
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
	s := session.Session{ID: session.NewID(), Version: version, Endpoint: c.endpoint}
	s.ClientInfo, s.Capabilities = clientOf(c.msg.Params.Of(c.body))
	if err := b.store.Create(c.r.Context(), s); err != nil {
		b.failStore(c, err)
		return
	}
	c.w.Header().Set(mcp.HeaderSession, string(s.ID))
	tail := jsonrpc.AppendQuote([]byte(`,"result":{"protocolVersion":`), []byte(version))
	c.reply(append(tail, c.view.endpoints[c.endpoint].hello...))
}

// clientOf returns params.clientInfo and params.capabilities of initialize as
// they came; nil for what is no object. Of a clientInfo that is too large name
// and version are left.
func clientOf(params []byte) (info, capabilities json.RawMessage) {
	keep := func(value []byte) json.RawMessage {
		if len(value) == 0 || len(value) > largestKept || value[0] != '{' {
			return nil
		}
		return value
	}
	// The text was scanned: an error means no params, or an array.
	_ = jsonrpc.Members(params, func(key, value jsonrpc.Span) bool {
		switch string(key.Of(params)) {
		case `"clientInfo"`:
			if info = keep(value.Of(params)); info == nil {
				info = keep(shortInfo(value.Of(params)))
			}
		case `"capabilities"`:
			capabilities = keep(value.Of(params))
		}
		return true
	})
	return info, capabilities
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
