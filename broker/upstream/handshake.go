package upstream

import (
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
	// leaveTimeout bounds the goodbye to a server.
	leaveTimeout = time.Second
)

// hello is what the server said of itself in initialize.
type hello struct {
	info         json.RawMessage
	instructions string
	offers       kinds
}

// open runs the handshake (2025-11-25, basic/lifecycle, Initialization): it
// offers the revision, declares no capabilities and presents itself with info,
// a raw JSON object. If it fails, no session is left at the server.
func (c *client) open(ctx context.Context, offer mcp.Revision, info []byte) (*link, hello, error) {
	l := &link{client: c}
	params := fmt.Appendf(nil, `{"protocolVersion":%q,"capabilities":{},"clientInfo":%s}`, string(offer), info)
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
		ProtocolVersion mcp.Revision `json:"protocolVersion"`
		Capabilities    struct {
			Tools     *json.RawMessage `json:"tools"`
			Prompts   *json.RawMessage `json:"prompts"`
			Resources *json.RawMessage `json:"resources"`
		} `json:"capabilities"`
		ServerInfo   json.RawMessage `json:"serverInfo"`
		Instructions string          `json:"instructions"`
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return hello{}, "", fmt.Errorf("decode the result: %w", err)
	}
	if r.ProtocolVersion != oldest && !mcp.Served(r.ProtocolVersion) {
		return hello{}, "", fmt.Errorf("the server wants revision %q, which is not served; served are %v",
			clip(string(r.ProtocolVersion)), append(mcp.Supported(), oldest))
	}
	h := hello{info: r.ServerInfo, instructions: r.Instructions}
	for kind, declared := range map[kinds]*json.RawMessage{
		tools: r.Capabilities.Tools, prompts: r.Capabilities.Prompts, resources: r.Capabilities.Resources,
	} {
		if declared != nil {
			h.offers |= kind
		}
	}
	return h, r.ProtocolVersion, nil
}

// validSessionID reports whether id is visible ASCII (2025-11-25,
// basic/transports, Session Management) of bearable length. Empty means none.
func validSessionID(id string) bool {
	return len(id) <= longestID && !slices.ContainsFunc([]byte(id), func(c byte) bool { return c < 0x21 || c > 0x7E })
}

// OpenSession opens a session for a client of the gateway: it offers the
// client's revision and passes on its clientInfo, a raw JSON object, but no
// capabilities. Id and revision are the server's answer; the id is empty for a
// server without sessions. End it with EndSession.
func (s *Server) OpenSession(ctx context.Context, offer mcp.Revision, clientInfo []byte) (id string, version mcp.Revision, err error) {
	select {
	case s.opening <- struct{}{}:
		defer func() { <-s.opening }()
	case <-ctx.Done():
		return "", "", fmt.Errorf("wait for a free place to initialize: %w", context.Cause(ctx))
	}
	if len(clientInfo) == 0 {
		clientInfo = s.info
	}
	l, _, err := s.client.open(ctx, offer, clientInfo)
	if err != nil {
		s.Recheck()
		return "", "", err
	}
	return l.id, l.version, nil
}

// EndSession ends a session that OpenSession opened.
func (s *Server) EndSession(ctx context.Context, id string, version mcp.Revision) error {
	l := &link{client: s.client, peer: peer{id, version}}
	return l.end(ctx)
}
