package filter

import (
	"strconv"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// Where a request goes on: to the broker as it is, or to the server that it is for,
// with what that one knows of it.

// toBroker passes the request on as it is.
func (s *Stream) toBroker() *Decision {
	s.phase = phaseBroker
	s.d.Action = Pass
	s.d.Plain = !s.isDelete
	s.dropOwned()
	if s.isGet || s.messages {
		s.choose(brokerCluster)
	}
	if s.principal != nil && s.principal.Claims == nil {
		s.set(mcp.HeaderClient, []byte(s.principal.Client))
	}
	s.prove()
	s.noteRequest()
	return &s.d
}

// prove shows the broker that the request has passed here.
func (s *Stream) prove() {
	if len(s.g.proof) > 0 {
		s.set(mcp.HeaderProof, s.g.proof)
	}
}

// toBrokerLong does so with what takes as long as the calls in it, or for as
// long as the client listens: it has a route of its own, without a deadline.
func (s *Stream) toBrokerLong() *Decision {
	d := s.toBroker()
	s.choose(brokerCluster)
	if s.g.cfg.Policies {
		s.set(mcp.HeaderLong, longUnknown)
	} else {
		s.set(mcp.HeaderLong, longMark)
	}
	return d
}

var brokerCluster = []byte(gatewayconfig.ClusterBroker)

// choose has Envoy take the route of a cluster. Where routes are others', it finds
// one by authority and path.
func (s *Stream) choose(cluster []byte) {
	s.d.Reroute = true
	if s.g.shared == nil {
		s.set(mcp.HeaderCluster, cluster)
	}
}

// forward sends the request to the chosen server.
func (s *Stream) forward(now int64) *Decision {
	if d := s.withToken(now); d != nil {
		return d
	}
	srv := s.target.server
	s.phase = phaseServer
	d := &s.d
	d.Action = Pass
	s.mayLeave()
	s.address()
	if len(s.backend.id) > 0 {
		s.set(mcp.HeaderSession, s.backend.id)
	} else {
		s.dropSession()
	}
	if string(s.version) != string(s.backend.version) {
		// Negotiated with the server, it may differ from the client's own.
		s.reply = append(s.reply[:0], s.backend.version...)
		s.set(mcp.HeaderProtocolVersion, s.reply)
	}
	if s.hasCoding {
		s.remove("accept-encoding") // an answer that is looked into must be plain
	}
	switch {
	case s.resume && len(s.scratch) > 0:
		s.set("last-event-id", s.scratch)
	case s.resume:
	case !s.oneWay:
		s.g.hints.note(s.session, s.id, srv.hint)
	}
	s.rename()
	s.goOn(now)
	return d
}

// dropSession takes the client's session id from the request.
func (s *Stream) dropSession() {
	if s.hasSession {
		s.remove(mcp.HeaderSession)
	}
}

// address aims the request's headers at its server.
func (s *Stream) address() {
	srv := s.target.server
	s.dropOwned()
	s.dress()
	s.choose(srv.cluster)
	s.set(":authority", srv.authority)
	if s.hasQuery || string(s.path) != string(srv.path) {
		s.set(":path", srv.path)
	}
	if srv.bridged {
		s.prove()
	}
}

// rename gives the server the name that it knows.
func (s *Stream) rename() {
	if s.target.token == nil {
		return
	}
	s.d.Splice = Splice{Start: s.span.Start, End: s.span.End, With: s.target.token}
	if s.hasLength {
		s.length = strconv.AppendInt(s.length[:0], int64(s.size-(s.span.End-s.span.Start)+len(s.target.token)), 10)
		s.set("content-length", s.length)
	}
}

// goOn keeps the table fresh and notes where the request goes.
func (s *Stream) goOn(now int64) {
	if s.g.begin(now, revalidateEvery) {
		s.d.Revalidate = true
	}
	if s.g.cfg.Metadata {
		s.noteTarget()
	}
	s.noteRequest()
}
