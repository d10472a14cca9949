package glob

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// fillings are what stands for a star where it is asked what a pattern matches.
var fillings = []string{"", "a", "a/", "/a", "a/a", "//a/", "/", "a:", "a:a", "a:{a", "a://", "a://a", "://a/", ":a", ":///a", "///a", "1", "?a", "a?", "a:a?", "/?a", "{a", "a}"}

// maxFilled is how many stars of a pattern are tried in all combinations.
const maxFilled = 3

// CanMatch reports whether a pattern matches some Plain URI or template. It says
// yes where that is costly to find out: of a pattern with many stars.
func CanMatch(pattern string) bool {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	if Plain([]byte(pattern)) {
		return true // also one of a template whose expression has a star
	}
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		simple, ok := simplify(part, i+1 < len(parts))
		if !ok {
			return false
		}
		parts[i] = simple
	}
	return len(parts) > maxFilled+1 || fills(parts[0], parts[1:])
}

func fills(filled string, parts []string) bool {
	if len(parts) == 0 {
		return Plain([]byte(filled))
	}
	for _, f := range fillings {
		if fills(filled+f+parts[0], parts[1:]) {
			return true
		}
	}
	return false
}

// simplify checks the characters of what is between stars, and takes out escapes
// that would need fillings of their own.
func simplify(part string, starred bool) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(part); i++ {
		switch c := part[i]; {
		case c <= ' ', c >= 0x7f, strings.IndexByte("#\\\"<>[]^`|", c) >= 0:
			return "", false
		case c == '%' && starred && len(part)-i < 3:
			return out.String(), strings.Trim(part[i+1:], digits+"ABCDEF") == ""
		case c == '%':
			escaped, ok := unescape([]byte(part[i:]))
			if !ok || escaped < utf8.RuneSelf && plainEscape([]byte(part[i:]), true) == 0 {
				return "", false
			}
			if escaped == '+' {
				out.WriteString("%2B") // plain in a query only
			} else {
				out.WriteByte('a')
			}
			i += 2
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), true
}

// Suggest returns the plain spelling of a pattern that CanMatch refuses; ok is
// false if it has none that is easily found.
func Suggest(pattern string) (plain string, ok bool) {
	pattern, _, _ = strings.Cut(pattern, "#")
	pattern = strings.TrimSuffix(strings.ReplaceAll(pattern, `\`, "/"), "?")
	if scheme, rest, found := strings.Cut(pattern, ":"); found && !strings.ContainsAny(scheme, "/?*{") {
		pattern = strings.ToLower(scheme) + ":" + suggestRest(strings.ToLower(scheme), rest)
	}
	plain = respell(pattern)
	return plain, CanMatch(plain)
}

func suggestRest(scheme, rest string) string {
	port, special := specialPort([]byte(scheme))
	path, slashes := strings.CutPrefix(rest, "//")
	if scheme == "file" {
		if slashes && !strings.HasPrefix(path, "/") {
			if host, after, found := strings.Cut(path, "/"); found && strings.EqualFold(host, "localhost") {
				path = after
			} else {
				return rest // another machine's file has no plain spelling
			}
		} else if !slashes {
			path = rest
		}
		path, _, _ = strings.Cut(path, "?")
		return "///" + strings.TrimLeft(path, "/")
	}
	if !slashes {
		if special || strings.HasPrefix(rest, "/") {
			return "//" + strings.TrimLeft(rest, "/")
		}
		return rest
	}
	end := strings.IndexAny(path, "/?*{")
	if end < 0 {
		end = len(path)
	}
	host, after := strings.ToLower(path[:end]), path[end:]
	host = strings.TrimSuffix(host[strings.LastIndexByte(host, '@')+1:], ":")
	if port != "" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	if special && (after == "" || after[0] == '?') {
		after = "/" + after
	}
	return "//" + strings.TrimSuffix(host, ".") + after
}

// respell escapes what must be, and nothing else.
func respell(pattern string) string {
	var out bytes.Buffer
	query := false
	for i := 0; i < len(pattern); i++ {
		c, escaped := pattern[i], false
		if c == '%' && i+2 < len(pattern) && hexDigit(pattern[i+1]) >= 0 && hexDigit(pattern[i+2]) >= 0 {
			c, escaped = byte(hexDigit(pattern[i+1])<<4|hexDigit(pattern[i+2])), true
			i += 2
		}
		bare := lower(c) || upper(c) || digit(c) || strings.IndexByte(always, c) >= 0 || c == '+' && !query
		switch {
		case bare, !escaped && strings.IndexByte("*{}?+", c) >= 0 && (c != '+' || !query):
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%%02X", c)
		}
		query = query || c == '?' && !escaped
	}
	return out.String()
}
