package filter

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
	"mcp-gateway/internal/tag"
)

// answerMode is how the body of an answer is treated.
type answerMode uint8

const (
	answerPlain  answerMode = iota // leaves as it comes
	answerJSON                     // held back whole, then rewritten
	answerEvents                   // rewritten event by event
	answerError                    // held back whole: a JSON-RPC error, or not
	answerDenied                   // held back whole: what a filter of the operator's says
)

type answerState struct {
	mode   answerMode
	status int
	// secrets are those that are still to be taken away, by bit.
	secrets uint8
	kind    []byte // the content type that it is to leave with; nil if it has that
	parser  sse.Parser
	buf     []byte
	pending []byte // see Pending
	id      []byte // of an event
	// given: the response was among the events.
	given bool
	// waits: a denial tells when to try again.
	waits  bool
	marker tag.Marker
}

// ResponseHeaders decides what happens to an answer. Every answer of a server
// to a request leaves with HTTP 200 and a JSON-RPC message: what a server, or
// Envoy in its place, says otherwise becomes an error that names the server. An
// event stream may hold requests of the server, so each is looked into
// (internal/fromserver); a JSON answer only if its server has resources.
func (s *Stream) ResponseHeaders(headers []Header, end bool) *Decision {
	return s.bare(s.decideAnswer(headers, end))
}

func (s *Stream) decideAnswer(headers []Header, end bool) *Decision {
	s.d.reset()
	s.d.Action = Pass
	ofServer := s.phase == phaseServer && !s.g.cfg.Policies
	var a answerHeaders
	for i := range headers {
		h := &headers[i]
		switch h.Name {
		case ":status":
			a.status, _ = strconv.Atoi(h.Value)
		case "content-type":
			a.contentType = join(a.contentType, h.Value) // two are none
		case "content-length":
			a.length = h.Value
		case "content-encoding":
			a.encoded = !strings.EqualFold(h.Value, "identity")
		default:
			if i := slices.Index(gatewayconfig.Secrets[:], h.Name); i >= 0 && ofServer {
				s.answer.secrets |= 1 << i
			}
		}
	}
	if s.denied && (s.phase == phaseServer || s.phase == phaseBroker) {
		return s.denial(headers, a.status, end)
	}
	switch s.phase {
	case phaseServer:
		s.d.Server = s.target.server.name
		if s.oneWay {
			return s.fromServerOneWay(a.status, end)
		}
		return s.fromServer(a, end)
	case phaseBroker:
		return s.fromBroker(a.status, a.contentType)
	case phaseAskTable, phaseAskName, phaseAskSession, phaseAskClient, phaseAskToken:
		// The host has given the request up while the broker was asked.
		return s.fail("given_up", "the request took too long")
	}
	s.d.Done = true
	return &s.d
}

// answerHeaders is what the headers of an answer say.
type answerHeaders struct {
	status              int
	contentType, length string
	encoded             bool
}

// fromBroker passes the broker's answers; only Envoy's own, made in place of a
// broker that is away, are put into the protocol's form.
func (s *Stream) fromBroker(status int, contentType string) *Decision {
	if s.isDelete {
		s.g.sessions.forget(s.session)
	}
	if status >= 500 && !mcp.MediaType(contentType, "application/json") {
		return s.fail("broker_down", "the gateway cannot answer now")
	}
	s.d.Done = true
	return &s.d
}

func (s *Stream) fromServer(a answerHeaders, end bool) *Decision {
	srv := s.target.server
	s.answer.marker = tag.NewMarker(s.sessionID(), srv.name)
	isJSON := mcp.MediaType(a.contentType, "application/json")
	isEvents := mcp.MediaType(a.contentType, "text/event-stream")
	if !s.resume && s.spoilToken(a.status) {
		return s.tokenRefused()
	}
	s.leavesAs(isEvents && a.status == 200, a.contentType)
	mayBeLost := len(s.backend.id) > 0 && (a.status == 404 || a.status == 400)
	if !mayBeLost {
		s.dropBody()
	}
	switch {
	case s.resume && a.status >= 400 && a.status < 500:
		return s.notResumed(a.status)
	case s.resume && a.status == 200 && isEvents && end:
		s.d.Done = true // nothing was left to send
		return &s.d
	case a.status == 200 && end:
		return s.fail("bad_answer", "server "+srv.name+" gave an empty answer")
	case a.status == 200 && a.encoded && (isJSON || isEvents):
		return s.fail("bad_answer", "server "+srv.name+" gave an encoded answer that nobody asked for")
	case a.status == 200 && isJSON:
		if n, err := strconv.Atoi(a.length); s.words() == 0 || err == nil && n > s.g.cfg.ResponseLimit {
			s.d.Done = true
			return &s.d
		}
		s.answer.mode = answerJSON
		return s.hold()
	case a.status == 200 && isEvents:
		s.answer.mode, s.answer.given = answerEvents, false
		s.answer.parser.Reset(s.g.cfg.EventLimit)
		if a.length != "" {
			s.remove("content-length")
		}
		return &s.d
	case mayBeLost && a.status == 404 && !(isJSON && short(a.length)):
		return s.sessionLost()
	case a.status >= 400 && (isJSON || mayBeLost) && !end && !s.resume:
		s.answer.mode, s.answer.status = answerError, a.status
		return s.hold()
	}
	return s.failStatus(a.status)
}

