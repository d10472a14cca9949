package sse

import (
	"bytes"
	"io"
)

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

// WriteMessage writes what AppendEvent makes of an event "message" with that data,
// which is not copied for it.
func WriteMessage(w io.Writer, data []byte) error {
	if _, err := io.WriteString(w, "event: message\n"); err != nil {
		return err
	}
	cr, lf := -1, -1
	for start, end := 0, -1; end < len(data); start = end + 1 {
		if end >= 0 && end == cr && start < len(data) && data[start] == '\n' {
			start++
		}
		if cr < start {
			cr = next(data, start, '\r')
		}
		if lf < start {
			lf = next(data, start, '\n')
		}
		end = min(cr, lf)
		for _, piece := range [][]byte{[]byte("data: "), data[start:end], []byte("\n")} {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(w, "\n")
	return err
}
