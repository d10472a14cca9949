package broker

import (
	"encoding/json"
	"net/http"
	"strings"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
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
	version := mcp.Revision(requested)
	if !mcp.Served(version) {
		version = mcp.LatestLegacy
	}
	s := session.Session{ID: session.NewID(), Version: version}
	s.ClientInfo, s.Capabilities = clientOf(c.msg.Params.Of(c.body))
	if err := b.store.Create(c.r.Context(), s); err != nil {
		b.failStore(c, err)
		return
	}
	c.w.Header().Set(mcp.HeaderSession, string(s.ID))
	tail := jsonrpc.AppendQuote([]byte(`,"result":{"protocolVersion":`), []byte(version))
	c.reply(append(tail, c.view.hello...))
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

// encodeHello returns the end of the result of initialize. Tools are always
// declared, as any change of the configuration can bring some; prompts and
// resources if a server has them, or may turn out to have them.
func encodeHello(config gatewayconfig.Broker, servers []*upstream.Snapshot) []byte {
	type listing struct {
		ListChanged bool `json:"listChanged"`
	}
	type hello struct {
		Capabilities struct {
			Tools     *listing `json:"tools,omitempty"`
			Prompts   *listing `json:"prompts,omitempty"`
			Resources *listing `json:"resources,omitempty"`
		} `json:"capabilities"`
		ServerInfo struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"serverInfo"`
		Instructions string `json:"instructions,omitempty"`
	}
	var h hello
	h.Capabilities.Tools = &listing{true}
	h.ServerInfo.Name, h.ServerInfo.Version = config.Name, config.Version
	var texts []string
	if config.Instructions != "" {
		texts = append(texts, config.Instructions)
	}
	for i, s := range servers {
		unknown := s.Version == ""
		if s.Prompts || unknown {
			h.Capabilities.Prompts = &listing{true}
		}
		if s.Resources || unknown {
			h.Capabilities.Resources = &listing{true}
		}
		if s.Instructions != "" {
			texts = append(texts, "## "+config.Servers[i].Name+"\n"+s.Instructions)
		}
	}
	h.Instructions = strings.Join(texts, "\n\n")
	encoded, err := json.Marshal(h)
	if err != nil {
		panic("broker: strings cannot be encoded: " + err.Error())
	}
	encoded[0] = ',' // instead of the opening brace
	return append(encoded, '}')
}