// hold has the host keep the answer back until its body is complete.
func (s *Stream) hold() *Decision {
	s.d.Action = NeedBody
	return &s.d
}

// words are what an answer in JSON has to be looked at for; none for nothing.
func (s *Stream) words() fromserver.Words {
	switch {
	case s.stateless:
		w := fromserver.WordInputs | fromserver.WordEscape
		if s.label != "" {
			w |= fromserver.WordURI
		}
		if s.mayBeTask {
			w |= fromserver.WordTask
		}
		if s.private() {
			w |= fromserver.WordPublic
		}
		return w
	case s.label != "":
		return fromserver.WordsOf(s.label)
	}
	return 0
}

// mayLeave tells the host which answers are none of the core's business.
func (s *Stream) mayLeave() {
	// A large copy is let go of as soon as the answer begins.
	if s.oneWay || s.resume || len(s.body) > keptBody {
		return
	}
	s.d.PlainUnless = s.words()
	s.d.PlainJSON = s.d.PlainUnless == 0
}

// Pending is for a host that has to end a response while it is held back (NeedBody,
// Ask, PlainUnless): the answer in its place, of the stream's memory, nil if nobody
// waits for one, and the name of the server that has not given its own.
func (s *Stream) Pending() (answer []byte, server string) {
	switch {
	case s.answer.mode == answerDenied:
		return s.appendDenial(nil), ""
	case s.oneWay:
		return nil, ""
	}
	server = s.target.server.name
	s.answer.pending = jsonrpc.AppendError(s.answer.pending[:0], s.id, mcp.CodeInternalError, "server "+server+" broke off its answer", nil)
	return s.answer.pending, server
}

// sessionLost sends the request again in a new session, if it is still at hand.
func (s *Stream) sessionLost() *Decision {
	s.g.sessions.spoil(s.session, s.target.server.place, s.backend.id)
	if len(s.body) > 0 {
		return s.replay()
	}
	return s.fail("session_lost", "server "+s.target.server.name+" has lost its session; call again")
}

// short reports whether an answer says that it is not long. Only then it is
// looked at before its session is taken for lost.
func short(length string) bool {
	n, err := strconv.Atoi(length)
	return err == nil && n > 0 && n <= mcp.LongestRefusal
}

// dropBody lets go of the copy of the request: it will not be sent again.
func (s *Stream) dropBody() {
	if s.body = s.body[:0]; cap(s.body) > keptBody {
		s.body = nil
	}
}

// failStatus names what went wrong at the server without passing on its words,
// which may hold addresses.
func (s *Stream) failStatus(status int) *Decision {
	name := s.target.server.name
	s.d.Server = name
	switch status {
	case 502, 503:
		return s.fail("server_down", "server "+name+" could not be reached")
	case 408, 504:
		return s.fail("server_timeout", "server "+name+" did not answer in time")
	case 401, 403:
		return s.fail("server_refused", "server "+name+" refused the gateway's credentials")
	}
	return s.fail("bad_answer", "server "+name+" answered with HTTP status "+strconv.Itoa(status))
}

// ResponseBody takes the whole body after NeedBody, or else one chunk. end
// tells that nothing follows.
func (s *Stream) ResponseBody(body []byte, end bool) *Decision {
	return s.bare(s.decideAnswerBody(body, end))
}

func (s *Stream) decideAnswerBody(body []byte, end bool) *Decision {
	s.d.reset()
	s.d.Action = Pass
	switch s.answer.mode {
	case answerJSON:
		s.d.Done = true
		s.rewrite(body)
	case answerError:
		return s.serverError(body)
	case answerDenied:
		return s.denialBody(body)
	case answerEvents:
		s.answer.buf = s.answer.buf[:0]
		err := s.answer.parser.Feed(body, s.event)
		if err != nil {
			// The stream is broken for a client too; it learns so by its end.
			return s.fail("event_limit", "server "+s.target.server.name+" sent an event over the limit")
		}
		if end && s.stateless && !s.answer.given {
			s.endUnanswered()
		}
		s.d.Replace, s.d.Body = true, s.answer.buf
		s.d.Done = end
	default:
		s.d.Done = true
	}
	return &s.d
}

