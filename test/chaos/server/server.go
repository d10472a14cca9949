// Package server is the MCP server behind the gateway of the fault suite. Each
// answer of its tools says which server it is, which run of it, which session it
// saw and whose call it was, so that a checker knows for each call whether it went
// where it had to. It runs as a process of its own, to be killed and stopped.
package server

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Names of the tools.
const (
	// ToolEcho answers at once.
	ToolEcho = "echo"
	// ToolStream answers as an event stream: Progress notifications with the
	// call's token, then the result.
	ToolStream = "stream"
	// ToolSlow reports progress once and answers when it is cancelled, or after
	// Patience.
	ToolSlow = "slow"
	// ToolAsk asks the client on its event stream and answers what the client
	// answered, or AnswerNone after Patience.
	ToolAsk = "ask"
	// ToolChange changes the list of tools: the last of them is named after the
	// run and the number of changes.
	ToolChange = "change"
)

// Values of Answer.Said.
const (
	AnswerNone      = "none"      // of ToolAsk: nobody answered
	AnswerCancelled = "cancelled" // of ToolSlow
)

// Progress is how many notifications ToolStream sends.
const Progress = 3

// Revisions that it speaks.
const (
	legacy = "2025-11-25"
	modern = "2026-07-28"
	meta   = "io.modelcontextprotocol/"
)

// Answer is the text of every tool's result, as JSON.
type Answer struct {
	Server  string `json:"server"`
	Run     string `json:"run"`               // of the process
	Session string `json:"session,omitempty"` // that the call came with
	N       uint64 `json:"n"`                 // the call's argument n
	// Again counts the calls of this run that came more than once.
	Again int64  `json:"again"`
	Said  string `json:"said,omitempty"`
}

// Server is an http.Handler.
type Server struct {
	name   string
	modern bool
	run    string

	changes atomic.Int64
	again   atomic.Int64

	mu       sync.Mutex
	seen     []uint64 // a bit for each n
	sessions map[string]*session
}

// New makes a server with sessions, or one of the stateless revision.
func New(name string, modern bool) *Server {
	return &Server{name: name, modern: modern, run: strings.ToLower(rand.Text()[:8]), sessions: map[string]*session{}}
}

// request is what matters of a JSON-RPC message.
type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string `json:"name"`
		Arguments struct {
			N uint64 `json:"n"`
		} `json:"arguments"`
		RequestID     json.RawMessage `json:"requestId"`
		Notifications json.RawMessage `json:"notifications"`
		Meta          struct {
			Token json.RawMessage `json:"progressToken"`
		} `json:"_meta"`
	} `json:"params"`
	Result struct {
		Content struct {
			Said string `json:"said"`
		} `json:"content"`
	} `json:"result"`
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.modern && r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	var q request
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the caller went away in the middle of its request
		}
		if err := json.Unmarshal(body, &q); err != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
	}
	if s.modern {
		s.stateless(w, r, &q)
		return
	}
	if q.Method == "initialize" {
		s.initialize(w, &q)
		return
	}
	v := s.session(r.Header.Get("Mcp-Session-Id"))
	if v == nil {
		fail(w, http.StatusNotFound, q.ID, -32600, "unknown session")
		return
	}
	switch r.Method {
	case http.MethodGet:
		v.listen(w, r)
	case http.MethodDelete:
		s.end(v)
	case http.MethodPost:
		s.post(w, r, v, &q)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (s *Server) post(w http.ResponseWriter, r *http.Request, v *session, q *request) {
	switch {
	case q.Method == "":
		v.answered(q.ID, q.Result.Content.Said)
		w.WriteHeader(http.StatusAccepted)
	case q.ID == nil:
		if q.Method == "notifications/cancelled" {
			v.answered(q.Params.RequestID, AnswerCancelled)
		}
		w.WriteHeader(http.StatusAccepted)
	case q.Method == "ping":
		result(w, q.ID, "{}")
	case q.Method == "tools/list":
		result(w, q.ID, s.list(""))
	case q.Method == "tools/call":
		s.call(w, r, v, q)
	default:
		fail(w, http.StatusOK, q.ID, -32601, "method not found")
	}
}

// stateless answers a request of 2026-07-28.
func (s *Server) stateless(w http.ResponseWriter, r *http.Request, q *request) {
	const complete = `,"resultType":"complete"`
	const cached = complete + `,"ttlMs":60000,"cacheScope":"public"`
	switch {
	case q.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	case r.Header.Get("Mcp-Protocol-Version") != modern:
		fail(w, http.StatusBadRequest, q.ID, -32022, "unsupported protocol version")
	case q.Method == "server/discover":
		result(w, q.ID, fmt.Sprintf(`{"supportedVersions":[%q],"capabilities":{"tools":{"listChanged":true}},"_meta":{"%sserverInfo":{"name":%q,"version":"1"}}%s}`,
			modern, meta, s.name, cached))
	case q.Method == "tools/list":
		result(w, q.ID, s.list(cached))
	case q.Method == "tools/call":
		s.call(w, r, nil, q)
	case q.Method == "subscriptions/listen":
		e := newEvents(w)
		e.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":%s,"_meta":{"%ssubscriptionId":%s}}}`,
			q.Params.Notifications, meta, q.ID))
		<-r.Context().Done()
	default:
		fail(w, http.StatusNotFound, q.ID, -32601, "method not found")
	}
}

