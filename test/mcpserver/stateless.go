package mcpserver

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Era is which family of revisions a server speaks.
type Era int

const (
	Legacy Era = iota // with sessions
	Modern            // 2026-07-28 alone
	Dual              // both at one endpoint
)

const (
	stateless = "2026-07-28"
	metaName  = "io.modelcontextprotocol/"
	sentinel  = "=?base64?"
)

// isModern reports whether a request is one of the stateless revision, as a
// server sees it that knows both.
func (x *Exchange) isModern() bool {
	return x.r.Header.Get("Mcp-Protocol-Version") == stateless || bytes.Contains(x.Body, []byte(`"`+metaName+"protocolVersion"))
}

// serveModern answers a request of the stateless revision. It refuses what the
// specification has servers refuse (2026-07-28, basic/transports/streamable-http,
// Server Validation).
func (s *Server) serveModern(x *Exchange) {
	if x.r.Method != http.MethodPost {
		x.Header().Set("Allow", "POST")
		x.Respond(http.StatusMethodNotAllowed, "", nil)
		return
	}
	if x.ID == nil {
		x.Respond(http.StatusAccepted, "", nil)
		return
	}
	if code, what := x.invalid(); code != 0 {
		x.refuse(http.StatusBadRequest, code, what)
		return
	}
	h := s.handler(x.Method, x.Name)
	s.mu.Lock()
	pages, listed := s.pages[x.Method]
	s.mu.Unlock()
	const complete = `,"resultType":"complete"`
	const cached = complete + `,"ttlMs":60000,"cacheScope":"public"`
	switch {
	case h != nil:
		h(x)
	case x.Method == "server/discover":
		versions := `"` + stateless + `"`
		if s.script.Era == Dual {
			versions += `,"` + latest + `"`
		}
		x.Result(fmt.Sprintf(`{"supportedVersions":[%s],"capabilities":%s,"_meta":{"%sserverInfo":{"name":%q,"version":"1"}}%s}`,
			versions, s.capabilities(), metaName, s.script.Name, cached))
	case listed:
		answerPage(x, pages, cached)
	case x.Method == "tools/call":
		x.Result(fmt.Sprintf(`{"content":[{"type":"text","text":%q}]%s}`, s.script.Name+":"+x.Name, complete))
	case x.Method == "prompts/get":
		x.Result(fmt.Sprintf(`{"messages":[{"role":"user","content":{"type":"text","text":%q}}]%s}`, s.script.Name+":"+x.Name, complete))
	case x.Method == "resources/read":
		x.Result(fmt.Sprintf(`{"contents":[{"uri":%q,"text":%q}]%s}`, x.Name, s.script.Name+":"+x.Name, cached))
	case x.Method == "subscriptions/listen" && !s.script.NoStream:
		s.serveStream(x)
	default:
		x.refuse(http.StatusNotFound, -32601, "method not found")
	}
}

// invalid returns the error code for what is wrong with a request, 0 for none.
func (x *Exchange) invalid() (code int, what string) {
	var m struct {
		Params struct {
			Meta              map[string]json.RawMessage `json:"_meta"`
			Name, URI, TaskID *string
		}
	}
	if err := json.Unmarshal(x.Body, &m); err != nil {
		return -32700, "no JSON"
	}
	var version string
	if json.Unmarshal(m.Params.Meta[metaName+"protocolVersion"], &version) != nil || !bytes.HasPrefix(m.Params.Meta[metaName+"clientCapabilities"], []byte("{")) {
		return -32602, "_meta is not complete"
	}
	name := map[string]*string{
		"tools/call": m.Params.Name, "prompts/get": m.Params.Name, "resources/read": m.Params.URI,
		"tasks/get": m.Params.TaskID, "tasks/update": m.Params.TaskID, "tasks/cancel": m.Params.TaskID,
	}[x.Method]
	h := x.r.Header
	switch {
	case len(h.Values("Mcp-Protocol-Version")) != 1 || h.Get("Mcp-Protocol-Version") != version:
		return -32020, "Mcp-Protocol-Version"
	case len(h.Values("Mcp-Method")) != 1 || h.Get("Mcp-Method") != x.Method:
		return -32020, "Mcp-Method"
	case name != nil && (len(h.Values("Mcp-Name")) != 1 || decoded(h.Get("Mcp-Name")) != *name):
		return -32020, "Mcp-Name"
	case version != stateless:
		return -32022, "unsupported version"
	}
	return 0, ""
}

func decoded(value string) string {
	if inside, ok := strings.CutPrefix(value, sentinel); ok {
		text, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(inside, "?="))
		if err == nil {
			return string(text)
		}
	}
	return value
}

// refuse answers with a JSON-RPC error and an HTTP status.
func (x *Exchange) refuse(status, code int, message string) {
	x.Respond(status, "application/json",
		fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, x.ID, code, message))
}

// meta is what a notification on the stream of a subscriptions/listen carries.
func (x *Exchange) meta() string {
	if x.Method == "" {
		return ""
	}
	return fmt.Sprintf(`,"params":{"_meta":{"%ssubscriptionId":%s}}`, metaName, x.ID)
}

// acknowledge begins the stream of a subscriptions/listen, all granted.
func (x *Exchange) acknowledge(stream *Stream) {
	var m struct {
		Params struct{ Notifications json.RawMessage }
	}
	if json.Unmarshal(x.Body, &m) != nil || m.Params.Notifications == nil {
		return // of a GET
	}
	stream.Send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":%s,"_meta":{"%ssubscriptionId":%s}}}`,
		m.Params.Notifications, metaName, x.ID))
}
