package child

import "bytes"

// maxLine bounds a line in bytes; a longer one is handed over in pieces.
const maxLine = 16 << 10

// lines is an io.Writer that cuts what it gets into lines and keeps the last
// ones. os/exec writes from one goroutine, as both streams are the same writer.
type lines struct {
	emit    func(string)
	partial []byte
	last    []string
}

func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		l.partial = append(l.partial, b[:i]...)
		l.line()
		b = b[i+1:]
	}
	l.partial = append(l.partial, b...)
	if len(l.partial) >= maxLine {
		l.line()
	}
	return n, nil
}

// flush hands over an unfinished line.
func (l *lines) flush() {
	if len(l.partial) > 0 {
		l.line()
	}
}

func (l *lines) line() {
	s := string(bytes.TrimRight(l.partial, "\r"))
	l.partial = l.partial[:0]
	if len(l.last) == tail {
		l.last = append(l.last[:0], l.last[1:]...)
	}
	l.last = append(l.last, s)
	if l.emit != nil {
		l.emit(s)
	}
}
