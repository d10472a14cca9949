// Package rawserver is an MCP server for tests that is made of raw bytes: it
// answers each method with the bytes that it was given, so that nothing between
// them and the code under test can change one. It has no sessions, no state and
// no opinion; real servers are tested with real libraries.
package rawserver

import (
	"fmt"
	"io"
	"net/http"
	"sync"

	"mcp-gateway/internal/jsonrpc"
)

// Server is an http.Handler. Its fields are set before it serves.
type Server struct {
	// Hello is the raw result of initialize, Session its Mcp-Session-Id.
	Hello, Session string
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
	switch {
	case r.Method == http.MethodGet && s.Stream != nil:
		s.Stream(w, r)
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case m.Kind != jsonrpc.Request:
		w.WriteHeader(http.StatusAccepted)
	case method == "initialize":
		if s.Session != "" {
			w.Header().Set("Mcp-Session-Id", s.Session)
		}
		Respond(w, id, s.Hello)
	default:
		s.answer(w, method, id, m.Cursor.Of(body))
	}
}

func (s *Server) answer(w http.ResponseWriter, method, id string, cursor []byte) {
	key := method
	if cursor != nil {
		key += " " + string(cursor)
	}
	s.mu.Lock()
	result, ok := s.Results[key]
	s.mu.Unlock()
	if !ok {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(jsonrpc.AppendError(nil, []byte(id), -32601, "no such method", nil))
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

// Everything are the capabilities with all lists.
const Everything = `{"tools":{"listChanged":true},"prompts":{},"resources":{}}`

// Empty returns results for all lists, with nothing in them.
func Empty() map[string]string {
	return map[string]string{
		"tools/list": `{"tools":[]}`, "prompts/list": `{"prompts":[]}`,
		"resources/list": `{"resources":[]}`, "resources/templates/list": `{"resourceTemplates":[]}`,
	}
}
