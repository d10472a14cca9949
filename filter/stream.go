package filter

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/policy"
	"mcp-gateway/internal/principal"
	"mcp-gateway/internal/tag"
)

// phase is where a stream stands.
type phase uint8

const (
	phaseNew        phase = iota
	phaseBody             // a POST whose body is awaited
	phaseAskTable         // waiting for a first table
	phaseAskName          // waiting for a newer table, as the name was unknown or the table is old
	phaseAskSession       // waiting for the backend session
	phaseAskClient        // waiting whether the client session exists, then refused
	phaseAskToken         // waiting for what the server is sent as Authorization
	phaseServer           // forwarded to a server
	phaseReplay           // waiting for the answer to a second try
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
	session    []byte // with the endpoint, see bindSession
	version    []byte
	path       []byte
	endpoint   []byte // the view's name; empty for the gateway's own
	isDelete   bool
	isGet      bool
	hasSession bool // mcp-session-id, be it empty
	hasLength  bool // content-length
	hasCoding  bool // accept-encoding
	hasQuery   bool
	messages   bool     // a message of an HTTP+SSE client
	repeats    bool     // a header that only stateless revisions have, kept in mirror
	versions   bool     // more than one MCP-Protocol-Version
	owned      []string // headers of the client that are the gateway's or Envoy's to set
	foreign    []string // those that are for no server, unless it is configured so
	kept       []keptHeader
	keptText   []byte
	bearer     []byte // the client's verified token
	// principal is who sends the request; nil unless that has to be proved.
	principal *principal.Principal
	hasKey    bool // an API key, good or not

	// From the request's body, copied.
	msg     jsonrpc.Message
	size    int
	id      []byte
	body    []byte // up to replayLimit, of a request for a server
	method  string
	want    wanted
	name    []byte // decoded: of what is wanted
	own     []byte // the URI of a resource, or the id of a task, as its server knows it
	tool    string // that the wanted task is of; empty if its id does not tell
	span    jsonrpc.Span
	scratch []byte
	asking  bool // counted among Gateway.questions
	oneWay  bool // a response or notification for a server
	// repeated: a question got no answer and was asked once more.
	repeated bool
	// followed: the server had moved, and the request was routed once more.
	followed bool
	entered  int64 // when the host last entered: an Ask is that old
	resume   bool  // a GET for a server
	denied   bool  // see Denied
	// Of a stateless revision: nothing is done for a session of its client.
	stateless    bool
	capabilities []byte // its client's, raw
	mayBeTask    bool   // its answer, if stateless
	mirror       mirror

	access access

	// The decision's outcome.
	refusal refusal
	target  target
	label   string // of the server, if answers need it
	tasks   string // the same of ids of tasks
	backend backend
	// credential is what the server is sent as Authorization, of shared memory; nil
	// for none. reauthorized: it was refused, and the request is sent again.
	credential   []byte
	reauthorized bool
	answer       answerState
	reply        []byte
	length       []byte // a content-length in digits
}

// Reset makes s ready for a new request of g and forgets the last one. Memory
// is kept for reuse, and what every request sets anew is not cleared: this is
// on the path of each call.
func (s *Stream) Reset(g *Gateway) {
	s.g, s.phase = g, phaseNew
	s.session, s.version, s.path, s.owned, s.foreign = s.session[:0], s.version[:0], s.path[:0], s.owned[:0], s.foreign[:0]
	s.principal, s.hasKey = nil, false
	s.kept, s.keptText, s.bearer, s.credential, s.reauthorized = s.kept[:0], s.keptText[:0], s.bearer[:0], nil, false
	s.isDelete, s.isGet, s.hasSession, s.hasLength, s.hasCoding, s.hasQuery, s.messages = false, false, false, false, false, false, false
	s.repeats, s.versions, s.stateless = false, false, false
	s.id, s.body, s.method, s.name = s.id[:0], s.body[:0], "", s.name[:0]
	s.oneWay, s.resume, s.repeated, s.followed, s.denied = false, false, false, false, false
	s.target, s.label, s.tool, s.tasks, s.backend = target{}, "", "", "", backend{}
	s.access.decided, s.access.arguments = false, nil
	s.answer.mode, s.answer.given, s.answer.secrets, s.answer.kind = answerPlain, false, 0, nil
}

// RequestBody decides a POST by its whole body. now is as in RequestHeaders.
func (s *Stream) RequestBody(body []byte, now int64) *Decision {
	d := s.decideBody(body, now)
	if s.phase != phaseAskTable && s.phase != phaseAskName {
		s.access.arguments = nil // the host's
	}
	return d
}

