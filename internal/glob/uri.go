package glob

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

const (
	always = "!$&'()*,;=-._~:@/" // stand for themselves wherever letters do
	digits = "0123456789"
)

// Plain reports whether a URI, or a URI template, is spelled in the one way that
// patterns can speak of, which is stricter than the normal form of RFC 3986
// section 6.2: other spellings that some parser reads alike are not plain.
//
//   - It has a scheme, in lower case. After it comes "//", or neither a slash nor
//     a scheme that always has an authority (file, http, https, ws, wss, ftp).
//   - The authority has no user and no upper case, no dot at an end, no second
//     dot after a dot, and a port only if it is not the default, without leading
//     zeros. With file it is empty; with http and the like it is a DNS name (ASCII)
//     or four decimal numbers, and the path is not empty.
//   - No segment of the path is "." or "..", none but the last is empty.
//   - There is no fragment, no empty query, none at all with file; a plus sign is
//     escaped in a query, where it could be a space, and nowhere else.
//   - What RFC 3986 lets stand unescaped is not escaped. Of the rest a space and
//     any of "<>[]^`| and % are escaped, and all that is not ASCII, as UTF-8 and
//     with digits in upper case. %25 is not followed by what would make it another
//     escape. Nothing else may occur: controls, \, and escaped / ? # { }.
//   - A brace is part of an expression of a template (RFC 6570).
func Plain(uri []byte) bool {
	rest, query, asks := cutQuery(uri)
	if asks && (len(query) == 0 || !plainText(query, true)) || !plainText(rest, false) {
		return false
	}
	if len(rest) > 0 && rest[0] == '{' { // what it expands to is judged then
		return plainPath(rest)
	}
	scheme, rest, found := bytes.Cut(rest, []byte{':'})
	if !found || !plainScheme(scheme) || string(scheme) == "file" && asks {
		return false
	}
	defaultPort, special := specialPort(scheme)
	after, found := bytes.CutPrefix(rest, []byte("//"))
	if !found {
		return !special && len(rest) > 0 && rest[0] != '/' && plainPath(rest)
	}
	authority, path := cutAuthority(after)
	switch {
	case special && len(path) == 0 && (string(scheme) != "file" || len(authority) == 0):
		return false
	case string(scheme) == "file":
		if len(authority) > 0 && authority[0] != '{' {
			return false
		}
	case special && len(authority) == 0:
		return false
	}
	return plainAuthority(authority, defaultPort, special) && plainPath(path)
}

// specialPort returns the default port of a scheme that always has an authority.
func specialPort(scheme []byte) (port string, special bool) {
	switch string(scheme) {
	case "http", "ws":
		return "80", true
	case "https", "wss":
		return "443", true
	case "ftp":
		return "21", true
	case "file":
		return "", true
	}
	return "", false
}

// cutQuery cuts at the first question mark; the one of an expression, {?x}, stays
// with what is before it.
func cutQuery(uri []byte) (before, query []byte, found bool) {
	for i, c := range uri {
		if c == '?' && (i == 0 || uri[i-1] != '{') {
			return uri[:i], uri[i+1:], true
		}
	}
	return uri, nil, false
}

// beforeQuery is what of a plain URI a server that ignores queries sees.
func beforeQuery(uri []byte) []byte {
	i := bytes.IndexByte(uri, '?')
	switch {
	case i < 0:
		return uri
	case i > 0 && uri[i-1] == '{':
		i--
	}
	return uri[:i]
}

// cutAuthority cuts before the first slash, or before the expression that gives it.
func cutAuthority(b []byte) (authority, path []byte) {
	i := bytes.IndexByte(b, '/')
	switch {
	case i < 0:
		return b, nil
	case i > 0 && b[i-1] == '{':
		i--
	}
	return b[:i], b[i:]
}