// AnswerTooLarge is for a host whose held-back answer outgrew ResponseLimit:
// it leaves as it is, unless it was an error to be looked at.
func (s *Stream) AnswerTooLarge() *Decision {
	s.d.reset()
	switch s.answer.mode {
	case answerError:
		return s.failStatus(s.answer.status)
	case answerDenied:
		return s.denialBody(nil)
	}
	s.answer.mode = answerPlain
	s.d.Action, s.d.Done = Pass, true
	return s.bare(&s.d)
}

// rewrite replaces a whole answer by what the client may see of it, if that
// differs.
func (s *Stream) rewrite(body []byte) {
	if capability := s.undeclared(body); capability != "" {
		s.answer.buf = s.appendUndeclared(s.answer.buf[:0], capability)
		s.replaceAnswer(s.answer.buf)
		s.set(":status", []byte("400"))
		return
	}
	if !s.concerns(body) {
		return
	}
	s.answer.buf = s.appendFit(s.answer.buf[:0], body)
	if bytes.Equal(s.answer.buf, body) {
		return
	}
	s.replaceAnswer(s.answer.buf)
}

// replaceAnswer has the client get body in place of the whole answer.
func (s *Stream) replaceAnswer(body []byte) {
	s.d.Replace, s.d.Body = true, body
	s.length = strconv.AppendInt(s.length[:0], int64(len(body)), 10)
	s.set("content-length", s.length)
}

// concerns reports whether a message of the server may have to change before the
// client sees it.
func (s *Stream) concerns(message []byte) bool {
	if s.stateless {
		return s.labels().Concern(message)
	}
	return fromserver.Concerns(message, s.label)
}

// appendFit appends the message as the client may see it.
func (s *Stream) appendFit(dst, message []byte) []byte {
	if s.stateless {
		return s.labels().Append(dst, message)
	}
	return fromserver.Rewrite(dst, message, &s.answer.marker, s.label)
}

func (s *Stream) labels() fromserver.Labels {
	l := fromserver.Labels{URI: s.label, Task: s.tasks, Server: s.target.server.name, Private: s.private()}
	if t := s.g.table.Load(); s.mayBeTask && t != nil {
		if l.Owner = s.owner(t, s.target.server); s.want == wantTool {
			l.Owner.Tool = string(s.name)
		}
	}
	return l
}

// serverError passes a JSON-RPC error that a server sent with an HTTP error
// status, as HTTP 200, if it answers this very request. Any other may tell that
// the session is lost.
func (s *Stream) serverError(body []byte) *Decision {
	m := &s.msg
	status := s.answer.status
	// 2026-07-28, basic/index, Error Codes: clients look at these two, so an error
	// under one of them needs no id.
	tells := s.stateless && (status == 400 || status == 404)
	read := m.Scan(body) == nil
	if !read && tells && len(s.id) > 0 {
		// It may have none at all, which no other message does without. The client
		// knows its requests by their ids, so it gets this one's.
		if named := appendNamed(s.reply[:0], body, s.id); m.Scan(named) == nil && m.Kind == jsonrpc.Response {
			s.reply, body, read = named, named, true
			s.replaceAnswer(named)
		}
	}
	answered := read && m.Kind == jsonrpc.Response &&
		(sameID(m.ID.Of(body), s.id) || tells && string(m.ID.Of(body)) == "null")
	switch {
	case len(s.backend.id) > 0 && mcp.LostSession(status, body, answered):
		return s.sessionLost()
	case !answered:
		return s.failStatus(status)
	}
	s.d.Reason, s.d.Server, s.d.Done = "server_error", s.target.server.name, true
	if !tells {
		s.set(":status", []byte("200"))
	}
	s.rewrite(body)
	return &s.d
}

// appendNamed appends a message with the id put first into it; what is no object
// stays as it is.
func appendNamed(dst, message, id []byte) []byte {
	inside, ok := bytes.CutPrefix(bytes.TrimLeft(message, " \t\r\n"), []byte{'{'})
	if !ok {
		return append(dst, message...)
	}
	dst = append(append(dst, `{"id":`...), id...)
	return append(append(dst, ','), inside...)
}
