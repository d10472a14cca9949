// Package backend is the MCP server at the end of every measured path. It does
// so little for a call that it is never what limits a proxy: a large body is
// counted, not decoded. It speaks the revisions with sessions and the stateless one
// over Streamable HTTP.
package backend

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mcp-gateway/test/bench/http1"
)

// Names of the tools.
const (
	// ToolEcho answers with the size of its argument "text" as it stands in the
	// request, "64 bytes".
	ToolEcho = "echo"
	// ToolStream answers with StreamEvents progress notifications as
	// server-sent events, StreamInterval apart, and then with its result. Each
	// message reads SentMark and the time at which it was written.
	ToolStream = "stream"
)

// Shape of an answer of ToolStream.
const (
	StreamEvents   = 10
	StreamInterval = 5 * time.Millisecond
	// SentMark stands before the nanoseconds of CLOCK_MONOTONIC, which all
	// processes of a machine share.
	SentMark = "sent="
)

const (
	// peek is how much of a body is kept. The calls of the load generator have
	// all that matters before their large argument.
	peek = 4 << 10
	// sessionPrefix starts every session id, so that a call with a foreign one
	// is refused without a table of sessions.
	sessionPrefix = "bench-"
)

// Server answers on any path of a listener.
type Server struct {
	list     []byte
	sessions atomic.Int64
}

// New returns a server that lists tools tools, ToolEcho and ToolStream first.
func New(tools int) *Server {
	return &Server{list: toolList(tools)}
}

// Serve answers connections until the listener is closed.
func (s *Server) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go s.connection(conn)
	}
}

// connection serves requests until the peer closes or breaks the protocol; who
// sent a broken one sees the connection end.
func (s *Server) connection(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	c := &exchange{server: s, conn: conn, reader: http1.NewReader(conn), body: make([]byte, 0, peek)}
	for {
		if err := c.next(); err != nil {
			return
		}
	}
}

// exchange is one connection and the request in hand.
type exchange struct {
	server *Server
	conn   io.Writer
	reader *http1.Reader
	head   http1.Message
	body   []byte // first peek bytes
	size   int    // of the whole body
	result []byte // of ToolEcho
	answer []byte
}

func (c *exchange) next() error {
	if err := c.reader.Head(&c.head); err != nil {
		return err
	}
	c.body, c.size = c.body[:0], 0
	err := c.reader.Body(&c.head, func(piece []byte) {
		c.size += len(piece)
		c.body = append(c.body, piece[:min(len(piece), peek-len(c.body))]...)
	})
	if err != nil {
		return err
	}
	switch method := c.head.Start; {
	case len(method) > 5 && string(method[:5]) == "POST ":
		return c.post()
	case len(method) > 7 && string(method[:7]) == "DELETE ":
		return c.empty("200 OK")
	default:
		return c.empty("405 Method Not Allowed")
	}
}

func (c *exchange) post() error {
	q, err := read(c.body, c.size)
	if err != nil {
		return c.empty("400 Bad Request")
	}
	complete := ""
	switch version := c.head.Header("mcp-protocol-version"); {
	case q.method == "initialize":
		return c.json(c.server.session(), q.id, initializeResult(q.version))
	case string(version) == revision:
		if done, err := c.stateless(q); done {
			return err
		}
		complete = resultType
	default:
		if status := c.refused(); status != "" {
			return c.empty(status)
		}
	}
	switch {
	case q.id == nil:
		return c.empty("202 Accepted")
	case q.method == "ping":
		return c.json("", q.id, []byte(`"result":{}`))
	case q.method == "tools/list":
		return c.json("", q.id, c.server.list)
	case q.method == "tools/call" && q.tool == ToolEcho:
		c.result = append(append(append(c.result[:0], `"result":{`...), complete...), `"content":[{"type":"text","text":"`...)
		c.result = append(strconv.AppendInt(c.result, int64(q.text), 10), ` bytes"}]}`...)
		return c.json("", q.id, c.result)
	case q.method == "tools/call" && q.tool == ToolStream:
		return c.stream(q.id, complete)
	case q.method == "tools/call":
		return c.json("", q.id, fmt.Appendf(nil, `"error":{"code":-32602,"message":"Unknown tool: %s"}`, q.tool))
	default:
		return c.json("", q.id, []byte(`"error":{"code":-32601,"message":"Method not found"}`))
	}
}

// The stateless revision, and what stands before each of its results.
const (
	revision   = "2026-07-28"
	resultType = `"resultType":"complete",`
	lasting    = resultType + `"ttlMs":600000,"cacheScope":"public",`
)

