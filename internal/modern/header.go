package modern

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// A value that no header can hold as it is travels between these (2026-07-28,
// basic/transports/streamable-http, Value Encoding).
const (
	sentinel    = "=?base64?"
	sentinelEnd = "?="
)

// DecodeHeader appends what a header value stands for. False for a value that is
// marked as base64 and is none, and for one that had to be.
func DecodeHeader(dst, value []byte) ([]byte, bool) {
	if !isEncoded(value) {
		return append(dst, value...), isText(value)
	}
	inside := value[len(sentinel) : len(value)-len(sentinelEnd)]
	out, err := base64.StdEncoding.Strict().AppendDecode(dst, inside)
	text := out[len(dst):]
	// The decoder skips line ends; a text has one spelling only.
	return out, err == nil && len(inside) == base64.StdEncoding.EncodedLen(len(text)) && utf8.Valid(text)
}

// AppendHeader appends value in the form that a header can hold.
func AppendHeader(dst, value []byte) []byte {
	if isPlain(value) && !isEncoded(value) {
		return append(dst, value...)
	}
	dst = append(dst, sentinel...)
	dst = base64.StdEncoding.AppendEncode(dst, value)
	return append(dst, sentinelEnd...)
}

func isEncoded(value []byte) bool {
	return len(value) >= len(sentinel)+len(sentinelEnd) &&
		bytes.HasPrefix(value, []byte(sentinel)) && bytes.HasSuffix(value, []byte(sentinelEnd))
}

// isText reports whether a value may stand in a header as it is: visible ASCII, spaces
// and tabs. How other bytes are read is every server's own affair.
func isText(value []byte) bool {
	for _, c := range value {
		if (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

// isPlain reports whether value stays the same in a header: visible ASCII, with
// spaces inside only.
func isPlain(value []byte) bool {
	for i, c := range value {
		if c < ' ' || c > '~' || c == ' ' && (i == 0 || i == len(value)-1) {
			return false
		}
	}
	return true
}
