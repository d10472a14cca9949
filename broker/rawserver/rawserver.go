// Package rawserver is an MCP server for tests that is made of raw bytes: it
// answers each method with the bytes that it was given, so that nothing between
// them and the code under test can change one. It has no sessions, no state and
// no opinion but on the headers of stateless requests; real servers are tested
// with real libraries.
package rawserver

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// Server is an http.Handler. Its fields are set before it serves.
type Server struct {
	// Hello is the raw result of initialize, Session its Mcp-Session-Id.
	Hello, Session string
	// Discover is the raw result of server/discover. With it the server speaks
	// 2026-07-28: of a stateless request the headers and _meta are checked, and a
	// method that is not known has status 404. Stateless says that it speaks
	// nothing else.
	Discover  string
	Stateless bool
	// Listen serves subscriptions/listen, whose id and filter are raw; nil for a
	// server that does not know it.
	Listen func(w http.ResponseWriter, r *http.Request, id, filter string)
	// Results maps a method, or a method and a raw cursor with a space between,
	// to a raw result. What is not in it is answered with -32601. While the
	// server serves it is changed by Set only.
	Results map[string]string
	// Intercept may answer a request itself; true if it did.
	Intercept func(w http.ResponseWriter, r *http.Request, method, id string) bool
	// Stream serves GET; nil answers 405.
	Stream http.HandlerFunc

	mu   sync.Mutex
	seen []Request
}

// Request is what the server has received.
type Request struct {
	Verb   string // HTTP method
	Method string // JSON-RPC method
	Body   string
	Header http.Header
	Host   string
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m jsonrpc.Message
	if len(body) > 0 {
		if err := m.Scan(body); err != nil {
			http.Error(w, err.Reason, http.StatusBadRequest)
			return
		}
	}
	token, _ := jsonrpc.Unquote(nil, m.Method.Of(body))
	method, id := string(token), string(m.ID.Of(body))
	s.mu.Lock()
	s.seen = append(s.seen, Request{r.Method, method, string(body), r.Header.Clone(), r.Host})
	s.mu.Unlock()
	if s.Intercept != nil && s.Intercept(w, r, method, id) {
		return
	}
	stateless := modern.Is(&m, headers(r.Header))
	switch {
	case s.Stateless && r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case s.Discover != "" && stateless:
		s.serveStateless(w, r, &m, body)
	case s.Stateless && m.Kind == jsonrpc.Request:
		refuse(w, http.StatusBadRequest, id, -32602, "no protocol version in _meta", nil)
	case r.Method == http.MethodGet && s.Stream != nil:
		s.Stream(w, r)
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case m.Kind != jsonrpc.Request:
		w.WriteHeader(http.StatusAccepted)
	case method == mcp.MethodInitialize:
		if s.Session != "" {
			w.Header().Set("Mcp-Session-Id", s.Session)
		}
		Respond(w, id, s.Hello)
	default:
		s.answer(w, http.StatusOK, method, id, m.Cursor.Of(body))
	}
}

// headers returns what the headers of a request say of its body.
func headers(h http.Header) modern.Headers {
	var out modern.Headers
	for name, to := range map[string]*[]byte{
		mcp.HeaderProtocolVersion: &out.Version, mcp.HeaderMethod: &out.Method, mcp.HeaderName: &out.Name,
	} {
		values := h.Values(name)
		out.Repeated = out.Repeated || len(values) > 1
		if len(values) > 0 {
			*to = []byte(values[0])
		}
	}
	return out
}

func (s *Server) serveStateless(w http.ResponseWriter, r *http.Request, m *jsonrpc.Message, body []byte) {
	if m.Kind != jsonrpc.Request {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	id := string(m.ID.Of(body))
	if no := modern.Check(m, body, headers(r.Header)); no != nil {
		refuse(w, http.StatusBadRequest, id, no.Code, no.Message, no.Data)
		return
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(body))
	switch {
	case string(method) == mcp.MethodDiscover:
		Respond(w, id, s.Discover)
	case string(method) == mcp.MethodListen && s.Listen != nil:
		var filter string
		_ = jsonrpc.Members(m.Params.Of(body), func(key, value jsonrpc.Span) bool { // was scanned
			if string(key.Of(m.Params.Of(body))) == `"notifications"` {
				filter = string(value.Of(m.Params.Of(body)))
			}
			return true
		})
		s.Listen(w, r, id, filter)
	default:
		s.answer(w, http.StatusNotFound, string(method), id, m.Cursor.Of(body))
	}
}

func refuse(w http.ResponseWriter, status int, id string, code int, message string, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(jsonrpc.AppendError(nil, []byte(id), code, message, data))
}

// answer writes the result of a method; unknown is the status if there is none.
func (s *Server) answer(w http.ResponseWriter, unknown int, method, id string, cursor []byte) {
	key := method
	if cursor != nil {
		key += " " + string(cursor)
	}
	s.mu.Lock()
	result, ok := s.Results[key]
	s.mu.Unlock()
	if !ok {
		refuse(w, unknown, id, mcp.CodeMethodNotFound, "no such method", nil)
		return
	}
	Respond(w, id, result)
}

// Respond writes a response with a raw id and a raw result.
func Respond(w http.ResponseWriter, id, result string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
}

// Set replaces a result.
func (s *Server) Set(method, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Results[method] = result
}

// Seen returns everything received so far, in order.
func (s *Server) Seen() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.seen...)
}

// Requests returns what was received with the verb and method.
func (s *Server) Requests(verb, method string) []Request {
	var out []Request
	for _, r := range s.Seen() {
		if r.Verb == verb && r.Method == method {
			out = append(out, r)
		}
	}
	return out
}

// Hello returns a result of initialize with the raw capabilities.
func Hello(capabilities string) string {
	return `{"protocolVersion":"2025-11-25","capabilities":` + capabilities + `,"serverInfo":{"name":"raw","version":"1"},"instructions":"be kind"}`
}

// Discovery returns a result of server/discover with the raw capabilities and
// the versions, 2026-07-28 if none.
func Discovery(capabilities string, versions ...string) string {
	if len(versions) == 0 {
		versions = []string{string(mcp.Revision20260728)}
	}
	return `{"resultType":"complete","supportedVersions":["` + strings.Join(versions, `","`) + `"],"capabilities":` + capabilities +
		`,"instructions":"be kind","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"raw","version":"2"}}}`
}

// Everything are the capabilities with all lists.
const Everything = `{"tools":{"listChanged":true},"prompts":{},"resources":{}}`

// Empty returns results for all lists, with nothing in them.
func Empty() map[string]string {
	return map[string]string{
		"tools/list": `{"tools":[]}`, "prompts/list": `{"prompts":[]}`,
		"resources/list": `{"resources":[]}`, "resources/templates/list": `{"resourceTemplates":[]}`,
	}
}
