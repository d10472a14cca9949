package filter

import (
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// mirror holds the headers of stateless revisions that repeat what the body
// says, copied, without the space around them. It holds what is old unless
// Stream.repeats is set.
type mirror struct {
	method, name       []byte
	hasMethod, hasName bool
	repeated           bool // one of them is there twice
}

// keepMirrored copies Mcp-Method or Mcp-Name.
func (s *Stream) keepMirrored(h *Header) {
	m := &s.mirror
	if !s.repeats {
		s.repeats = true
		m.hasMethod, m.hasName, m.repeated = false, false, false
	}
	to, has := &m.name, &m.hasName
	if h.Name == mcp.HeaderMethod {
		to, has = &m.method, &m.hasMethod
	}
	m.repeated = m.repeated || *has
	*to, *has = append((*to)[:0], trim(h.Value)...), true
}

// trim removes the space around a header's value as RFC 9110 section 5.5 has it,
// and no other: the server sees that.
func trim(value string) string {
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for len(value) > 0 && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	return value
}

// mirrored returns the headers that repeat the body.
func (s *Stream) mirrored() modern.Headers {
	h := modern.Headers{Repeated: s.versions}
	if len(s.version) > 0 {
		h.Version = s.version
	}
	if s.repeats {
		h.Repeated = h.Repeated || s.mirror.repeated
		h.Method = present(s.mirror.method, s.mirror.hasMethod)
		h.Name = present(s.mirror.name, s.mirror.hasName)
	}
	return h
}

// present returns value, nil only if it is not there.
func present(value []byte, there bool) []byte {
	switch {
	case !there:
		return nil
	case value == nil:
		return []byte{}
	}
	return value
}

// dropMirrored removes them from a request of a revision with sessions, in which
// they count for nothing: the server knows the name by another one.
func (s *Stream) dropMirrored() {
	if s.mirror.hasMethod {
		s.remove(mcp.HeaderMethod)
	}
	if s.mirror.hasName {
		s.remove(mcp.HeaderName)
	}
}
