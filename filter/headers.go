package filter

import (
	"bytes"
	"strconv"
	"strings"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// usualAccept is what the official client libraries send.
const usualAccept = "application/json, text/event-stream"

// RequestHeaders decides a request by its headers alone: refused, passed on
// (GET, DELETE), or NeedBody. end tells that no body follows; now is the host's
// time in nanoseconds, of any epoch, never going back.
func (s *Stream) RequestHeaders(headers []Header, end bool, now int64) *Decision {
	s.d.reset()
	s.entered = now
	var method, authority, contentType, accept, length, lastEvent string
	var sessionCount int
	badOrigin, twoHosts, hasVersion, encoded := false, false, false, false
	var who credentials
	table := s.g.table.Load()
	for i := range headers {
		h := &headers[i]
		switch h.Name {
		case ":method":
			method = h.Value
		case ":path":
			s.path = append(s.path[:0], h.Value...)
		case ":authority", "host":
			twoHosts = twoHosts || authority != "" && authority != h.Value
			authority = h.Value
		case "content-type":
			contentType = join(contentType, h.Value) // two are none
		case "content-length":
			length, s.hasLength = h.Value, true
		case "accept":
			accept = join(accept, h.Value)
		case "content-encoding":
			// One that says "identity" goes on.
			encoded = encoded || !strings.EqualFold(h.Value, "identity")
		case "accept-encoding":
			s.hasCoding = true
		case "last-event-id":
			lastEvent = h.Value
			s.foreign = append(s.foreign, "last-event-id")
		case "origin":
			badOrigin = badOrigin || !s.g.originAllowed(h.Value)
			s.foreign = append(s.foreign, "origin")
		case mcp.HeaderSession:
			sessionCount++
			s.hasSession = true
			s.session = append(s.session[:0], h.Value...)
		case mcp.HeaderProtocolVersion:
			s.versions = s.versions || hasVersion
			hasVersion = true
			s.version = append(s.version[:0], trim(h.Value)...)
		case mcp.HeaderMethod, mcp.HeaderName:
			s.keepMirrored(h)
		default:
			if s.g.auth != nil && s.take(&who, h) {
				continue
			}
			switch {
			case strings.HasPrefix(h.Name, mcp.HeaderOwnedPrefix), strings.HasPrefix(h.Name, mcp.HeaderEnvoyPrefix):
				s.owned = append(s.owned, strings.Clone(h.Name))
			case !reaches(h):
				s.foreign = append(s.foreign, s.g.name(h.Name))
				fallthrough
			default:
				if s.mayGoOn(table, h.Name) {
					s.keep(h)
				}
			}
		}
	}
	s.isGet = method == "GET"
	if i := bytes.IndexByte(s.path, '?'); i >= 0 {
		s.path, s.hasQuery = s.path[:i], true
	}
	if s.g.shared != nil && !twoHosts {
		if d := s.others(authority); d != nil {
			return d
		}
	}
	switch {
	case twoHosts || !s.g.hostAllowed(authority):
		return s.refuse(403, mcp.CodeInvalidRequest, "Host not allowed", "host")
	case badOrigin:
		return s.refuse(403, mcp.CodeInvalidRequest, "Origin not allowed", "origin")
	}
	isOld := s.g.cfg.SSEPath != "" && strings.HasPrefix(string(s.path), s.g.cfg.SSEPath) && s.oldPath()
	if !isOld && !s.findEndpoint() {
		return s.elsewhere(method)
	}
	if s.g.auth != nil {
		if d := s.authenticate(&who); d != nil {
			return d
		}
	}
	switch {
	case isOld:
		return s.oldClient(method, contentType, accept, length, end)
	case bytes.IndexByte(s.session, 0) >= 0:
		return s.refuse(400, mcp.CodeInvalidRequest, "Mcp-Session-Id is no session id", "session_header")
	case sessionCount > 1 && !modern.OfHeaders(s.mirrored()):
		return s.refuse(400, mcp.CodeInvalidRequest, "more than one Mcp-Session-Id header", "session_header")
	}
	s.bindSession()
	if method != "POST" {
		return s.noPost(method, accept, lastEvent, now)
	}
	if encoded {
		return s.refuse(415, mcp.CodeInvalidRequest, "Content-Encoding is not supported", "content_type")
	}
	return s.post(contentType, accept, length, end)
}

// elsewhere decides a request to a path that is no endpoint's.
func (s *Stream) elsewhere(method string) *Decision {
	if s.g.auth != nil {
		if is, served := s.isMetadata(); is && served {
			return s.metadata(method)
		}
	}
	return s.refuse(404, mcp.CodeInvalidRequest, "no such endpoint", "path")
}

// noPost decides what concerns a session: a GET or a DELETE.
func (s *Stream) noPost(method, accept, lastEvent string, now int64) *Decision {
	switch {
	case modern.OfHeaders(s.mirrored()):
		// 2026-07-28, basic/transports/streamable-http, Earlier Revisions.
		return s.notAllowed("POST")
	case method == "GET":
		if accept != "" && !mcp.Accepts(accept, "text/event-stream") {
			return s.refuse(406, mcp.CodeInvalidRequest, "GET opens an event stream: Accept must include text/event-stream", "accept")
		}
	case method == "DELETE":
		s.isDelete = true
	default:
		return s.notAllowed("GET, POST, DELETE")
	}
	if s.versions || len(s.version) > 0 && !mcp.Served(mcp.Revision(s.version)) {
		return s.refuse(400, mcp.CodeInvalidRequest, "unsupported MCP-Protocol-Version", "version")
	}
	if len(s.session) == 0 {
		return s.refuse(400, mcp.CodeInvalidRequest, "Mcp-Session-Id header is missing: initialize first", "no_session")
	}
	if s.isDelete {
		s.g.sessions.forget(s.session)
	} else if d := s.resumed(lastEvent, now); d != nil {
		return d
	}
	return s.toBroker()
}

// notAllowed answers a method that the endpoint does not have.
func (s *Stream) notAllowed(allowed string) *Decision {
	d := s.refuse(405, mcp.CodeInvalidRequest, "method not allowed", "method")
	d.Edits = append(d.Edits, Edit{Name: "allow", Value: []byte(allowed)})
	return d
}

func (s *Stream) post(contentType, accept, length string, end bool) *Decision {
	switch {
	case !mcp.JSONBody(contentType):
		return s.notJSON()
	case accept != "" && accept != usualAccept && !(mcp.Accepts(accept, "application/json") && mcp.Accepts(accept, "text/event-stream")):
		return s.refuse(406, mcp.CodeInvalidRequest, "Accept must include application/json and text/event-stream", "accept")
	}
	return s.awaitBody(length, end)
}

// notJSON answers a message in a form that no server may be sent.
func (s *Stream) notJSON() *Decision {
	return s.refuse(415, mcp.CodeInvalidRequest, "Content-Type must be application/json in UTF-8", "content_type")
}

// awaitBody has the host bring the body, unless its length says that it is none, or
// too large.
func (s *Stream) awaitBody(length string, end bool) *Decision {
	if end {
		return s.refuse(400, mcp.CodeParseError, "empty body", "bad_json")
	}
	if length != "" {
		if n, err := strconv.ParseUint(length, 10, 64); err != nil || n > uint64(s.g.cfg.BodyLimit) {
			return s.BodyTooLarge()
		}
	}
	s.phase = phaseBody
	s.d.Action = NeedBody
	return &s.d
}

// BodyTooLarge is for a host that stopped reading a body over the limit.
func (s *Stream) BodyTooLarge() *Decision {
	s.d.reset()
	return s.refuse(413, mcp.CodeInvalidRequest, "request body exceeds the limit", "body_limit")
}

// join appends a repeated header's value as RFC 9110 section 5.3 has it.
func join(list, value string) string {
	if list == "" {
		return value
	}
	return list + "," + value
}
