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

// JSONBody reports whether a Content-Type announces JSON in UTF-8, as all of it is
// (RFC 8259 section 8.1). Frameworks of servers obey a charset, and read the same
// bytes as another message: in UTF-7 an argument can end and name another tool.
func JSONBody(value string) bool {
	const want = "application/json"
	if value == want {
		return true
	}
	if !MediaType(value, want) {
		return false
	}
	_, parameters, _ := strings.Cut(value, ";")
	parameters = strings.ToLower(parameters)
	if !strings.Contains(parameters, "charset") {
		return true
	}
	switch strings.Trim(parameters, " \t;") {
	case "charset=utf-8", `charset="utf-8"`, "charset=utf8":
		return true
	}
	return false
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
