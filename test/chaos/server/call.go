package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Patience is how long a tool waits for the client.
const Patience = 3 * time.Second

// session is one with a client, which is the gateway.
type session struct {
	id string

	mu      sync.Mutex
	streams []*events              // of GET
	unsent  []string               // what is to be told when there is one
	waiting map[string]chan string // by raw id of a call, or of a request to the client
}

// events is an answer that is an event stream.
type events struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

func newEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", "text/event-stream")
	e := &events{w: w}
	e.flush()
	return e
}

func (e *events) flush() { _ = http.NewResponseController(e.w).Flush() } // the peer may be gone

func (e *events) send(message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = fmt.Fprintf(e.w, "data: %s\n\n", message)
	e.flush()
}

// listen serves the session's event stream.
func (v *session) listen(w http.ResponseWriter, r *http.Request) {
	e := newEvents(w)
	v.mu.Lock()
	v.streams = append(v.streams, e)
	unsent := v.unsent
	v.unsent = nil
	v.mu.Unlock()
	for _, message := range unsent {
		e.send(message)
	}
	<-r.Context().Done()
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, other := range v.streams {
		if other == e {
			v.streams = append(v.streams[:i], v.streams[i+1:]...)
			break
		}
	}
}

// tell sends a message on the session's latest stream, or the next one if there is
// none.
func (v *session) tell(message string) {
	v.mu.Lock()
	var e *events
	if n := len(v.streams); n > 0 {
		e = v.streams[n-1]
	} else if len(v.unsent) < 16 {
		v.unsent = append(v.unsent, message)
	}
	v.mu.Unlock()
	if e != nil {
		e.send(message)
	}
}

// await returns where the answer to id will be; forget is for when none came.
func (v *session) await(id string) (answer <-chan string, forget func()) {
	c := make(chan string, 1)
	v.mu.Lock()
	v.waiting[id] = c
	v.mu.Unlock()
	return c, func() {
		v.mu.Lock()
		delete(v.waiting, id)
		v.mu.Unlock()
	}
}

func (v *session) answered(id json.RawMessage, said string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.waiting[string(id)]; c != nil {
		delete(v.waiting, string(id))
		c <- said
	}
}

// call runs a tool; v is nil in the stateless revision.
func (s *Server) call(w http.ResponseWriter, r *http.Request, v *session, q *request) {
	n := q.Params.Arguments.N
	if name := q.Params.Name; v == nil && (name == ToolSlow || name == ToolAsk) {
		fail(w, http.StatusOK, q.ID, -32602, "this tool needs a session")
		return
	}
	switch q.Params.Name {
	case ToolEcho:
		s.note(n)
		result(w, q.ID, s.answer(v, n, ""))
	case ToolStream:
		s.note(n)
		e := newEvents(w)
		for i := range Progress {
			e.progress(q, i+1)
		}
		e.send(message(q.ID, s.answer(v, n, "")))
	case ToolSlow:
		s.slow(w, r, v, q)
	case ToolAsk:
		s.ask(w, r, v, q)
	case ToolChange:
		s.note(n)
		s.change()
		result(w, q.ID, s.answer(v, n, fmt.Sprintf("%s-%d", s.run, s.changes.Load())))
	default:
		fail(w, http.StatusOK, q.ID, -32602, "unknown tool")
	}
}

// progress reports step i of a call that asked for it.
func (e *events) progress(q *request, i int) {
	if q.Params.Meta.Token != nil {
		e.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}`, q.Params.Meta.Token, i))
	}
}

func (s *Server) slow(w http.ResponseWriter, r *http.Request, v *session, q *request) {
	n := q.Params.Arguments.N
	s.note(n)
	cancelled, forget := v.await(string(q.ID))
	defer forget()
	e := newEvents(w)
	e.progress(q, 1)
	said := wait(r, cancelled)
	e.send(message(q.ID, s.answer(v, n, said)))
}

func (s *Server) ask(w http.ResponseWriter, r *http.Request, v *session, q *request) {
	n := q.Params.Arguments.N
	s.note(n)
	id := fmt.Sprintf("%d", n)
	said, forget := v.await(id)
	defer forget()
	v.tell(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"elicitation/create","params":{"message":"%d","requestedSchema":{"type":"object","properties":{"said":{"type":"string"}}}}}`, id, n))
	result(w, q.ID, s.answer(v, n, wait(r, said)))
}

// wait returns what the client said, or AnswerNone.
func wait(r *http.Request, said <-chan string) string {
	late := time.NewTimer(Patience)
	defer late.Stop()
	select {
	case text := <-said:
		return text
	case <-late.C:
	case <-r.Context().Done():
	}
	return AnswerNone
}

// change makes another list and says so on every session's stream.
func (s *Server) change() {
	s.changes.Add(1)
	s.mu.Lock()
	all := make([]*session, 0, len(s.sessions))
	for _, v := range s.sessions {
		all = append(all, v)
	}
	s.mu.Unlock()
	for _, v := range all {
		v.tell(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
	}
}

// Serve runs the server at an address until its process ends.
func Serve(addr, name string, modern bool) error {
	h := &http.Server{Addr: addr, Handler: New(name, modern), ReadHeaderTimeout: time.Minute}
	return fmt.Errorf("server %s: %w", name, h.ListenAndServe())
}
