// Package mcpserver is an MCP server for tests of the gateway. It answers with
// exactly the bytes that a test gave it, in the framing that the test asked for,
// keeps what it received, and fails on demand. It is no model of a good server: it
// checks only what a test needs checked.
package mcpserver

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"mcp-gateway/test/freeport"
)

// Methods whose answers are lists; the keys of Script.Pages.
const (
	ToolsList     = "tools/list"
	PromptsList   = "prompts/list"
	ResourcesList = "resources/list"
	TemplatesList = "resources/templates/list"
)

// Script says what a server is and how it answers when no handler decides.
type Script struct {
	// Name is serverInfo.name, and part of default answers and session ids.
	Name string
	// Revision is the one it negotiates; empty takes the client's.
	Revision string
	// Capabilities is a raw JSON object; empty derives it from Pages.
	Capabilities string
	// Instructions are sent with the initialize result when not empty.
	Instructions string
	// Stateless makes it a server without session ids.
	Stateless bool
	// Era is what it speaks; by default revisions with sessions.
	Era Era
	// NoStream makes it refuse GET with 405, and subscriptions/listen with 404.
	NoStream bool
	// Path is the endpoint; empty means /mcp.
	Path string
	// Pages maps a list method to its pages. A page is the inside of the JSON
	// array, byte for byte: `{"name":"a"},{"name":"b"}`. Every page but the
	// last one has a nextCursor.
	Pages map[string][]string
	// Framing is how results travel.
	Framing Framing
}

// Server is a running MCP server. All methods may be called at any time.
type Server struct {
	t      testing.TB
	script Script
	addr   string

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when something is recorded
	http     *http.Server
	pages    map[string][]string
	handlers map[handlerKey]Handler
	faults   map[string]Fault // by JSON-RPC method; "" holds for all
	sessions map[string]bool
	made     int
	requests []Request
	streams  map[*Stream]bool
}

type handlerKey struct{ method, name string }

// Start runs a server on a free loopback port until the test ends.
func Start(t testing.TB, script Script) *Server {
	t.Helper()
	return StartAt(t, freeport.For(t), script)
}

// StartAt is Start on a given address.
func StartAt(t testing.TB, addr string, script Script) *Server {
	t.Helper()
	s := newServer(t, addr, script)
	s.Up()
	return s
}

// NewDown makes a server that refuses connections until Up, at an address that
// is known now.
func NewDown(t testing.TB, script Script) *Server {
	t.Helper()
	return newServer(t, freeport.For(t), script)
}

func newServer(t testing.TB, addr string, script Script) *Server {
	if script.Path == "" {
		script.Path = "/mcp"
	}
	s := &Server{
		t:        t,
		addr:     addr,
		script:   script,
		changed:  make(chan struct{}),
		pages:    map[string][]string{},
		handlers: map[handlerKey]Handler{},
		faults:   map[string]Fault{},
		sessions: map[string]bool{},
		streams:  map[*Stream]bool{},
	}
	for method, pages := range script.Pages {
		s.pages[method] = pages
	}
	t.Cleanup(s.Down)
	return s
}

// Addr is its host and port.
func (s *Server) Addr() string { return s.addr }

// URL is its endpoint.
func (s *Server) URL() string { return "http://" + s.addr + s.script.Path }

// Up listens, after Down at the same address and with the sessions it had.
func (s *Server) Up() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return
	}
	l, err := freeport.Listen(s.addr)
	if err != nil {
		s.t.Fatalf("server %s: listen: %v", s.script.Name, err)
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func(h *http.Server) { _ = h.Serve(l) }(s.http) // always ErrServerClosed
}

// Down cuts all connections and refuses new ones.
func (s *Server) Down() {
	s.mu.Lock()
	h := s.http
	s.http = nil
	s.mu.Unlock()
	if h != nil {
		_ = h.Close()
	}
}

// ForgetSessions makes it answer 404 for every session made so far, as a server
// does that was restarted.
func (s *Server) ForgetSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// Sessions is the number of open sessions.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// SetPages replaces a list. It says nothing to clients; see Notify.
func (s *Server) SetPages(method string, pages ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[method] = pages
}

// Handle makes h answer requests of method whose params.name or params.uri is
// name; an empty name stands for every name without a handler of its own. The
// method of a client's answer is empty, that of an HTTP GET is GET.
func (s *Server) Handle(method, name string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[handlerKey{method, name}] = h
}

// Fail makes requests of the given JSON-RPC methods fail; without methods, all
// requests, those by GET and DELETE included.
func (s *Server) Fail(f Fault, methods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(methods) == 0 {
		methods = []string{""}
	}
	for _, m := range methods {
		s.faults[m] = f
	}
}

// Heal ends what Fail began.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// Wait blocks until the condition holds over the server's state and ends the
// test if that takes longer than limit. The condition is asked after every
// request and at every change of the streams.
func (s *Server) Wait(limit time.Duration, what string, cond func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.t.Fatalf("server %s: %s: not within %v; received %s", s.script.Name, what, limit, s.summary())
		}
	}
}

func (s *Server) summary() string {
	counts := map[string]int{}
	for _, r := range s.Requests() {
		counts[r.HTTPMethod+" "+r.Method]++
	}
	return fmt.Sprint(counts)
}

// wake must be called with mu held.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}
