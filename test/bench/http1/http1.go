// Package http1 reads HTTP/1.1 messages with as little work as possible, for
// the two ends of a measurement: what the client and the server cost is time
// that the proxy between them cannot use. It is not a general parser: no
// obsolete line folding, no upgrade, no body that ends with the connection.
package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// bufferSize bounds a message's head and is the unit in which bodies arrive.
const bufferSize = 64 << 10

// ErrHead reports a head or chunk line that does not fit or cannot be read.
var ErrHead = errors.New("malformed HTTP message")

// Message is the head of a request or response, valid until the next Head.
type Message struct {
	// Start is the request line or status line without its line end.
	Start []byte

	head    []byte
	length  int
	chunked bool
}

// Header returns the value of the first header called name, in lower case, or
// nil. It aliases the message.
func (m *Message) Header(name string) []byte {
	rest := m.head[len(m.Start):]
	for len(rest) > 2 {
		rest = rest[2:]
		end := bytes.Index(rest, crlf)
		if end < 0 {
			end = len(rest)
		}
		line := rest[:end]
		if len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], name) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
		rest = rest[end:]
	}
	return nil
}

// Status returns the status code of a response, 0 for anything else.
func (m *Message) Status() int {
	if len(m.Start) < len("HTTP/1.1 200") || !bytes.HasPrefix(m.Start, []byte("HTTP/1.")) {
		return 0
	}
	code, err := strconv.Atoi(string(m.Start[9:12]))
	if err != nil {
		return 0
	}
	return code
}

// Reader reads messages that follow each other on one connection.
type Reader struct {
	src  io.Reader
	buf  []byte
	r, w int
}

// NewReader returns a Reader of src.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, bufferSize)}
}

var (
	crlf    = []byte("\r\n")
	headEnd = []byte("\r\n\r\n")
)

// Head reads the next message up to its body, which Body must consume before
// the next Head. At the end of the connection it returns io.EOF.
func (r *Reader) Head(m *Message) error {
	head, err := r.until(headEnd)
	if err != nil {
		return err
	}
	m.head = append(m.head[:0], head...)
	end := bytes.Index(m.head, crlf)
	if end < 0 {
		end = len(m.head)
	}
	m.Start = m.head[:end]
	m.length, m.chunked = 0, false
	if v := m.Header("transfer-encoding"); v != nil {
		if !equalFold(v, "chunked") {
			return fmt.Errorf("%w: transfer-encoding %q", ErrHead, v)
		}
		m.chunked = true
		return nil
	}
	if v := m.Header("content-length"); v != nil {
		if m.length, err = strconv.Atoi(string(v)); err != nil || m.length < 0 {
			return fmt.Errorf("%w: content-length %q", ErrHead, v)
		}
	}
	return nil
}

// Body hands the body of m to piece as it arrives, without framing. A piece is
// valid during the call only.
func (r *Reader) Body(m *Message, piece func([]byte)) error {
	if !m.chunked {
		return r.pass(m.length, piece)
	}
	for {
		line, err := r.until(crlf)
		if err != nil {
			return unexpected(err)
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil {
			return fmt.Errorf("%w: chunk size %q", ErrHead, line)
		}
		if size == 0 {
			return r.trailers()
		}
		if err := r.pass(int(size), piece); err != nil {
			return err
		}
		if line, err = r.until(crlf); err != nil {
			return unexpected(err)
		}
		if len(line) != 0 {
			return fmt.Errorf("%w: chunk longer than its size", ErrHead)
		}
	}
}

func (r *Reader) trailers() error {
	for {
		line, err := r.until(crlf)
		if err != nil {
			return unexpected(err)
		}
		if len(line) == 0 {
			return nil
		}
	}
}

// pass hands the next n bytes to piece.
func (r *Reader) pass(n int, piece func([]byte)) error {
	for n > 0 {
		if r.r == r.w {
			r.r, r.w = 0, 0
			if err := r.fill(); err != nil {
				return unexpected(err)
			}
		}
		k := min(n, r.w-r.r)
		piece(r.buf[r.r : r.r+k])
		r.r += k
		n -= k
	}
	return nil
}

// until returns the bytes before sep and consumes both.
func (r *Reader) until(sep []byte) ([]byte, error) {
	for {
		if i := bytes.Index(r.buf[r.r:r.w], sep); i >= 0 {
			found := r.buf[r.r : r.r+i]
			r.r += i + len(sep)
			return found, nil
		}
		if r.r > 0 {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
		}
		if r.w == len(r.buf) {
			return nil, fmt.Errorf("%w: no end within %d bytes", ErrHead, len(r.buf))
		}
		if err := r.fill(); err != nil {
			if r.w > 0 {
				err = unexpected(err)
			}
			return nil, err
		}
	}
}

func (r *Reader) fill() error {
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	return err
}

// unexpected turns the end of a connection within a message into an error that
// is not taken for its end between two.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// equalFold compares ASCII without regard to case; lower is in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