func (s *Stream) decideBody(body []byte, now int64) *Decision {
	s.d.reset()
	s.entered = now
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
	if err := s.msg.ScanWithin(body, s.g.cfg.Depth); err != nil {
		s.id = append(s.id[:0], err.ID.Of(body)...)
		if err.TooDeep {
			return s.refuse(400, err.Code, err.Reason, "depth")
		}
		return s.refuse(400, err.Code, err.Reason, "bad_json")
	}
	m := &s.msg
	if m.Kind == jsonrpc.Request {
		s.id = append(s.id[:0], m.ID.Of(body)...)
	}
	if m.Kind == jsonrpc.Batch {
		return s.batch()
	}
	if s.repeats || s.versions || !m.MetaVersion.Empty() || len(s.version) > 0 && !mcp.Served(mcp.Revision(s.version)) {
		if d := s.otherEra(body, now); d != nil {
			return d
		}
	}
	if m.Kind == jsonrpc.Response {
		return s.response(body, now)
	}
	method, ok := jsonrpc.Unquote(s.scratch[:0], m.Method.Of(body))
	if !ok {
		return s.refuse(400, mcp.CodeInvalidRequest, "method must be a string", "bad_json")
	}
	s.access.arguments = m.Arguments.Of(body)
	if m.Kind == jsonrpc.Notification {
		return s.notification(body, method, now)
	}
	member := s.called(body, method)
	switch {
	case member != "":
	case string(method) == mcp.MethodInitialize:
		s.method = mcp.MethodInitialize
		return s.toBroker()
	default:
		if s.g.cfg.Metadata {
			s.method = string(method)
		}
		s.g.passes(method, now)
		if string(method) == mcp.MethodResourcesSubscribe {
			if d := s.lacksToFollow(body); d != nil {
				return d
			}
		}
		return s.toBroker()
	}
	if len(s.session) == 0 && s.g.cfg.Sessionless {
		return s.toBrokerFor(body)
	}
	if len(s.session) == 0 {
		return s.refuse(400, mcp.CodeInvalidRequest, "Mcp-Session-Id header is missing: initialize first", "no_session")
	}
	if d := s.readName(body, member, now); d != nil {
		return d
	}
	if len(body) <= replayLimit {
		s.body = append(s.body, body...)
	}
	return s.route(now)
}

// called sets what is wanted by a request that goes to the server of what it
// names, and returns the member of params that does; empty for any other one.
func (s *Stream) called(body, method []byte) (member string) {
	m := &s.msg
	switch string(method) {
	case mcp.MethodToolsCall:
		s.method, s.want, s.span = mcp.MethodToolsCall, wantTool, m.Name
	case mcp.MethodPromptsGet:
		s.method, s.want, s.span = mcp.MethodPromptsGet, wantPrompt, m.Name
	case mcp.MethodResourcesRead:
		s.method, s.want, s.span = mcp.MethodResourcesRead, wantResource, m.URI
		return "uri"
	case mcp.MethodComplete:
		s.method = mcp.MethodComplete
		return s.reference(body)
	default:
		return ""
	}
	return "name"
}

// readName sets s.name from the member of params at s.span. Nil when all is well.
func (s *Stream) readName(body []byte, member string, now int64) *Decision {
	if s.span.Empty() || body[s.span.Start] != '"' {
		return s.refuseCall(now, mcp.CodeInvalidParams, "params."+member+" must be a string", "bad_params")
	}
	name, ok := jsonrpc.Unquote(s.scratch[:0], s.span.Of(body))
	if !ok {
		return s.refuse(400, mcp.CodeParseError, "params."+member+" is no valid string", "bad_json")
	}
	s.name = append(s.name[:0], name...)
	return nil
}

// reference finds what a completion is asked for, and returns the member of
// params that says so (2025-11-25, server/utilities/completion, Reference Types).
func (s *Stream) reference(body []byte) string {
	m := &s.msg
	kind, _ := jsonrpc.Unquote(s.scratch[:0], m.RefType.Of(body))
	switch string(kind) {
	case "ref/prompt":
		s.want, s.span = wantPrompt, m.RefName
		return "ref.name"
	case "ref/resource":
		s.want, s.span = wantResource, m.RefURI
		return "ref.uri"
	}
	s.span = jsonrpc.Span{}
	return "ref.type"
}

// Close is for a host that has no more to do with the stream, whether it came to
// its end or not.
func (s *Stream) Close() { s.answered() }

// Trim ends a use of s, which is kept for another one after Reset: it lets go of
// its gateway, which may be replaced meanwhile, and of buffers larger than limit
// bytes.
func (s *Stream) Trim(limit int) {
	s.g, s.target, s.backend, s.principal, s.credential = nil, target{}, backend{}, nil, nil
	s.access.item, s.access.decision = policy.Item{}, policy.Decision{}
	for _, b := range []*[]byte{&s.session, &s.version, &s.path, &s.endpoint, &s.id, &s.body, &s.capabilities, &s.name, &s.own, &s.access.kept, &s.access.other, &s.scratch, &s.reply, &s.keptText, &s.bearer, &s.answer.buf, &s.answer.pending, &s.mirror.method, &s.mirror.name} {
		if cap(*b) > limit {
			*b = nil
		}
	}
	if s.answer.mode == answerEvents {
		s.answer.parser.Reset(0) // a stream that was cut may have left half an event
	}
	if s.answer.mode != answerPlain {
		s.answer.marker = tag.Marker{} // it holds on to the session id
	}
}
