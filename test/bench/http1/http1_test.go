package http1_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"mcp-gateway/test/bench/http1"
)

func TestReaderFindsTheSameMessagesAtAnySplit(t *testing.T) {
	t.Parallel()
	const wire = "POST /mcp HTTP/1.1\r\nHost: a\r\nCONTENT-Length: 5\r\n\r\nhello" +
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nmcp-session-id:  s1 \r\n\r\n" +
		"3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n" +
		"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
	for name, src := range map[string]io.Reader{
		"whole":        strings.NewReader(wire),
		"byte by byte": iotest.OneByteReader(strings.NewReader(wire)),
		"halves":       iotest.HalfReader(strings.NewReader(wire)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := http1.NewReader(src)
			var m http1.Message
			expect := func(start, header, value, body string, status int) {
				t.Helper()
				if err := r.Head(&m); err != nil {
					t.Fatal(err)
				}
				var got strings.Builder
				if err := r.Body(&m, func(p []byte) { got.Write(p) }); err != nil {
					t.Fatal(err)
				}
				if string(m.Start) != start || string(m.Header(header)) != value || got.String() != body || m.Status() != status {
					t.Errorf("got %q, %s=%q, body %q, status %d", m.Start, header, m.Header(header), got.String(), m.Status())
				}
			}
			expect("POST /mcp HTTP/1.1", "host", "a", "hello", 0)
			expect("HTTP/1.1 200 OK", "mcp-session-id", "s1", "abc0123456789", 200)
			expect("HTTP/1.1 202 Accepted", "mcp-session-id", "", "", 202)
			if err := r.Head(&m); !errors.Is(err, io.EOF) {
				t.Errorf("after the last message: %v, want EOF", err)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		wire string
		want error
	}{
		"end within the head":  {"HTTP/1.1 200 OK\r\n", io.ErrUnexpectedEOF},
		"end within the body":  {"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", io.ErrUnexpectedEOF},
		"end before a chunk":   {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", io.ErrUnexpectedEOF},
		"negative length":      {"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", http1.ErrHead},
		"chunk size no number": {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", http1.ErrHead},
		"chunk too long":       {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", http1.ErrHead},
		"unknown encoding":     {"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", http1.ErrHead},
		"endless head":         {strings.Repeat("x", 70<<10), http1.ErrHead},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := http1.NewReader(strings.NewReader(tc.wire))
			var m http1.Message
			err := r.Head(&m)
			if err == nil {
				err = r.Body(&m, func([]byte) {})
			}
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}
