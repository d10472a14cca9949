package filter

import (
	"strconv"
	"time"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

const (
	// replayLimit is the largest request in bytes of which a copy is kept until
	// its server has answered.
	replayLimit = 1 << 20
	// keptBody is the largest copy that may stay with a stream beyond that.
	keptBody = 64 << 10
	// replayTimeout bounds a replay, in which the server opens a session and runs
	// a tool. It is no shorter than what a call may be silent for; a timeout of
	// the server's own is the broker's to keep.
	replayTimeout = 5 * time.Minute
)

// replay has the broker send the request once more, with a new token if the one
// before was refused, else in a new session: a server
// that does not know a session has not looked at what was in the request
// (2025-11-25, basic/transports, Session Management). Only the broker can open
// one, and restore in it what the client had asked for.
func (s *Stream) replay() *Decision {
	stale := s.backend.id
	if s.reauthorized {
		stale = nil // nothing is wrong with the session
	}
	b := s.appendQuestion(s.answer.buf[:0], s.target.server.name, stale, s.stateless)
	b = append(b, '\n')
	if s.target.token != nil {
		b = jsonrpc.ReplaceSpan(b, s.body, s.span, s.target.token)
	} else {
		b = append(b, s.body...)
	}
	s.answer.buf = b
	return s.ask(phaseReplay, Question{Method: "POST", Path: gatewayconfig.PathReplay, Body: b, Timeout: replayTimeout})
}

// Replayed takes the broker's answer to the Ask of a response: its headers, none
// if no answer came, and its body. With status 200 it is the server's own answer.
func (s *Stream) Replayed(headers []Header, body []byte) *Decision {
	s.d.reset()
	s.answered()
	if s.phase != phaseReplay {
		return s.fail("stream", "answer out of turn")
	}
	name := s.target.server.name
	s.d.Server = name
	status, contentType := 0, ""
	for i := range headers {
		switch headers[i].Name {
		case ":status":
			status, _ = strconv.Atoi(headers[i].Value)
		case "content-type":
			contentType = headers[i].Value
		}
	}
	switch status {
	case 200, 202:
	case 424:
		return s.noCredential()
	case 404:
		return s.gone()
	case 401:
		return s.failStatus(401)
	case 410, 502:
		return s.fail("server_down", "server "+name+" could not be reached")
	default:
		if s.reauthorized {
			return s.failStatus(401)
		}
		return s.fail("session_lost", "server "+name+" has lost its session; call again")
	}
	s.answer.buf = s.answer.buf[:0]
	value := jsonType
	switch {
	case len(body) > 0 && mcp.MediaType(contentType, "application/json"):
		s.answer.buf = s.appendFit(s.answer.buf, body)
	case len(body) > 0 && mcp.MediaType(contentType, "text/event-stream"):
		value = eventsType
		s.answer.parser.Reset(s.g.cfg.EventLimit)
		s.answer.given = false
		if s.answer.parser.Feed(body, s.event) != nil {
			return s.fail("event_limit", "server "+name+" sent an event over the limit")
		}
	default:
		return s.fail("bad_answer", "server "+name+" gave an empty answer")
	}
	s.phase = phaseReplied
	d := &s.d
	d.Action, d.Status, d.Body, d.Done = Reply, 200, s.answer.buf, true
	s.set("content-type", value)
	return d
}
