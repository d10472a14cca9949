package filter

import (
	"strconv"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/resourceuri"
)

// phase is where a stream stands.
type phase uint8

const (
	phaseNew        phase = iota
	phaseBody             // a POST whose body is awaited
	phaseAskTable         // waiting for a first table
	phaseAskName          // waiting for a newer table, as the name was unknown
	phaseAskSession       // waiting for the backend session
	phaseAskClient        // waiting whether the client session exists, then refused
	phaseServer           // forwarded to a server
	phaseBroker           // handed to the broker
	phaseReplied
)

// Stream is one HTTP request and its answer. Not safe for concurrent use; a
// host calls it in the order of the package comment. The zero value is ready
// after Reset.
type Stream struct {
	g     *Gateway
	phase phase
	d     Decision

	// From the request's headers, copied.
	session   []byte
	version   []byte
	path      []byte
	isDelete  bool
	hasLength bool // content-length
	hasQuery  bool
	messages  bool     // a message of an HTTP+SSE client
	modern    bool     // a header that only stateless revisions have
	owned     []string // headers of the client that are the gateway's or Envoy's to set
	secrets   []string // its credentials, which are for the gateway only

	// From the request's body, copied.
	msg     jsonrpc.Message
	size    int
	id      []byte
	method  string
	name    []byte // decoded params.name or params.uri
	span    jsonrpc.Span
	scratch []byte

	// The decision's outcome.
	refusal refusal
	target  target
	label   string // of the server, if answers need it
	backend backend
	answer  answerState
	reply   []byte
	length  []byte // a content-length in digits
}

// Reset makes s ready for a new request of g and forgets the last one. Memory
// is kept for reuse, and what every request sets anew is not cleared: this is
// on the path of each call.
func (s *Stream) Reset(g *Gateway) {
	s.g, s.phase = g, phaseNew
	s.session, s.version, s.path, s.owned, s.secrets = s.session[:0], s.version[:0], s.path[:0], s.owned[:0], s.secrets[:0]
	s.isDelete, s.hasLength, s.hasQuery, s.modern, s.messages = false, false, false, false, false
	s.id, s.method, s.name = s.id[:0], "", s.name[:0]
	s.target, s.label, s.backend = target{}, "", backend{}
	s.answer.mode, s.answer.parser = answerPlain, nil
}

// RequestBody decides a POST by its whole body. now is the host's time in
// nanoseconds, of any epoch, never going back.
func (s *Stream) RequestBody(body []byte, now int64) *Decision {
	s.d.reset()
	if s.phase != phaseBody {
		return s.fail("stream", "request body out of turn")
	}
	if len(body) > s.g.cfg.BodyLimit {
		return s.refuse(413, mcp.CodeInvalidRequest, "request body exceeds the limit", "body_limit")
	}
	if s.messages {
		return s.toBroker()
	}
	s.size = len(body)
	if err := s.msg.Scan(body); err != nil {
		s.id = append(s.id[:0], err.ID.Of(body)...)
		return s.refuse(400, err.Code, err.Reason, "bad_json")
	}
	m := &s.msg
	s.id = append(s.id[:0], m.ID.Of(body)...)
	if m.Kind == jsonrpc.Batch {
		return s.batch()
	}
	if d := s.checkVersion(body); d != nil {
		return d
	}
	if m.Kind != jsonrpc.Request {
		return s.toBroker()
	}
	method, ok := jsonrpc.Unquote(s.scratch[:0], m.Method.Of(body))
	if !ok {
		return s.refuse(400, mcp.CodeInvalidRequest, "method must be a string", "bad_json")
	}
	switch string(method) {
	case mcp.MethodToolsCall:
		s.method = mcp.MethodToolsCall
	case mcp.MethodPromptsGet:
		s.method = mcp.MethodPromptsGet
	case mcp.MethodResourcesRead:
		s.method = mcp.MethodResourcesRead
	case mcp.MethodInitialize:
		s.method = mcp.MethodInitialize
		return s.toBroker()
	default:
		if s.g.cfg.Metadata {
			s.method = string(method)
		}
		return s.toBroker()
	}
	if len(s.session) == 0 {
		return s.refuse(400, mcp.CodeInvalidRequest, "Mcp-Session-Id header is missing: initialize first", "no_session")
	}
	isString := m.NameIsString
	s.span = m.Name
	member := "name"
	if s.method == mcp.MethodResourcesRead {
		isString, s.span, member = m.URIIsString, m.URI, "uri"
	}
	if !isString {
		return s.refuseCall(now, mcp.CodeInvalidParams, "params."+member+" must be a string", "bad_params")
	}
	name, ok := jsonrpc.Unquote(s.scratch[:0], s.span.Of(body))
	if !ok {
		return s.refuse(400, mcp.CodeParseError, "params."+member+" is no valid string", "bad_json")
	}
	s.name = append(s.name[:0], name...)
	return s.route(now)
}

// checkVersion refuses what the gateway does not speak: a stateless revision
// with -32022, so that its client falls back to initialize, and any unknown
// one. Nil when all is well.
func (s *Stream) checkVersion(body []byte) *Decision {
	requested := s.version
	meta, _ := jsonrpc.Unquote(nil, s.msg.MetaVersion.Of(body))
	if len(meta) > 0 {
		requested = meta
	}
	switch {
	case s.modern || len(meta) > 0 || mcp.Modern(mcp.Revision(s.version)):
		data := jsonrpc.AppendQuote([]byte(supportedVersions()), requested)
		return s.refuseData(400, mcp.CodeUnsupportedVersion, "unsupported protocol version", append(data, '}'), "version")
	case len(requested) > 0 && !mcp.Served(mcp.Revision(requested)):
		return s.refuse(400, mcp.CodeInvalidRequest, "unsupported MCP-Protocol-Version", "version")
	}
	return nil
}