// stateless answers what is other than in a session, and reports whether it did.
func (c *exchange) stateless(q request) (bool, error) {
	switch q.method {
	case "server/discover":
		return true, c.json("", q.id, []byte(`"result":{`+lasting+`"supportedVersions":["`+revision+`"],"capabilities":{"tools":{}}}`))
	case "tools/list":
		return true, c.json("", q.id, append([]byte(`"result":{`+lasting), c.server.list[len(`"result":{`):]...))
	case "tools/call":
		return false, nil
	}
	return q.id != nil, c.unknown(q.id)
}

// unknown answers 404, which the stateless revision wants for an unknown method.
func (c *exchange) unknown(id []byte) error {
	if id == nil {
		return nil
	}
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}`, id)
	_, err := fmt.Fprintf(c.conn, "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(body), body)
	return err
}

// refused is the status for a request without a session of this server, or empty.
func (c *exchange) refused() string {
	if id := c.head.Header("mcp-session-id"); len(id) == 0 {
		return "400 Bad Request"
	} else if len(id) < len(sessionPrefix) || string(id[:len(sessionPrefix)]) != sessionPrefix {
		return "404 Not Found"
	}
	return ""
}

func (s *Server) session() string {
	return fmt.Sprintf("%s%037x", sessionPrefix, s.sessions.Add(1))
}

func (c *exchange) empty(status string) error {
	_, err := fmt.Fprintf(c.conn, "HTTP/1.1 %s\r\ncontent-length: 0\r\n\r\n", status)
	return err
}

// json answers 200 with one JSON-RPC message. Its outcome is the whole member
// "result" or "error".
func (c *exchange) json(session string, id []byte, outcome []byte) error {
	const before, between, after = `{"jsonrpc":"2.0","id":`, `,`, `}`
	b := append(c.answer[:0], "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"...)
	if session != "" {
		b = append(append(append(b, "mcp-session-id: "...), session...), "\r\n"...)
	}
	b = append(b, "content-length: "...)
	b = strconv.AppendInt(b, int64(len(before)+len(id)+len(between)+len(outcome)+len(after)), 10)
	b = append(append(append(b, "\r\n\r\n"+before...), id...), between...)
	b = append(append(b, outcome...), after...)
	c.answer = b
	_, err := c.conn.Write(b)
	return err
}

// stream answers with events, each in a chunk and a write of its own.
func (c *exchange) stream(id []byte, complete string) error {
	w := bufio.NewWriter(c.conn)
	_, _ = w.WriteString("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n")
	for i := range StreamEvents {
		if i > 0 {
			time.Sleep(StreamInterval)
		}
		event := fmt.Sprintf("event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","+
			"\"params\":{\"progressToken\":\"p\",\"progress\":%d,\"message\":\"%s%d\"}}\n\n", i+1, SentMark, Monotonic())
		_, _ = fmt.Fprintf(w, "%x\r\n%s\r\n", len(event), event)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	event := fmt.Sprintf("event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{%s\"content\":[]}}\n\n", id, complete)
	_, _ = fmt.Fprintf(w, "%x\r\n%s\r\n0\r\n\r\n", len(event), event)
	return w.Flush()
}

// Monotonic is CLOCK_MONOTONIC in nanoseconds.
func Monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // never on Linux; a receiver would see absurd times
	}
	return ts.Nano()
}

func initializeResult(version string) []byte {
	quoted, _ := json.Marshal(version) // a string always encodes
	return fmt.Appendf(nil, `"result":{"protocolVersion":%s,"capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}`, quoted)
}

// toolList is the member "result" of the answer to tools/list: some 400 bytes
// a tool, as servers send them.
func toolList(n int) []byte {
	b := []byte(`"result":{"tools":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		name := fmt.Sprintf("tool_%04d", i)
		switch i {
		case 0:
			name = ToolEcho
		case 1:
			name = ToolStream
		}
		b = fmt.Appendf(b, `{"name":%q,"title":"Tool number %d","description":"Looks up what is known about a thing by its name and says how sure it is; an unknown name is no error but an empty answer.",`+
			`"inputSchema":{"type":"object","properties":{"text":{"type":"string","description":"Name of the thing"},"limit":{"type":"integer","minimum":1,"default":10}},"required":["text"]},`+
			`"annotations":{"readOnlyHint":true}}`, name, i)
	}
	return append(b, "]}"...)
}