func plainScheme(scheme []byte) bool {
	for i, c := range scheme {
		if !lower(c) && (i == 0 || !digit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(scheme) > 0
}

// plainText checks characters, escapes and expressions.
func plainText(b []byte, query bool) bool {
	for i := 0; i < len(b); {
		n := 1
		switch c := b[i]; {
		case c == '%':
			n = plainEscape(b[i:], query)
		case c == '{':
			n = expression(b[i:])
		case c == '+':
			if query {
				return false
			}
		case c == '?':
			if !query {
				return false
			}
		case !lower(c) && !upper(c) && !digit(c) && strings.IndexByte(always, c) < 0:
			return false
		}
		if n == 0 {
			return false
		}
		i += n
	}
	return true
}

// plainEscape returns the size of the character that is escaped at the start of b,
// in bytes of b; 0 if it may not be escaped, or not in this way.
func plainEscape(b []byte, query bool) int {
	c, ok := unescape(b)
	switch {
	case !ok:
		return 0
	case c == '%':
		if len(b) >= 5 && hexDigit(b[3]) >= 0 && hexDigit(b[4]) >= 0 {
			return 0 // a server that decodes twice would read on
		}
		return 3
	case c == '+' && query:
		return 3
	case c < utf8.RuneSelf:
		if strings.IndexByte(" \"<>[]^`|", c) < 0 {
			return 0
		}
		return 3
	}
	var encoded [utf8.UTFMax]byte
	n := 0
	for ; n < len(encoded) && ok; n++ {
		encoded[n] = c
		if utf8.FullRune(encoded[:n+1]) {
			n++
			break
		}
		c, ok = unescape(b[min(3*(n+1), len(b)):])
	}
	if r, size := utf8.DecodeRune(encoded[:n]); r == utf8.RuneError && size <= 1 || size != n {
		return 0
	}
	return 3 * n
}

// unescape reads an escape with digits in upper case.
func unescape(b []byte) (c byte, ok bool) {
	if len(b) < 3 || b[0] != '%' || lower(b[1]) || lower(b[2]) {
		return 0, false
	}
	high, low := hexDigit(b[1]), hexDigit(b[2])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

// expression returns the size of the template expression at the start of b, 0 if
// there is none. That for a fragment is none, as no URI with one is plain.
func expression(b []byte) int {
	i := 1
	if i < len(b) && strings.IndexByte("+./;?&", b[i]) >= 0 {
		i++
	}
	for start := i; i < len(b); i++ {
		switch c := b[i]; {
		case c == '}' && i > start:
			return i + 1
		case lower(c), upper(c), digit(c), c == '_':
		case i == start || strings.IndexByte(".,:*", c) < 0:
			return 0
		}
	}
	return 0
}

// plainAuthority checks host and port, whose characters are plain already.
func plainAuthority(b []byte, defaultPort string, special bool) bool {
	host, port, ported := b, []byte(nil), false
	templated, last := false, byte('.') // as if the host began after a dot
	for i := 0; i < len(host); {
		c, n := host[i], 1
		switch {
		case c == '{':
			n, templated = expression(host[i:]), true
		case c == '%' && !special:
			n = 3
		case c == ':':
			host, port, ported = b[:i], b[i+1:], true
			continue
		case c == '.' && last == '.', c == '@', upper(c):
			return false
		case special && !lower(c) && !digit(c) && c != '.' && c != '-' && c != '_':
			return false
		}
		last = c
		i += max(n, 1)
	}
	if ported && (len(host) == 0 || !plainPort(port, defaultPort)) || len(host) > 0 && last == '.' {
		return false
	}
	return !special || templated || plainAddress(host)
}

func plainPort(port []byte, defaultPort string) bool {
	if len(port) > 0 && port[0] == '{' {
		return expression(port) == len(port)
	}
	if len(port) == 0 || len(port) > 5 || port[0] == '0' || string(port) == defaultPort {
		return false
	}
	return len(bytes.Trim(port, digits)) == 0
}

// plainAddress refuses a host that parsers take as an IPv4 address (its last
// label is a number) unless it is four decimal numbers.
func plainAddress(host []byte) bool {
	tail := host[bytes.LastIndexByte(host, '.')+1:]
	if len(tail) == 0 || !digit(tail[0]) || len(bytes.Trim(tail, digits)) > 0 && !bytes.HasPrefix(tail, []byte("0x")) {
		return true
	}
	for n := 1; ; n++ {
		label, rest, more := bytes.Cut(host, []byte{'.'})
		value := 0
		for _, c := range label {
			if !digit(c) || value > 255 {
				return false
			}
			value = 10*value + int(c-'0')
		}
		if len(label) == 0 || value > 255 || len(label) > 1 && label[0] == '0' {
			return false
		}
		if !more {
			return n == 4
		}
		host = rest
	}
}

// plainPath checks the segments of a path.
func plainPath(path []byte) bool {
	if len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	for {
		segment, rest, more := bytes.Cut(path, []byte{'/'})
		if string(segment) == "." || string(segment) == ".." || more && len(segment) == 0 {
			return false
		}
		if !more {
			return true
		}
		path = rest
	}
}

func lower(c byte) bool { return 'a' <= c && c <= 'z' }
func upper(c byte) bool { return 'A' <= c && c <= 'Z' }
func digit(c byte) bool { return '0' <= c && c <= '9' }

func hexDigit(c byte) int {
	switch {
	case digit(c):
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
