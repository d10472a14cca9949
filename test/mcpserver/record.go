package mcpserver

import (
	"encoding/json"
	"net/http"
)

// Request is one HTTP request as it arrived.
type Request struct {
	HTTPMethod string
	Path       string // with its query
	Host       string
	Header     http.Header
	Trailer    http.Header
	Body       []byte
	// Method, ID and Name are the JSON-RPC method, the id's raw bytes and
	// params.name or params.uri; empty where the body has none.
	Method string
	ID     json.RawMessage
	Name   string

	params struct{ cursor string }
}

// Requests returns everything received, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Received returns the requests of one JSON-RPC method; "GET" and "DELETE" name
// those without a body.
func (s *Server) Received(method string) []Request {
	var out []Request
	for _, r := range s.Requests() {
		if r.Method == method || r.Method == "" && r.HTTPMethod == method {
			out = append(out, r)
		}
	}
	return out
}

// Last returns the newest request of one method and ends the test if there was
// none.
func (s *Server) Last(method string) Request {
	s.t.Helper()
	all := s.Received(method)
	if len(all) == 0 {
		s.t.Fatalf("server %s: no %s received, only %s", s.script.Name, method, s.summary())
	}
	return all[len(all)-1]
}

// Forget drops the record, so that Received tells what came after it.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

func (s *Server) record(r *http.Request, body []byte) Request {
	rec := Request{
		HTTPMethod: r.Method,
		Path:       r.URL.RequestURI(),
		Host:       r.Host,
		Header:     r.Header.Clone(),
		Trailer:    r.Trailer.Clone(),
		Body:       body,
	}
	var message struct {
		Method string
		ID     json.RawMessage
		Params struct {
			Name, URI json.RawMessage
			Cursor    string
		}
	}
	// A body of another shape is recorded all the same: Method stays empty.
	if json.Unmarshal(body, &message) == nil {
		rec.Method, rec.ID = message.Method, message.ID
		rec.params.cursor = message.Params.Cursor
		for _, raw := range []json.RawMessage{message.Params.URI, message.Params.Name} {
			var name string
			if json.Unmarshal(raw, &name) == nil {
				rec.Name = name
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, rec)
	s.wake()
	return rec
}
