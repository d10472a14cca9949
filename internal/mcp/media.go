package mcp

import "strings"

// MediaType reports whether a Content-Type, or one range of an Accept list, is
// the media type want (lower case); parameters do not count.
func MediaType(value, want string) bool {
	if value == want {
		return true
	}
	value, _, _ = strings.Cut(value, ";")
	return strings.EqualFold(strings.TrimSpace(value), want)
}

// Accepts reports whether an Accept list admits the media type want, itself or
// by a range (RFC 9110 section 12.5.1). What no list at all means is the
// caller's to say.
func Accepts(list, want string) bool {
	family, _, _ := strings.Cut(want, "/")
	for item := range strings.SplitSeq(list, ",") {
		if MediaType(item, want) || MediaType(item, "*/*") || MediaType(item, family+"/*") {
			return true
		}
	}
	return false
}
