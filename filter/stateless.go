package filter

import (
	"bytes"

	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// Requests of stateless revisions (2026-07-28, basic/transports/streamable-http).
// Each is complete in itself: no session is looked for, and nothing is asked but
// the table. Headers that repeat the body are held against it before anything
// else, as servers see both.

// otherEra decides a request that says anything about its revision but the name
// of one with sessions. Nil for one that has sessions after all.
func (s *Stream) otherEra(body []byte, now int64) *Decision {
	if modern.Is(&s.msg, s.mirrored()) {
		return s.statelessBody(body, now)
	}
	if s.versions || len(s.version) > 0 && !mcp.Served(mcp.Revision(s.version)) {
		return s.refuse(400, mcp.CodeInvalidRequest, "unsupported MCP-Protocol-Version", "version")
	}
	return nil
}

func (s *Stream) statelessBody(body []byte, now int64) *Decision {
	s.stateless = true
	m := &s.msg
	s.capabilities = append(s.capabilities[:0], m.MetaCapabilities.Of(body)...)
	if m.Kind == jsonrpc.Response {
		return s.refuse(400, mcp.CodeInvalidRequest, "clients of this protocol version send no responses", "response")
	}
	if r := modern.Check(m, body, s.mirrored()); r != nil {
		return s.refuseData(400, r.Code, r.Message, r.Data, refusals[r.Code])
	}
	method, _ := jsonrpc.Unquote(s.scratch[:0], m.Method.Of(body))
	s.access.arguments = m.Arguments.Of(body)
	if m.Kind == jsonrpc.Notification {
		return s.toBrokerAs(method)
	}
	member := s.called(body, method)
	if member == "" {
		switch string(method) {
		case mcp.MethodTasksGet:
			s.method = mcp.MethodTasksGet
		case mcp.MethodTasksUpdate:
			s.method = mcp.MethodTasksUpdate
		case mcp.MethodTasksCancel:
			s.method = mcp.MethodTasksCancel
		case mcp.MethodListen:
			s.method = mcp.MethodListen
			return s.toBrokerLong()
		default:
			s.g.passes(method, now)
			return s.toBrokerAs(method)
		}
		if !modern.Declares(m.MetaCapabilities.Of(body), mcp.ExtensionTasks) {
			return s.refuseData(400, mcp.CodeMissingCapability, "the tasks extension is not declared",
				modern.MissingExtension(nil, mcp.ExtensionTasks), "missing_capability")
		}
		s.want, s.span, member = wantTask, m.TaskID, "taskId"
	}
	s.mayBeTask = s.want == wantTask || s.method == mcp.MethodToolsCall && bytes.Contains(m.MetaCapabilities.Of(body), tasksExtension)
	if d := s.readName(body, member, now); d != nil {
		return d
	}
	if t := s.g.table.Load(); t != nil && t.tokens && len(body) <= replayLimit {
		s.body = append(s.body, body...) // for the case that a token is refused
	}
	return s.route(now)
}

// tasksExtension ends the name of the extension, slashes escaped or not. What
// else contains it costs a look into the answer.
var tasksExtension = []byte(`/tasks"`)

// refusals are what a refusal of modern.Check counts as.
var refusals = map[int]string{
	mcp.CodeInvalidParams:      "bad_meta",
	mcp.CodeHeaderMismatch:     "header_mismatch",
	mcp.CodeUnsupportedVersion: "version",
}

// toBrokerAs is toBroker for a method that the filter need not know.
func (s *Stream) toBrokerAs(method []byte) *Decision {
	if s.g.cfg.Metadata {
		s.method = string(method)
	}
	return s.toBroker()
}

// byEra goes on with a request where the client or its server knows no sessions.
// Between the eras only the broker translates.
func (s *Stream) byEra(now int64) *Decision {
	srv := s.target.server
	switch {
	case s.stateless && srv.modern:
		return s.forwardStateless(now)
	case s.phase == phaseBody && s.want != wantServer && s.g.begin(now, revalidateEvery):
		// The server may speak another era by now: the table is as old as the last
		// request, and the broker does not take what is the filter's to send.
		s.label = ""
		return s.ask(phaseAskName, s.g.TableQuestion())
	case s.want == wantServer: // what the broker has asked in the server's name
		s.oneWay, s.resume = false, false
		return s.toBroker()
	case s.want == wantTask && srv.listed:
		return s.unknown(now) // servers with sessions have no such tasks
	case s.want == wantTask:
		return s.fail("server_down", "server "+srv.name+" could not be reached")
	}
	s.dropBody()
	d := s.toBrokerLong()
	// The question for a session has told that the table is old.
	if s.g.begin(now, revalidateEvery) {
		d.Revalidate = true
	}
	s.carried()
	return d
}

// forwardStateless sends the request to the chosen server. Its name changes in
// the body and in Mcp-Name together.
func (s *Stream) forwardStateless(now int64) *Decision {
	if d := s.withToken(now); d != nil {
		return d
	}
	s.phase = phaseServer
	if s.mayBeTask {
		s.tasks = s.target.server.label
	}
	d := &s.d
	d.Action = Pass
	s.mayLeave()
	s.address()
	s.dropSession()
	if s.hasCoding {
		s.remove("accept-encoding") // an answer that is looked into must be plain
	}
	switch token := s.target.token; {
	case s.method == mcp.MethodComplete:
		if s.repeats && s.mirror.hasName {
			s.remove(mcp.HeaderName) // it means nothing here, and no server knows it
		}
	case token != nil:
		own, _ := jsonrpc.Unquote(s.reply[:0], token)
		s.mirror.name = modern.AppendHeader(s.mirror.name[:0], own)
		s.set(mcp.HeaderName, s.mirror.name)
	}
	s.rename()
	s.goOn(now)
	return d
}

// undeclared returns what the answer of a stateless server asks of a client that has
// not declared it (2026-07-28, basic/patterns/mrtr, inputRequests); empty for nothing.
func (s *Stream) undeclared(message []byte) string {
	if !s.stateless || !fromserver.MayAsk(message) {
		return ""
	}
	return fromserver.Undeclared(message, s.capabilities)
}

// appendUndeclared appends the answer in place of such a one.
func (s *Stream) appendUndeclared(dst []byte, capability string) []byte {
	name := s.target.server.name
	s.d.Reason, s.d.Server = "undeclared", name
	s.note("error", []byte("undeclared"))
	data := fromserver.AppendRequired(nil, capability)
	code := mcp.CodeMissingCapability
	if len(data) == 0 {
		code = mcp.CodeInternalError
	}
	return jsonrpc.AppendError(dst, s.id, code, "server "+name+" asks for what the client has not declared: "+capability, data)
}
