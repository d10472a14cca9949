package mcpserver

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	headerSession = "Mcp-Session-Id"
	latest        = "2025-11-25"
	cursorPrefix  = "page-"
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller went away in the middle of its request
	}
	x := &Exchange{
		Request: s.record(r, body),
		Session: r.Header.Get(headerSession),
		server:  s,
		w:       w,
		r:       r,
	}
	if r.URL.Path != s.script.Path {
		x.Respond(http.StatusNotFound, "text/plain", []byte("no such path"))
		return
	}
	if f := s.fault(x.Method); f != nil {
		f(x)
		return
	}
	if s.script.Era != Legacy && (s.script.Era == Modern || x.isModern()) {
		s.serveModern(x)
		return
	}
	if x.Method == "initialize" {
		s.initialize(x)
		return
	}
	if !s.script.Stateless && !s.known(x.Session) {
		s.refuseSession(x)
		return
	}
	switch r.Method {
	case http.MethodGet:
		if h := s.handler("GET", ""); h != nil {
			h(x)
			return
		}
		s.serveStream(x)
	case http.MethodDelete:
		s.end(x)
	case http.MethodPost:
		s.answer(x)
	default:
		x.Respond(http.StatusMethodNotAllowed, "", nil)
	}
}

func (s *Server) answer(x *Exchange) {
	h := s.handler(x.Method, x.Name)
	s.mu.Lock()
	pages, listed := s.pages[x.Method]
	s.mu.Unlock()
	switch {
	case h != nil:
		h(x)
	case x.Method == "" || strings.HasPrefix(x.Method, "notifications/"):
		x.Respond(http.StatusAccepted, "", nil)
	case x.Method == "ping":
		x.Result("{}")
	case listed:
		answerPage(x, pages, "")
	case x.Method == "tools/call":
		x.Result(fmt.Sprintf(`{"content":[{"type":"text","text":%q}]}`, s.script.Name+":"+x.Name))
	case x.Method == "prompts/get":
		x.Result(fmt.Sprintf(`{"messages":[{"role":"user","content":{"type":"text","text":%q}}]}`, s.script.Name+":"+x.Name))
	case x.Method == "resources/read":
		x.Result(fmt.Sprintf(`{"contents":[{"uri":%q,"text":%q}]}`, x.Name, s.script.Name+":"+x.Name))
	default:
		x.Error(`{"code":-32601,"message":"method not found"}`)
	}
}

func (s *Server) handler(method, name string) Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.handlers[handlerKey{method, name}]; h != nil {
		return h
	}
	return s.handlers[handlerKey{method, ""}]
}

// answerPage answers the page that the request's cursor names. tail is what the
// result ends with, raw.
func answerPage(x *Exchange, pages []string, tail string) {
	member := map[string]string{
		ToolsList: "tools", PromptsList: "prompts", ResourcesList: "resources", TemplatesList: "resourceTemplates",
	}[x.Method]
	n := 0
	if c := x.params.cursor; c != "" {
		var err error
		if n, err = strconv.Atoi(strings.TrimPrefix(c, cursorPrefix)); err != nil || n >= len(pages) {
			x.Error(`{"code":-32602,"message":"no such cursor"}`)
			return
		}
	}
	page, next := "", ""
	if n < len(pages) {
		page = pages[n]
	}
	if n+1 < len(pages) {
		next = fmt.Sprintf(`,"nextCursor":"%s%d"`, cursorPrefix, n+1)
	}
	x.Result(fmt.Sprintf(`{"%s":[%s]%s%s}`, member, page, next, tail))
}

func (s *Server) initialize(x *Exchange) {
	var m struct {
		Params struct{ ProtocolVersion string }
	}
	_ = json.Unmarshal(x.Body, &m) // an odd request still gets an answer
	revision := s.script.Revision
	if revision == "" {
		revision = m.Params.ProtocolVersion
	}
	if revision == "" {
		revision = latest
	}
	if !s.script.Stateless {
		s.mu.Lock()
		s.made++
		id := fmt.Sprintf("%s-session-%d-%s", s.script.Name, s.made, rand.Text())
		s.sessions[id] = true
		s.mu.Unlock()
		x.Header().Set(headerSession, id)
	}
	instructions := ""
	if s.script.Instructions != "" {
		text, err := json.Marshal(s.script.Instructions)
		if err != nil {
			panic(err) // a string always marshals
		}
		instructions = `,"instructions":` + string(text)
	}
	x.Result(fmt.Sprintf(`{"protocolVersion":%q,"capabilities":%s,"serverInfo":{"name":%q,"version":"1"}%s}`,
		revision, s.capabilities(), s.script.Name, instructions))
}

func (s *Server) capabilities() string {
	if s.script.Capabilities != "" {
		return s.script.Capabilities
	}
	var parts []string
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range []struct{ name, list string }{
		{"tools", ToolsList}, {"prompts", PromptsList}, {"resources", ResourcesList},
	} {
		if _, ok := s.pages[c.list]; ok {
			parts = append(parts, `"`+c.name+`":{"listChanged":true}`)
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (s *Server) refuseSession(x *Exchange) {
	if x.Session == "" {
		x.Respond(http.StatusBadRequest, "application/json",
			[]byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no session"}}`))
		return
	}
	x.Respond(http.StatusNotFound, "application/json",
		[]byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"unknown session"}}`))
}

func (s *Server) end(x *Exchange) {
	s.mu.Lock()
	delete(s.sessions, x.Session)
	s.wake()
	s.mu.Unlock()
	x.Respond(http.StatusOK, "", nil)
}

func (s *Server) known(session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[session]
}

func (s *Server) fault(method string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.faults[method]; f != nil {
		return f
	}
	return s.faults[""]
}
