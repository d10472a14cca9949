package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"mcp-gateway/internal/mcp"
)

// oldest is what servers answer that know no later revision. Its lists are
// those of the later ones; its own transport (HTTP+SSE) is not spoken here.
const oldest mcp.Revision = "2024-11-05"

const (
	// longestID bounds a session id, which goes into a header of every call.
	longestID = 1024
	// longestInstructions bounds the text that every client of the gateway gets
	// in its initialize answer.
	longestInstructions = 32 << 10
	// longestCapabilities bounds what is kept of a server's capabilities.
	longestCapabilities = 16 << 10
	// leaveTimeout bounds the goodbye to a server.
	leaveTimeout = time.Second
)

var (
	// none are the capabilities of a client without any.
	none = []byte("{}")
	// all are those that the gateway carries: servers show some tools only to
	// clients that can answer what the tool will ask. The lists are for all
	// clients; who cannot answer is told so by the server.
	all = []byte(`{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}`)
	// allStateless are the same for a stateless server, with the extension whose
	// messages the gateway carries.
	allStateless = []byte(`{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}`)
)

// hello is what the server said of itself in initialize, or server/discover.
type hello struct {
	info         json.RawMessage
	instructions string
	capabilities json.RawMessage
	offers       kinds
	announces    kinds // listChanged
	// subscribe is resources.subscribe, logging and completions are capabilities
	// of their own.
	subscribe, logging, completions bool
}

// self is how a session is opened: the revision offered, and two raw JSON
// objects, clientInfo and capabilities. shared as in link.
type self struct {
	offer              mcp.Revision
	info, capabilities []byte
	shared             bool
}

// open runs the handshake (2025-11-25, basic/lifecycle, Initialization). If it
// fails, no session is left at the server.
func (c *client) open(ctx context.Context, as self) (*link, hello, error) {
	l := &link{client: c, shared: as.shared}
	params := fmt.Appendf(nil, `{"protocolVersion":%q,"capabilities":%s,"clientInfo":%s}`, string(as.offer), as.capabilities, as.info)
	answer, err := l.call(ctx, mcp.MethodInitialize, params)
	if err != nil {
		return nil, hello{}, fmt.Errorf("initialize: %w", err)
	}
	l.id = answer.header.Get(mcp.HeaderSession)
	if !validSessionID(l.id) {
		return nil, hello{}, errors.New("initialize: the server's session id is malformed")
	}
	var h hello
	if h, l.version, err = decodeHello(answer.result); err == nil {
		err = l.notify(ctx, mcp.MethodNotifyInitialized)
	}
	if err != nil {
		l.leave(ctx)
		return nil, hello{}, fmt.Errorf("initialize: %w", err)
	}
	return l, h, nil
}

// leave ends the session although ctx may have ended.
func (l *link) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	// The server's own timeout ends what this does not.
	_ = l.end(ctx)
}

func decodeHello(result []byte) (hello, mcp.Revision, error) {
	var r struct {
		ProtocolVersion mcp.Revision    `json:"protocolVersion"`
		Capabilities    json.RawMessage `json:"capabilities"`
		ServerInfo      json.RawMessage `json:"serverInfo"`
		Instructions    string          `json:"instructions"`
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return hello{}, "", fmt.Errorf("decode the result: %w", err)
	}
	if r.ProtocolVersion != oldest && !mcp.Served(r.ProtocolVersion) {
		return hello{}, "", fmt.Errorf("the server wants revision %q, which is not served; served are %v",
			clip(string(r.ProtocolVersion)), append(mcp.SupportedLegacy(), oldest))
	}
	h := hello{info: r.ServerInfo, instructions: r.Instructions, capabilities: r.Capabilities}
	if len(r.Capabilities) > 0 {
		if err := h.readCapabilities(); err != nil {
			return hello{}, "", fmt.Errorf("decode the capabilities: %w", err)
		}
	}
	return h, r.ProtocolVersion, nil
}

func (h *hello) readCapabilities() error {
	var c struct {
		Tools, Prompts, Resources, Logging, Completions json.RawMessage
	}
	if err := json.Unmarshal(h.capabilities, &c); err != nil {
		return err
	}
	there := func(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }
	for kind, declared := range map[kinds]json.RawMessage{tools: c.Tools, prompts: c.Prompts, resources: c.Resources} {
		if !there(declared) {
			continue
		}
		h.offers |= kind
		var more struct{ Subscribe, ListChanged bool }
		// What is no object, or no boolean in it, declares nothing.
		if json.Unmarshal(declared, &more) != nil {
			continue
		}
		if more.ListChanged {
			h.announces |= kind
		}
		h.subscribe = h.subscribe || kind == resources && more.Subscribe
	}
	h.logging, h.completions = there(c.Logging), there(c.Completions)
	return nil
}

// validSessionID reports whether id is visible ASCII (2025-11-25,
// basic/transports, Session Management) of bearable length. Empty means none.
func validSessionID(id string) bool {
	return len(id) <= longestID && !slices.ContainsFunc([]byte(id), func(c byte) bool { return c < 0x21 || c > 0x7E })
}

func (h *hello) equal(other *hello) bool {
	return bytes.Equal(h.info, other.info) && h.instructions == other.instructions && bytes.Equal(h.capabilities, other.capabilities)
}
