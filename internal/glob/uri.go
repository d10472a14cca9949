package glob

import "bytes"

// Plain reports whether a URI, or a URI template, is spelled in the one way that
// patterns can speak of (RFC 3986 section 6.2.2): scheme and host in lower case,
// no segment "." or "..", no empty segment but the last, and no escape for what
// needs none or for what would separate segments. Nor may it hold what parsers
// drop or turn into something else: spaces, controls and backslashes.
func Plain(uri []byte) bool {
	for i, c := range uri {
		switch {
		case c <= ' ', c == 0x7f, c == '\\':
			return false
		case c == '%' && !plainEscape(uri[i+1:]):
			return false
		}
	}
	rest := uri
	if i := bytes.IndexByte(rest, ':'); i >= 0 && !bytes.ContainsAny(rest[:i], "/?#{") {
		if hasUpper(rest[:i]) {
			return false
		}
		rest = rest[i+1:]
	}
	if after, ok := bytes.CutPrefix(rest, []byte("//")); ok {
		host := after
		if i := bytes.IndexAny(after, "/?#{"); i >= 0 {
			host = after[:i]
		}
		if hasUpper(host) {
			return false
		}
		rest = after[len(host):]
	}
	if i := bytes.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	return plainPath(rest)
}

// plainPath checks the segments of a path.
func plainPath(path []byte) bool {
	if len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	for {
		segment, rest, more := bytes.Cut(path, []byte{'/'})
		if dots(segment) || more && len(segment) == 0 {
			return false
		}
		if !more {
			return true
		}
		path = rest
	}
}

func dots(segment []byte) bool { return string(segment) == "." || string(segment) == ".." }

func hasUpper(b []byte) bool {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// plainEscape judges what follows a percent sign.
func plainEscape(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	high, low := hexDigit(b[0]), hexDigit(b[1])
	if high < 0 || low < 0 {
		return false
	}
	switch c := byte(high<<4 | low); {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return false
	case c == '-', c == '.', c == '_', c == '~', c == '/', c == '\\', c == 0:
		return false
	}
	return true
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
