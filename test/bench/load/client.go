package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/bench/backend"
	"mcp-gateway/test/bench/http1"
)

const (
	// firstID has as many digits as every later id, so that an id is replaced
	// in place and all requests have one length.
	firstID  = 1_000_000_000
	idDigits = 10
	// patience bounds one connection's life beyond its measured time.
	patience = 30 * time.Second
	// joined is the largest body that is copied behind its head into one
	// buffer; a larger one is shared by all connections.
	joined = 64 << 10
)

// client is one connection, with its session if it has one.
type client struct {
	conn    net.Conn
	reader  *http1.Reader
	address string
	session string
	token   string
	tool    string // Mcp-Name
	method  string // Mcp-Method; empty in a session

	head   http1.Message
	body   []byte
	id     int64
	digits []byte    // the id inside request[0]
	want   []byte    // what an answer must hold besides its id
	parts  [2][]byte // request: with the id; the rest
	vector net.Buffers

	latencies []time.Duration
}

// connect opens a connection, and a session on it if one is wanted, and builds the
// request.
func connect(ctx context.Context, spec Spec, text []byte) (*client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", spec.Address)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, reader: http1.NewReader(conn), address: spec.Address, token: spec.Token, id: firstID}
	if err := c.prepare(spec, text); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) prepare(spec Spec, text []byte) error {
	if err := c.conn.SetDeadline(time.Now().Add(spec.Warmup + spec.Duration + patience)); err != nil {
		return err
	}
	call, params := backend.AppendCall, ""
	if spec.Stateless {
		c.method, call, params = spec.Method, backend.AppendStatelessCall, `,"params":{`+backend.Meta+`}`
		if spec.Method == MethodCall {
			c.tool = spec.Tool
		}
	} else if err := c.initialize(); err != nil {
		return err
	}
	id := strconv.AppendInt(nil, firstID, 10)
	var body []byte
	switch spec.Method {
	case MethodCall:
		body = call(nil, id, spec.Tool, text)
		c.want = fmt.Appendf(nil, `"text":"%d bytes"`, len(text))
	case MethodList:
		body = fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":"tools/list"%s}`, id, params)
		c.want = fmt.Appendf(nil, `"name":"%s"`, spec.Tool)
	default:
		return fmt.Errorf("method %q cannot be measured", spec.Method)
	}
	request := append(c.requestHead(len(body)), body...)
	offset := len(request) - len(body) + backend.IDOffset
	if len(body) <= joined {
		c.parts = [2][]byte{request, nil}
	} else {
		c.parts = [2][]byte{bytes.Clone(request[:offset+idDigits]), request[offset+idDigits:]}
	}
	c.digits = c.parts[0][offset : offset+idDigits]
	return nil
}

func (c *client) requestHead(length int) []byte {
	head := fmt.Appendf(nil, "POST /mcp HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nContent-Type: application/json\r\n"+
		"Accept: application/json, text/event-stream\r\nContent-Length: %d\r\n", c.address, length)
	if c.token != "" {
		head = fmt.Appendf(head, "Authorization: Bearer %s\r\n", c.token)
	}
	if c.session != "" {
		head = fmt.Appendf(head, "Mcp-Session-Id: %s\r\nMCP-Protocol-Version: %s\r\n", c.session, mcp.LatestLegacy)
	}
	if c.method != "" {
		head = fmt.Appendf(head, "MCP-Protocol-Version: %s\r\nMcp-Method: %s\r\n", mcp.Revision20260728, c.method)
	}
	if c.tool != "" {
		head = fmt.Appendf(head, "Mcp-Name: %s\r\n", c.tool)
	}
	return append(head, "\r\n"...)
}

func (c *client) initialize() error {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":%q,"capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`, mcp.LatestLegacy)
	if err := c.exchange(body); err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	if status := c.head.Status(); status != 200 || !bytes.Contains(c.body, []byte(`"result":`)) {
		return fmt.Errorf("initialize: %s", c.answer())
	}
	if c.session = string(c.head.Header(mcp.HeaderSession)); c.session == "" {
		return errors.New("initialize: no session id")
	}
	if err := c.exchange(`{"jsonrpc":"2.0","method":"notifications/initialized"}`); err != nil {
		return fmt.Errorf("notifications/initialized: %w", err)
	}
	if c.head.Status() != 202 {
		return fmt.Errorf("notifications/initialized: %s", c.answer())
	}
	return nil
}

// exchange sends one body and reads its answer.
func (c *client) exchange(body string) error {
	if _, err := c.conn.Write(append(c.requestHead(len(body)), body...)); err != nil {
		return err
	}
	return c.receive()
}

func (c *client) receive() error {
	if err := c.reader.Head(&c.head); err != nil {
		return err
	}
	c.body = c.body[:0]
	return c.reader.Body(&c.head, func(piece []byte) { c.body = append(c.body, piece...) })
}

// send writes the prepared request under the next id.
func (c *client) send() error {
	c.id++
	strconv.AppendInt(c.digits[:0], c.id, 10)
	if c.parts[1] == nil {
		_, err := c.conn.Write(c.parts[0])
		return err
	}
	c.vector = c.parts[:]
	parts := c.parts // WriteTo empties what it wrote
	_, err := c.vector.WriteTo(c.conn)
	c.parts = parts
	return err
}

// call sends the request, checks its answer, and notes the time since due.
func (c *client) call(due time.Time) error {
	sent := c.send()
	if err := c.receive(); err != nil {
		if sent != nil {
			return sent
		}
		return err
	}
	// A peer that refuses a large request answers before it has read all.
	if err := c.check(); err != nil {
		return err
	}
	if sent != nil {
		return sent
	}
	c.latencies = append(c.latencies, time.Since(due))
	return nil
}

// check demands status 200, a result, the request's id and its effect.
func (c *client) check() error {
	if c.head.Status() != 200 {
		return errors.New(c.answer())
	}
	_, after, ok := bytes.Cut(c.body, []byte(`"id":`))
	if !ok || !bytes.HasPrefix(after, c.digits) || len(after) == idDigits || after[idDigits] != ',' && after[idDigits] != '}' {
		return fmt.Errorf("answer without the id %s: %s", c.digits, c.answer())
	}
	if !bytes.Contains(c.body, []byte(`"result":`)) || !bytes.Contains(c.body, c.want) {
		return fmt.Errorf("answer without %s: %s", c.want, c.answer())
	}
	return nil
}

// answer shows the start of the last answer.
func (c *client) answer() string {
	return fmt.Sprintf("%s %.300q", c.head.Start, c.body)
}