func (s *Server) initialize(w http.ResponseWriter, q *request) {
	v := &session{id: s.name + "-" + s.run + "-" + rand.Text(), waiting: map[string]chan string{}}
	s.mu.Lock()
	s.sessions[v.id] = v
	s.mu.Unlock()
	w.Header().Set("Mcp-Session-Id", v.id)
	result(w, q.ID, fmt.Sprintf(`{"protocolVersion":%q,"capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":%q,"version":"1"}}`, legacy, s.name))
}

func (s *Server) session(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

func (s *Server) end(v *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, v.id)
}

// list is the result of tools/list; tail is what it ends with, raw.
func (s *Server) list(tail string) string {
	var b strings.Builder
	b.WriteString(`{"tools":[`)
	for _, name := range []string{ToolEcho, ToolStream, ToolSlow, ToolAsk, ToolChange} {
		fmt.Fprintf(&b, `{"name":%q,"inputSchema":{"type":"object"}},`, name)
	}
	fmt.Fprintf(&b, `{"name":"%s-%d","inputSchema":{"type":"object"}}]%s}`, s.run, s.changes.Load(), tail)
	return b.String()
}

// note remembers that the call n came, and counts if it came before.
func (s *Server) note(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, bit := int(n/64), uint64(1)<<(n%64)
	if at >= len(s.seen) {
		s.seen = append(s.seen, make([]uint64, at-len(s.seen)+1024)...)
	}
	if s.seen[at]&bit != 0 {
		s.again.Add(1)
	}
	s.seen[at] |= bit
}

// answer is the raw result of a call.
func (s *Server) answer(v *session, n uint64, said string) string {
	a := Answer{Server: s.name, Run: s.run, N: n, Again: s.again.Load(), Said: said}
	tail := ""
	if v != nil {
		a.Session = v.id
	} else {
		tail = `,"resultType":"complete"`
	}
	text, err := json.Marshal(a)
	if err != nil {
		panic(err) // a struct of strings and numbers always marshals
	}
	return `{"content":[{"type":"text","text":` + strconv.Quote(string(text)) + `}]` + tail + `}`
}

func result(w http.ResponseWriter, id json.RawMessage, raw string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, message(id, raw))
}

func message(id json.RawMessage, raw string) string {
	return `{"jsonrpc":"2.0","id":` + string(id) + `,"result":` + raw + `}`
}

func fail(w http.ResponseWriter, status int, id json.RawMessage, code int, text string) {
	if id == nil {
		id = json.RawMessage("null")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, id, code, text)
}
