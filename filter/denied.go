package filter

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Filters of the operator's own may stand behind this one (gatewayconfig.Filter's
// Policies): access control, rate limits, external authorization. What they answer
// in place of a server is no answer of a server: its status and its headers stay,
// and the client gets a JSON-RPC error under its request's id.

// Denied is for a host that is about to call ResponseHeaders with an answer that a
// filter behind this one gave before the request went on to a server or the broker.
func (s *Stream) Denied() { s.denied = true }

// reasonLimit is how much of a denial's text goes into the error.
const reasonLimit = 4 << 10

// denial decides an answer of the operator's filter by its headers. One that is no
// error is what the operator wants the client to have.
func (s *Stream) denial(headers []Header, status int, end bool) *Decision {
	if status < 400 {
		s.d.Done = true
		return &s.d
	}
	s.dropBody()
	s.answer.mode, s.answer.status = answerDenied, status
	s.answer.waits = has(headers, "retry-after")
	if !end {
		s.d.Action = NeedBody
		return &s.d
	}
	d := s.refuseData(status, denialCode(status), denialMessage(status), nil, "denied")
	for i := range headers {
		if !ofBody(headers[i].Name) {
			d.Edits = append(d.Edits, Edit{Name: headers[i].Name, Value: []byte(headers[i].Value)})
		}
	}
	s.whenToRetry()
	return d
}

// denialBody puts what the operator's filter says into the protocol's form.
func (s *Stream) denialBody(body []byte) *Decision {
	s.d.Reason, s.d.Done = "denied", true
	s.note("error", []byte("denied"))
	s.phase = phaseReplied
	s.replaceAnswer(s.appendDenial(body))
	s.set("content-type", jsonType)
	s.remove("content-encoding")
	s.whenToRetry()
	return &s.d
}

func (s *Stream) appendDenial(body []byte) []byte {
	status := s.answer.status
	s.reply = jsonrpc.AppendError(s.reply[:0], s.id, denialCode(status), denialMessage(status), denialData(body))
	return s.reply
}

// whenToRetry has a client that met a limit wait: the protocol's clients read
// Retry-After, and not every filter sends it.
func (s *Stream) whenToRetry() {
	if status := s.answer.status; !s.answer.waits && (status == 429 || status == 503) {
		s.set("retry-after", retryAfter)
	}
}

// denialData is what the operator's filter said: an object as it is, a text as its
// member reason. Nil for anything else.
func denialData(body []byte) []byte {
	if len(body) == 0 || len(body) > reasonLimit || !utf8.Valid(body) {
		return nil
	}
	if body[0] == '{' && json.Valid(body) {
		return body
	}
	text := strings.TrimSpace(string(body))
	if text == "" {
		return nil
	}
	return append(jsonrpc.AppendQuote([]byte(`{"reason":`), []byte(text)), '}')
}

func denialCode(status int) int {
	if status == 429 || status >= 500 {
		return mcp.CodeInternalError
	}
	return mcp.CodeInvalidRequest
}

func denialMessage(status int) string {
	switch {
	case status == 401:
		return "authentication is required"
	case status == 429:
		return "too many requests"
	case status >= 500:
		return "the gateway cannot decide on this request now"
	}
	return "the gateway's policy refuses this request"
}

// ofBody reports whether a header belongs to the body of the answer that has it, or
// is not for the gateway to set.
func ofBody(name string) bool {
	switch name {
	case "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "date", "server":
		return true
	}
	return strings.HasPrefix(name, ":")
}

func has(headers []Header, name string) bool {
	for i := range headers {
		if headers[i].Name == name {
			return true
		}
	}
	return false
}
