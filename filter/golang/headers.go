package golang

import (
	"math"
	"strconv"
	"strings"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"

	"mcp-gateway/filter"
)

// headersOf appends m to dst. Its strings are copies of Envoy's that Go owns.
func headersOf(dst []filter.Header, m api.HeaderMap) []filter.Header {
	m.Range(func(name, value string) bool {
		dst = append(dst, filter.Header{Name: name, Value: value})
		return true
	})
	return dst
}

// announced is the length of the body that headers tell of, 0 for none. Envoy has
// checked it: digits.
func announced(headers []filter.Header) uint64 {
	for _, h := range headers {
		if h.Name == "content-length" {
			n, err := strconv.ParseUint(h.Value, 10, 64)
			if err != nil {
				return math.MaxUint64
			}
			return n
		}
	}
	return 0
}

// edit carries out edits on m.
func edit(m api.HeaderMap, edits []filter.Edit) {
	for i := range edits {
		if e := &edits[i]; e.Remove {
			m.Del(e.Name)
		} else {
			m.Set(e.Name, string(e.Value))
		}
	}
}

// replyHeaders are those of an answer of the filter's own. Envoy checks none: it
// would send a line break, or take a name apart that is none. So what it could
// stumble over is left out.
func replyHeaders(edits []filter.Edit) map[string][]string {
	out := make(map[string][]string, len(edits))
	for i := range edits {
		e := &edits[i]
		if e.Remove || !isName(e.Name) || !isValue(e.Value) {
			continue
		}
		out[e.Name] = append(out[e.Name], string(e.Value))
	}
	return out
}

// isName reports whether s can be a header's name, in lower case (RFC 9110 section
// 5.6.2, RFC 9113 section 8.2.1). The status, ":status", is none of these.
func isName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return true
}

// isValue reports whether b can be a header's value, which is not empty and has no
// control character but the tab.
func isValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}
