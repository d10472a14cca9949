package filter

import (
	"crypto/sha256"
	"encoding/base64"
	"sync"

	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
)

// maxTokens bounds the tokens that one process keeps; beyond it an arbitrary one is
// forgotten and asked for again.
const maxTokens = 16 << 10

// tokenKey is whose token a server is sent.
type tokenKey struct {
	place  string // of the server
	tokens string // gatewayconfig.Sends.Tokens
	// caller is a digest of the caller's own token; zero where all share one.
	caller [sha256.Size]byte
}

// token is what a server is sent as Authorization.
type token struct {
	authorization []byte
	// expires in the host's nanoseconds.
	expires int64
	// refused means that the server answered 401 to it.
	refused bool
}

// tokens caches what the broker has given out. Shared by all workers.
type tokens struct {
	mu sync.RWMutex
	m  map[tokenKey]token
}

func newTokens() *tokens { return &tokens{m: make(map[tokenKey]token)} }

// get returns a token, and whether it can be used. Its memory is immutable.
func (t *tokens) get(k tokenKey, now int64) (token, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	fault.At("tokens")
	found := t.m[k]
	return found, now < found.expires && !found.refused
}

func (t *tokens) put(k tokenKey, v token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fault.At("tokens")
	if _, there := t.m[k]; !there && len(t.m) >= maxTokens {
		for other := range t.m {
			delete(t.m, other)
			break
		}
	}
	t.m[k] = v
}

// refuse marks a token as refused by its server, if it is still the one named.
func (t *tokens) refuse(k tokenKey, authorization []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fault.At("tokens")
	if found, there := t.m[k]; there && string(found.authorization) == string(authorization) {
		found.refused = true
		t.m[k] = found
	}
}

// tokenKey returns whose token the chosen server is sent.
func (s *Stream) tokenKey() tokenKey {
	srv := s.target.server
	k := tokenKey{place: srv.place, tokens: srv.sends.tokens}
	if srv.sends.token == gatewayconfig.TokenCaller {
		k.caller = sha256.Sum256(s.bearer)
	}
	return k
}

// withToken finds the token that the chosen server is sent. Nil if it is at hand,
// or none is needed.
func (s *Stream) withToken(now int64) *Decision {
	sends := &s.target.server.sends
	if sends.token == "" || len(s.credential) > 0 {
		return nil
	}
	if sends.token == gatewayconfig.TokenCaller && len(s.bearer) == 0 {
		return s.noCredential()
	}
	found, ok := s.g.tokens.get(s.tokenKey(), now)
	s.credential = found.authorization
	if ok {
		return nil
	}
	b := s.appendQuestion(s.reply[:0], s.target.server.name, nil, true)
	s.reply = b
	return s.ask(phaseAskToken, Question{Method: "POST", Path: gatewayconfig.PathResolve, Body: b})
}

// answerToken goes on with the token that the broker gives. While the broker is
// away the last one is used: the server says what it thinks of it.
func (s *Stream) answerToken(status int, body []byte, now int64) *Decision {
	s.d.Server = s.target.server.name
	var r gatewayconfig.ResolveResponse
	switch {
	case status == 200 && gatewayconfig.Decode(body, &r) == nil:
		s.credential = nil
		if !s.takeToken(&r, now) {
			return s.noCredential() // of which the table does not tell yet
		}
	case status == 410:
		return s.unknown(now)
	case status == 421:
		s.credential = nil
		return s.moved()
	case status == 424:
		return s.noCredential()
	case len(s.credential) == 0 || s.g.isRefused(s.tokenKey(), now):
		return s.fail("broker_down", "the gateway cannot get a credential for server "+s.target.server.name+" now")
	default:
		s.g.tokens.put(s.tokenKey(), token{authorization: s.credential, expires: now + keepWithoutBroker})
	}
	if s.stateless {
		return s.forwardStateless(now)
	}
	return s.forward(now)
}

func (g *Gateway) isRefused(k tokenKey, now int64) bool {
	found, _ := g.tokens.get(k, now)
	return found.refused
}

// takeToken keeps the token of an answer; false if there is none in it.
func (s *Stream) takeToken(r *gatewayconfig.ResolveResponse, now int64) bool {
	if r.Authorization == "" {
		return false
	}
	s.credential = []byte(r.Authorization)
	s.g.tokens.put(s.tokenKey(), token{authorization: s.credential, expires: now + r.AuthorizationTTLMillis*1e6})
	return true
}

func (s *Stream) noCredential() *Decision {
	return s.fail("no_credential", "the gateway has no credential of this caller for server "+s.target.server.name)
}

// spoilToken marks the token that the server was sent as refused, if the status of its
// answer says that it is, and reports that.
func (s *Stream) spoilToken(status int) bool {
	if status != 401 || s.target.server.sends.token == "" {
		return false
	}
	s.g.tokens.refuse(s.tokenKey(), s.credential)
	return true
}

// tokenRefused has the broker send the request again with another token, if it is
// still at hand: a server that answers 401 has not looked at what was in it.
func (s *Stream) tokenRefused() *Decision {
	if len(s.body) == 0 {
		return s.failStatus(401)
	}
	s.reauthorized = true
	return s.replay()
}

// keep copies a header of the client that the broker may have to send in its place.
func (s *Stream) keep(h *Header) {
	start := len(s.keptText)
	s.keptText = append(s.keptText, h.Value...)
	s.kept = append(s.kept, keptHeader{s.g.name(h.Name), start, len(s.keptText)})
}

// keptHeader is a header with the place of its value in Stream.keptText.
type keptHeader struct {
	name       string
	start, end int
}

// appendHeaders appends the member of a ResolveRequest with the headers of the
// client that go on to the server, byte for byte: those that it forwards, and what
// mirrors arguments.
func (s *Stream) appendHeaders(b []byte) []byte {
	began := false
	for i, h := range s.kept {
		if !s.goesOn(h.name) || s.firstOf(h.name) != i {
			continue
		}
		if !began {
			b = append(b, `,"headerBytes":{`...)
		} else {
			b = append(b, ',')
		}
		began = true
		b = append(jsonrpc.AppendQuote(b, []byte(h.name)), ':', '[')
		for j, other := range s.kept[i:] {
			if other.name != h.name {
				continue
			}
			if j > 0 {
				b = append(b, ',')
			}
			b = append(b, '"')
			b = base64.StdEncoding.AppendEncode(b, s.keptText[other.start:other.end])
			b = append(b, '"')
		}
		b = append(b, ']')
	}
	if began {
		b = append(b, '}')
	}
	return b
}

// firstOf returns where the first header of a name stands.
func (s *Stream) firstOf(name string) int {
	for i, h := range s.kept {
		if h.name == name {
			return i
		}
	}
	return -1
}
