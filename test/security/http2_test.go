package security

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"mcp-gateway/test/e2e/harness"
)

// h2 is a connection that sends any frames.
type h2 struct {
	t *testing.T
	*http2.Framer
	conn *net.TCPConn
	// writes tells that something else writes on it: then settings stay unanswered.
	writes bool
}

func dial2(t *testing.T, g *harness.Gateway) *h2 {
	t.Helper()
	conn := dial(t, g)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	c := &h2{t: t, Framer: http2.NewFramer(conn, conn), conn: conn}
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.ok(c.WriteSettings())
	return c
}

func (c *h2) ok(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// encode makes a header block of "name: value" lines, as they are.
func encode(lines []string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, line := range lines {
		// A pseudo header has a colon in front.
		name, value, _ := strings.Cut(line[1:], ": ")
		_ = enc.WriteField(hpack.HeaderField{Name: line[:1] + name, Value: value}) // a buffer takes all
	}
	return block.Bytes()
}

// open begins a request.
func (c *h2) open(stream uint32, lines []string, end bool) {
	c.t.Helper()
	c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: encode(lines), EndHeaders: true, EndStream: end}))
}

// status reads until the stream has an answer, or none will come: then it is
// "reset", "goaway" or "closed".
func (c *h2) status(stream uint32) (status, body string) {
	c.t.Helper()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			if status == "" {
				status = "closed"
			}
			return status, body
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() && !c.writes {
				_ = c.WriteSettingsAck() // the peer may have gone
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				status = f.PseudoValue("status")
				if f.StreamEnded() {
					return status, body
				}
			}
		case *http2.DataFrame:
			if f.StreamID == stream {
				body += string(f.Data())
				if f.StreamEnded() {
					return status, body
				}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				if status == "" {
					status = "reset"
				}
				return status, body
			}
		case *http2.GoAwayFrame:
			if status == "" {
				status = "goaway"
			}
			return status, body
		}
	}
}

// lines2 are the headers of a call in a session.
func lines2(session string, more ...string) []string {
	return append([]string{":method: POST", ":scheme: http", ":path: /mcp", ":authority: localhost",
		"content-type: application/json", "accept: application/json, text/event-stream", "mcp-session-id: " + session}, more...)
}

// HTTP/2 has other ways to say a thing twice.
func TestHeadersCannotBeSmuggledOverHTTP2(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := harness.Connect(t, w.URL)
	session := c.Session()
	c.Tool("b_tool", "")
	body := call("1", "b_tool")
	toA, toB := harness.Cluster("a", w.a.URL()), harness.Cluster("b", w.b.URL())
	send := func(lines []string, trailers ...string) (string, string) {
		conn := dial2(t, w.Gateway)
		conn.open(1, lines, false)
		conn.ok(conn.WriteData(1, len(trailers) == 0, []byte(body)))
		if len(trailers) > 0 {
			conn.open(1, trailers, true)
		}
		return conn.status(1)
	}
	without := func(drop string, more ...string) []string {
		var kept []string
		for _, line := range lines2(session) {
			if !strings.HasPrefix(line, drop) {
				kept = append(kept, line)
			}
		}
		return append(kept, more...)
	}
	for name, lines := range map[string][]string{
		"the server's header":   lines2(session, "x-mcp-cluster: "+toA, "x-mcp-cluster: "+toB, "x-mcp-long: "+word, "x-envoy-retry-on: "+word),
		"claims":                lines2(session, "x-mcp-claims: "+word, "x-mcp-client: "+word, "x-mcp-address: "+word),
		"with underscores":      lines2(session, "x_mcp_cluster: "+toA, "mcp_session_id: "+word),
		"credentials in pieces": lines2(session, "cookie: a="+word, "cookie: b="+word, "authorization: Bearer "+word),
		"the host as well":      lines2(session, "host: localhost"),
		"another host behind":   lines2(session, "host: evil.example"), // RFC 9113 section 8.3.1
		"the host in place":     without(":authority", "host: localhost"),
	} {
		t.Run(name, func(t *testing.T) {
			w.forget()
			if status, text := send(lines); status != "200" || !strings.Contains(text, `"b:tool"`) {
				t.Fatal(status, text)
			}
			w.clean(t, session)
		})
	}
	t.Run("in trailers", func(t *testing.T) {
		w.forget()
		status, text := send(lines2(session), "x-mcp-cluster: "+toA, "authorization: Bearer "+word, "x-mcp-claims: e30")
		if status == "200" && strings.Contains(text, `"b:tool"`) {
			w.clean(t, session)
			return
		}
		w.untouched(t)
	})
	refused := map[string][]string{
		"capitals":                   lines2(session, "X-Mcp-Cluster: "+toA),
		"another host first":         without(":authority", "host: evil.example", ":authority: localhost"),
		"another host alone":         without(":authority", "host: evil.example"),
		"two authorities":            lines2(session, ":authority: evil.example"),
		"two paths":                  lines2(session, ":path: /status"),
		"two methods":                lines2(session, ":method: GET"),
		"pseudo header that is none": lines2(session, ":server: a"),
		"pseudo header behind":       without(":path", ":path: /mcp"),
		"no authority":               without(":authority"),
		"userinfo":                   without(":authority", ":authority: localhost@evil.example"),
		"connection":                 lines2(session, "connection: x-mcp-cluster"),
		"transfer-encoding":          lines2(session, "transfer-encoding: chunked"),
		"upgrade":                    lines2(session, "upgrade: h2c"),
		"a line end in a value":      lines2(session, "x-custom: a\r\nx-mcp-cluster: "+toA),
		"a line end in a name":       lines2(session, "x-custom\r\nx-mcp-cluster: "+toA),
		"a NUL in a value":           lines2(session, "x-custom: a\x00b"),
		"a space in a name":          lines2(session, "x-mcp-cluster : "+toA),
		"a colon in a name":          lines2(session, "x-mcp-cluster:a: a"),
		"a length that is short":     lines2(session, fmt.Sprintf("content-length: %d", len(body)-1)),
		"a length that is long":      lines2(session, fmt.Sprintf("content-length: %d", len(body)+1)),
		"two lengths":                lines2(session, fmt.Sprintf("content-length: %d", len(body)), "content-length: 0"),
		"two sessions":               lines2(session, "mcp-session-id: "+word),
	}
	for _, path := range []string{"", "mcp", "//mcp", "/mcp#x", "/mcp/../mcp", "/%6dcp", "/mcp;x", "http://localhost/mcp", "*", "/mcp%00", "/mcp\x00", "/mcp x", "/status", "/v1/table"} {
		refused["path "+path] = append([]string{":method: POST", ":scheme: http", ":path: " + path}, lines2(session)[3:]...)
	}
	// Envoy takes a second to close the connection of a broken stream: all at once.
	w.forget()
	var wg sync.WaitGroup
	for name, lines := range refused {
		conn := dial2(t, w.Gateway)
		conn.open(1, lines, false)
		conn.ok(conn.WriteData(1, true, []byte(body)))
		wg.Go(func() {
			if status, text := conn.status(1); status == "" || status[0] == '2' || status[0] == '5' {
				t.Errorf("%s: status %s: %s", name, status, text)
			}
		})
	}
	wg.Wait()
	c.Request("ping", "")
	w.untouched(t)
}
