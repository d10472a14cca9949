package upstream

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// describe sets the headers in which a request of a stateless revision repeats
// what its body says (2026-07-28, basic/transports/streamable-http, Request
// Headers), and takes away that of a session, which only a configuration can
// have put there.
func describe(h http.Header, body []byte) error {
	h.Del(mcp.HeaderSession)
	h.Del(mcp.HeaderName)
	var m jsonrpc.Message
	if err := m.Scan(body); err != nil {
		return fmt.Errorf("the message is none: %w", err)
	}
	method, ok := jsonrpc.Unquote(nil, m.Method.Of(body))
	if !ok {
		return fmt.Errorf("a %v is nothing for a server without sessions", m.Kind)
	}
	h.Set(mcp.HeaderMethod, string(modern.AppendHeader(nil, method)))
	if named := modern.Named(&m, method); named.There() {
		// What is no string is the server's to refuse.
		if name, ok := jsonrpc.Unquote(nil, named.Of(body)); ok {
			h.Set(mcp.HeaderName, string(modern.AppendHeader(nil, name)))
		}
	}
	return nil
}

// metaOf returns the raw params._meta of a request (2026-07-28, basic, _meta).
// info and capabilities are raw objects.
func metaOf(info, capabilities []byte) []byte {
	return fmt.Appendf(nil, `{%q:%q,%q:%s,%q:%s}`, mcp.MetaProtocolVersion, string(mcp.Revision20260728),
		mcp.MetaClientInfo, info, mcp.MetaClientCapabilities, capabilities)
}

// withMeta puts _meta into params, a raw object or nil; nothing if meta is nil.
func withMeta(params, meta []byte) []byte {
	if meta == nil {
		return params
	}
	out := append([]byte(`{"_meta":`), meta...)
	if len(params) <= len("{}") {
		return append(out, '}')
	}
	return append(append(out, ','), params[1:]...)
}

// caching is what a result says about how long it is good, and for whom
// (2026-07-28, server/utilities/caching).
type caching struct {
	ttl     time.Duration
	private bool
}

// longestTTL bounds what a server may say of its lists.
const longestTTL = 24 * time.Hour

// cachingOf reads it from a result. What is not said in the right way counts as
// no time, and private.
func cachingOf(result []byte) caching {
	c := caching{private: true}
	_ = jsonrpc.Members(result, func(key, value jsonrpc.Span) bool { // was read before
		switch string(key.Of(result)) {
		case `"ttlMs"`:
			if ms, err := strconv.ParseFloat(string(value.Of(result)), 64); err == nil && ms > 0 {
				c.ttl = time.Duration(min(ms, float64(longestTTL.Milliseconds()))) * time.Millisecond
			}
		case `"cacheScope"`:
			c.private = string(value.Of(result)) != `"public"`
		}
		return true
	})
	return c
}

// keep remembers what a page of a list says; the first one of a list forgets
// what was said before.
func (l *link) keep(method string, result []byte, first bool) {
	if !mcp.Modern(l.version) {
		return
	}
	if l.fresh == nil {
		l.fresh = map[string]caching{}
	}
	said := cachingOf(result)
	if before, ok := l.fresh[method]; ok && !first {
		said.ttl, said.private = min(said.ttl, before.ttl), said.private || before.private
	}
	l.fresh[method] = said
}

// freshness returns the least that the lists say.
func (l *link) freshness() (ttl time.Duration, private bool) {
	if len(l.fresh) == 0 {
		return 0, true
	}
	ttl = longestTTL
	for _, c := range l.fresh {
		ttl, private = min(ttl, c.ttl), private || c.private
	}
	return ttl, private
}
