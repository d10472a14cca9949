package filter

import (
	"maps"
	"slices"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// What a server gets of a client's request: the body, what the protocol and HTTP
// need, and a few headers that say nothing of who the client is. All others end
// here, unless the server's configuration lets them through.

// sends is what requests to one server carry.
type sends struct {
	headers []Edit // the server's own
	forward []string
	token   gatewayconfig.TokenOf
	tokens  string
}

func newSends(s *gatewayconfig.Sends) sends {
	if s == nil {
		return sends{}
	}
	out := sends{token: s.Token, tokens: s.Tokens}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		out.headers = append(out.headers, Edit{Name: name, Value: []byte(s.Headers[name])})
	}
	for _, name := range s.Forward {
		if gatewayconfig.MayForward(name) {
			out.forward = append(out.forward, name)
		}
	}
	return out
}

// reaches reports whether a header goes on to every server as it is.
func reaches(h *Header) bool {
	switch h.Name {
	case "user-agent", "accept-language", "traceparent", "tracestate", "x-request-id",
		"transfer-encoding", "connection", "te", "upgrade", "expect": // Envoy's to see to
		return true
	case "x-forwarded-proto": // which Envoy sets, if the client has not
		return h.Value == "http" || h.Value == "https"
	}
	return h.Name == "" || h.Name[0] == ':' || strings.HasPrefix(h.Name, mcp.HeaderParamPrefix)
}

// mostNames bounds the header names that are kept.
const mostNames = 256

// name returns a header's name in memory that stays. Clients send few, so that no
// request has to copy one.
func (g *Gateway) name(of string) string {
	known := g.names.Load()
	if known != nil {
		if name, ok := (*known)[of]; ok {
			return name
		}
	}
	own := strings.Clone(of)
	if known == nil || len(*known) < mostNames {
		next := map[string]string{own: own}
		if known != nil {
			maps.Copy(next, *known)
		}
		g.names.CompareAndSwap(known, &next) // if another was quicker, the next request sees to it
	}
	return own
}

// dress puts on the request what its server is sent, and takes from it what is
// not for the server.
func (s *Stream) dress() {
	sends := &s.target.server.sends
	for _, name := range s.foreign {
		if len(sends.forward) == 0 || !slices.Contains(sends.forward, name) {
			s.remove(name)
		}
	}
	s.hidePrincipal() // what follows can be of the same name
	s.d.Edits = append(s.d.Edits, sends.headers...)
	if sends.token != "" {
		s.set("authorization", s.credential)
	}
}

// mayGoOn reports whether some server of the table may have to get the header from
// the broker, as none does of a table that is not there yet.
func (s *Stream) mayGoOn(t *table, name string) bool {
	return t == nil || t.forwards[name] || t.tokens && strings.HasPrefix(name, mcp.HeaderParamPrefix)
}

// goesOn reports whether the chosen server gets the header.
func (s *Stream) goesOn(name string) bool {
	return slices.Contains(s.target.server.sends.forward, name) || s.stateless && strings.HasPrefix(name, mcp.HeaderParamPrefix)
}