// toBroker passes the request on as it is.
func (s *Stream) toBroker() *Decision {
	s.phase = phaseBroker
	s.d.Action = Pass
	s.d.Plain = !s.isDelete
	s.dropOwned()
	if s.g.cfg.Metadata && s.method != "" {
		s.note("method", []byte(s.method))
	}
	return &s.d
}

// route finds the owner of s.name and goes on with its session.
func (s *Stream) route(now int64) *Decision {
	t := s.g.table.Load()
	if t == nil {
		if s.phase == phaseAskTable {
			return s.fail("broker_down", "the gateway has no routing table yet")
		}
		s.g.fetched.Store(now)
		return s.ask(phaseAskTable, s.g.TableQuestion())
	}
	found := s.find(t)
	if !found {
		if s.phase != phaseAskName && s.g.begin(now, recheckEvery) {
			return s.ask(phaseAskName, s.g.TableQuestion())
		}
		return s.unknown(now)
	}
	srv := s.target.server
	if srv.resources {
		s.label = srv.label
	}
	b, ok := s.g.sessions.get(s.session, srv.name, now)
	if ok {
		s.backend = b
		return s.forward(now)
	}
	if b.stale {
		return s.askSession(srv.name, b.id)
	}
	s.backend = b // for the case that the broker is away
	d := s.askSession(srv.name, nil)
	d.Question.Quick = b.server != ""
	return d
}

// find looks s.name up and sets s.target.
func (s *Stream) find(t *table) bool {
	if s.method != mcp.MethodResourcesRead {
		var ok bool
		s.target, s.scratch, ok = t.owner(s.method, s.name, s.scratch)
		return ok
	}
	if t.sole != nil {
		s.target = target{server: t.sole} // no token: the URI stays as it is
		return true
	}
	label, rest, ok := resourceuri.Split(string(s.name))
	if !ok || t.labels[label] == nil {
		return false
	}
	s.scratch = jsonrpc.AppendQuote(s.scratch[:0], []byte(rest))
	s.target = target{server: t.labels[label], token: s.scratch}
	return true
}

func (s *Stream) unknown(now int64) *Decision {
	name := string(s.name)
	switch s.method {
	case mcp.MethodToolsCall:
		return s.refuseCall(now, mcp.CodeInvalidParams, "Unknown tool: "+name, "unknown_tool")
	case mcp.MethodPromptsGet:
		return s.refuseCall(now, mcp.CodeInvalidParams, "Unknown prompt: "+name, "unknown_prompt")
	}
	return s.refuseCall(now, mcp.CodeResourceNotFound, "Resource not found", "unknown_resource")
}

// refuseCall refuses a call that no server would see, but tells an unknown
// client session so first: it must learn that it has to begin anew.
func (s *Stream) refuseCall(now int64, code int, message, reason string) *Decision {
	s.refusal = refusal{code, message, reason}
	if s.g.sessions.known(s.session, now) {
		return s.refused()
	}
	d := s.askSession("", nil)
	s.phase = phaseAskClient
	return d
}

type refusal struct {
	code            int
	message, reason string
}

func (s *Stream) refused() *Decision {
	var data []byte
	if s.refusal.code == mcp.CodeResourceNotFound {
		data = append(jsonrpc.AppendQuote([]byte(`{"uri":`), s.name), '}')
	}
	return s.refuseData(200, s.refusal.code, s.refusal.message, data, s.refusal.reason)
}

// forward sends the request to the chosen server.
func (s *Stream) forward(now int64) *Decision {
	srv := s.target.server
	s.phase = phaseServer
	d := &s.d
	d.Action, d.Plain = Pass, s.label == ""
	s.dropOwned()
	for _, name := range s.secrets {
		s.remove(name)
	}
	d.Reroute = true
	s.set(mcp.HeaderServer, srv.nameBytes)
	s.set(":authority", srv.authority)
	if s.hasQuery || string(s.path) != string(srv.path) {
		s.set(":path", srv.path)
	}
	if len(s.backend.id) > 0 {
		s.set(mcp.HeaderSession, s.backend.id)
	} else {
		s.remove(mcp.HeaderSession)
	}
	if string(s.version) != string(s.backend.version) {
		// Negotiated with the server, it may differ from the client's own.
		s.reply = append(s.reply[:0], s.backend.version...)
		s.set(mcp.HeaderProtocolVersion, s.reply)
	}
	if s.label != "" {
		s.remove("accept-encoding") // an answer that is looked into must be plain
	}
	if s.target.token != nil {
		d.Splice = Splice{Start: s.span.Start, End: s.span.End, With: s.target.token}
		if s.hasLength {
			s.length = strconv.AppendInt(s.length[:0], int64(s.size-(s.span.End-s.span.Start)+len(s.target.token)), 10)
			s.set("content-length", s.length)
		}
	}
	if s.g.begin(now, revalidateEvery) {
		d.Revalidate = true
	}
	if s.g.cfg.Metadata {
		s.note("server", srv.nameBytes)
		s.note("method", []byte(s.method))
		s.note("name", s.name)
	}
	return d
}

// Trim lets go of buffers larger than limit bytes, so that one large request
// does not stay with a stream that is kept for reuse.
func (s *Stream) Trim(limit int) {
	for _, b := range []*[]byte{&s.session, &s.version, &s.path, &s.id, &s.name, &s.scratch, &s.reply, &s.answer.buf} {
		if cap(*b) > limit {
			*b = nil
		}
	}
}
