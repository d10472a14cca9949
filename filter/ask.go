package filter

import (
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// ask asks the broker, unless too many streams wait for it already: what a slow
// broker lets pile up is bounded, and who comes later learns so at once.
func (s *Stream) ask(p phase, q Question) *Decision {
	if limit := int64(s.g.cfg.Questions); limit > 0 && s.g.questions.Add(1) > limit {
		s.g.questions.Add(-1)
		return s.tooMany()
	}
	if p == phaseAskTable || p == phaseAskName {
		s.keepArguments()
	}
	s.asking = true
	s.phase = p
	s.d.Action, s.d.Question = Ask, q
	return &s.d
}

// full reports whether as many streams wait for the broker as may.
func (g *Gateway) full() bool {
	return g.cfg.Questions > 0 && g.questions.Load() >= int64(g.cfg.Questions)
}

// tooMany refuses a request that would have to wait for the broker.
func (s *Stream) tooMany() *Decision {
	d := s.refuse(503, mcp.CodeInternalError, "too many requests wait to be routed: try again soon", "questions")
	d.Edits = append(d.Edits, Edit{Name: "retry-after", Value: []byte("1")})
	return d
}

// answered ends the wait for the broker.
func (s *Stream) answered() {
	if s.asking && s.g.cfg.Questions > 0 {
		s.g.questions.Add(-1)
	}
	s.asking = false
}

// askSession asks for the backend session at a server; stale is one that the
// server no longer knows.
func (s *Stream) askSession(server string, stale []byte) *Decision {
	s.reply = s.appendQuestion(s.reply[:0], server, stale, false)
	return s.ask(phaseAskSession, Question{Method: "POST", Path: gatewayconfig.PathResolve, Body: s.reply})
}

// appendQuestion appends a gatewayconfig.ResolveRequest; bare for one that asks for
// a token alone, or sends a message without a session.
func (s *Stream) appendQuestion(b []byte, server string, stale []byte, bare bool) []byte {
	b = append(b, `{"session":`...)
	b = jsonrpc.AppendQuote(b, s.sessionID())
	b = append(b, `,"server":`...)
	b = jsonrpc.AppendQuote(b, []byte(server))
	if server != "" {
		b = append(b, `,"cluster":`...)
		b = jsonrpc.AppendQuote(b, s.target.server.cluster)
	}
	if len(stale) > 0 {
		b = append(b, `,"stale":`...)
		b = jsonrpc.AppendQuote(b, stale)
	}
	if len(s.endpoint) > 0 {
		b = append(b, `,"endpoint":`...)
		b = jsonrpc.AppendQuote(b, s.endpoint)
	}
	if s.principal != nil {
		b = append(append(append(b, `,"principal":"`...), s.principal.ID()...), '"')
	}
	if bare {
		b = append(b, `,"bare":true`...)
	}
	if server == "" {
		return append(b, '}')
	}
	sends := &s.target.server.sends
	if sends.token == gatewayconfig.TokenCaller && len(s.bearer) > 0 {
		b = append(b, `,"token":`...)
		b = jsonrpc.AppendQuote(b, s.bearer)
	}
	if sends.token != "" {
		if last, _ := s.g.tokens.get(s.tokenKey(), 0); last.refused {
			b = append(b, `,"refused":`...)
			b = jsonrpc.AppendQuote(b, last.authorization)
		}
	}
	return append(s.appendHeaders(b), '}')
}

// repeatWithin is how quickly, in nanoseconds, no answer has to come for the question
// to be asked once more.
const repeatWithin = 5e9

// Answer takes the broker's answer to the last Ask; status 0 means that none
// came. The request's body is not needed again. A broker that is away or cannot
// answer is asked once more, as another replica may: no question does harm twice.
// Not where the stream can go on without, nor after a wait: the client has waited too.
func (s *Stream) Answer(status int, body []byte, now int64) *Decision {
	question := s.d.Question
	s.d.reset()
	s.answered()
	asked := s.entered
	quick := now-asked < repeatWithin
	s.entered = now
	if (status == 0 || status == 503) && quick && !s.repeated && question.Timeout == 0 {
		s.repeated = true
		return s.ask(s.phase, question)
	}
	switch s.phase {
	case phaseAskTable, phaseAskName:
		if err := s.g.TakeTable(status, body, asked); err != nil && s.phase == phaseAskTable {
			return s.fail("broker_down", "the gateway has no routing table yet")
		} else if err != nil {
			s.g.found(now + keepWithoutBroker - currentFor) // when to ask again
		}
		return s.route(now)
	case phaseAskSession:
		return s.answerSession(status, body, now)
	case phaseAskClient:
		return s.answerClient(status, body, now)
	case phaseAskToken:
		return s.answerToken(status, body, now)
	}
	return s.fail("stream", "answer out of turn")
}

// gone ends a request whose client session has ended.
func (s *Stream) gone() *Decision {
	s.g.sessions.forget(s.session)
	return s.refuse(404, mcp.CodeInvalidRequest, "session not found: initialize again", "session_gone")
}

// answerClient refuses the call, if it has a session at all.
func (s *Stream) answerClient(status int, body []byte, now int64) *Decision {
	var r gatewayconfig.ResolveResponse
	if status == 404 {
		return s.gone()
	}
	if status == 200 && gatewayconfig.Decode(body, &r) == nil {
		s.g.sessions.put(s.session, backend{expires: now + r.TTLMillis*1e6})
	}
	return s.refused()
}

func (s *Stream) answerSession(status int, body []byte, now int64) *Decision {
	srv := s.target.server
	s.d.Server = srv.name
	switch status {
	case 200:
	case 404:
		return s.gone()
	case 409:
		return s.byEra(now) // of which the table does not tell yet
	case 410:
		return s.unknown(now)
	case 421:
		return s.moved()
	case 424:
		return s.noCredential()
	case 429:
		return s.busy()
	case 502:
		return s.fail("server_down", "server "+srv.name+" could not be reached")
	default:
		return s.withoutBroker(now)
	}
	var r gatewayconfig.ResolveResponse
	if err := gatewayconfig.Decode(body, &r); err != nil {
		return s.withoutBroker(now)
	}
	s.backend = backend{
		place: srv.place, id: []byte(r.Session), version: r.Version,
		expires: now + r.TTLMillis*1e6,
	}
	s.g.sessions.put(s.session, s.backend)
	s.takeToken(&r, now)
	return s.forward(now)
}

// moved goes on by the table of now: the server is at another address than where the
// request was to go.
func (s *Stream) moved() *Decision {
	if s.followed {
		return s.fail("server_down", "server "+s.target.server.name+" could not be reached")
	}
	s.followed = true
	return s.ask(phaseAskName, s.g.TableQuestion())
}

// busy tells that the server has too many sessions to open, and that the same
// request may succeed soon.
func (s *Stream) busy() *Decision {
	d := s.fail("server_busy", "server "+s.target.server.name+" has too many sessions to open: call again")
	if d.Status == 200 {
		s.set("retry-after", retryAfter)
	}
	return d
}

// withoutBroker goes on with the backend session that was known last, if there
// is one: as long as the broker or its store is away nobody can end a session,
// and open ones keep working.
func (s *Stream) withoutBroker(now int64) *Decision {
	srv := s.target.server
	if s.backend.place == "" {
		return s.fail("broker_down", "the session with server "+srv.name+" could not be opened")
	}
	s.backend.expires = now + keepWithoutBroker
	s.g.sessions.put(s.session, s.backend)
	return s.forward(now)
}
