package filter

import (
	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

var (
	jsonType   = []byte("application/json")
	eventsType = []byte("text/event-stream")
	retryAfter = []byte("5") // seconds
)

// refuse ends the stream with a JSON-RPC error under the request's id. reason
// is the word for logs and counters.
func (s *Stream) refuse(status, code int, message, reason string) *Decision {
	return s.refuseData(status, code, message, nil, reason)
}

func (s *Stream) refuseData(status, code int, message string, data []byte, reason string) *Decision {
	s.phase = phaseReplied
	s.reply = jsonrpc.AppendError(s.reply[:0], s.id, code, message, data)
	d := &s.d
	d.Action, d.Status, d.Body, d.Reason = Reply, status, s.reply, reason
	d.Edits = append(d.Edits[:0], Edit{Name: "content-type", Value: jsonType})
	d.Done = true
	s.note("error", []byte(reason))
	if s.access.decided && s.target.server != nil && s.g.cfg.Metadata {
		s.noteTarget()
	}
	s.noteRequest()
	return d
}

// fail answers a request that was in order but could not be served. HTTP 200,
// as clients hide or hang on a 5xx; the id tells them which request failed. Who
// waits for no result is not told.
func (s *Stream) fail(reason, message string) *Decision {
	if s.oneWay {
		return s.accept(reason)
	}
	status := 200
	if len(s.id) == 0 || s.method == mcp.MethodInitialize {
		status = 503
	}
	d := s.refuse(status, mcp.CodeInternalError, message, reason)
	if status == 503 {
		d.Edits = append(d.Edits, Edit{Name: "retry-after", Value: retryAfter})
	}
	return d
}

// Panicked is for a host that recovered a panic in a call on s, which takes no
// other call after this. What the panic left half done is not looked at, and a
// message that waits for no result fails, too: nobody has taken it.
func (s *Stream) Panicked() *Decision {
	fault.At("panicked")
	s.d = Decision{}
	s.oneWay = false
	return s.fail("panic", "internal error")
}

func (s *Stream) set(name string, value []byte) {
	s.d.Edits = append(s.d.Edits, Edit{Name: name, Value: value})
}

func (s *Stream) remove(name string) {
	s.d.Edits = append(s.d.Edits, Edit{Name: name, Remove: true})
}

func (s *Stream) note(key string, value []byte) {
	s.d.Notes = append(s.d.Notes, Note{Key: key, Value: value})
}

// dropOwned removes the client's headers that belong to the gateway or steer
// Envoy. Envoy has chosen a route by them already: it must choose again.
func (s *Stream) dropOwned() {
	for _, name := range s.owned {
		s.remove(name)
		s.d.Reroute = true
	}
	if s.repeats && !s.stateless {
		s.dropMirrored()
	}
}
