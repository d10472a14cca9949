package jsonrpc

import "strconv"

// ReplaceSpan appends body to dst with the bytes of s replaced; all others stay
// as they are. dst must not overlap body.
func ReplaceSpan(dst, body []byte, s Span, with []byte) []byte {
	dst = append(dst, body[:s.Start]...)
	dst = append(dst, with...)
	return append(dst, body[s.End:]...)
}

// AppendError appends an error response. id is the raw token of the request's
// id, null if empty; data is raw JSON, left out if empty; message is plain text.
func AppendError(dst []byte, id []byte, code int, message string, data []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	if len(id) == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, id...)
	}
	dst = append(dst, `,"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendQuote(dst, []byte(message))
	if len(data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, data...)
	}
	return append(dst, "}}"...)
}
