package sse

import "bytes"

// AppendEvent appends e as a client reads it: LF as line end, one data field
// for each line of Data, a blank line at the end, also behind a comment. The
// parser gives back the same event, except that each CR or CRLF in Data has
// become LF, and that CR and LF in Name, ID and Retry (and NUL in ID) are left
// out, so that no value can forge a field.
func AppendEvent(dst []byte, e Event) []byte {
	if e.HasComment {
		dst = appendLines(dst, ":", e.Comment)
		return append(dst, '\n')
	}
	if len(e.Name) > 0 {
		dst = appendField(dst, "event: ", e.Name, "\r\n")
	}
	if e.HasID {
		dst = appendField(dst, "id: ", e.ID, "\r\n\x00")
	}
	if len(e.Retry) > 0 {
		dst = appendField(dst, "retry: ", e.Retry, "\r\n")
	}
	if e.HasData {
		dst = appendLines(dst, "data: ", e.Data)
	}
	return append(dst, '\n')
}

func appendField(dst []byte, field string, value []byte, drop string) []byte {
	dst = append(dst, field...)
	for len(value) > 0 {
		i := bytes.IndexAny(value, drop)
		if i < 0 {
			dst = append(dst, value...)
			break
		}
		dst = append(dst, value[:i]...)
		value = value[i+1:]
	}
	return append(dst, '\n')
}

func appendLines(dst []byte, field string, text []byte) []byte {
	// JSON on one line is the common case, and IndexByte the fast search.
	plain := bytes.IndexByte(text, '\r') < 0
	for {
		dst = append(dst, field...)
		var i int
		if plain {
			i = bytes.IndexByte(text, '\n')
		} else {
			i = bytes.IndexAny(text, "\r\n")
		}
		if i < 0 {
			dst = append(dst, text...)
			return append(dst, '\n')
		}
		dst = append(dst, text[:i]...)
		dst = append(dst, '\n')
		if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		text = text[i+1:]
	}
}
