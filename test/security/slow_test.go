package security

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// A client that sends a byte now and then is never idle, and yet does not stay.
func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, script("a"))
	p := harness.RunEdited(t, harness.Config{Servers: []harness.Server{{Name: "a", URL: a.URL(), Prefix: "a_"}}},
		"request_timeout: 120s", "request_timeout: 2s")
	c := harness.Connect(t, p.URL)
	addr := strings.TrimSuffix(strings.TrimPrefix(p.URL, "http://"), "/mcp")
	start := head("/mcp", "localhost", c.Session(), "")
	for name, tt := range map[string]struct {
		first  string
		status int
	}{
		"no byte of a body":    {start + "Content-Length: 100\r\n\r\n", 408},
		"a body byte by byte":  {start + "Content-Length: 1000000\r\n\r\n", 408},
		"chunks byte by byte":  {start + "Transfer-Encoding: chunked\r\n\r\nffff\r\n", 408},
		"headers byte by byte": {start + "X-Slow: ", 408},
		"a large body":         {start + "Content-Length: 3000000\r\n\r\n" + strings.Repeat(" ", 2_000_000), 408},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // the gateway has
			_ = conn.SetDeadline(time.Now().Add(harness.Patience))
			if _, err := io.WriteString(conn, tt.first); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			if strings.Contains(name, "byte by byte") {
				go func() {
					tick := time.NewTicker(50 * time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-tick.C:
							if _, err := conn.Write([]byte("x")); err != nil {
								return
							}
						case <-ended:
							return
						}
					}
				}()
			}
			from := bufio.NewReader(conn)
			r := answer(from)
			close(ended)
			if r.Status != tt.status || !strings.Contains(r.Body, `"code":-32600`) {
				t.Errorf("%d %s", r.Status, r.Body)
			}
			if _, err := from.ReadByte(); err == nil {
				t.Error("the connection goes on")
			}
		})
	}
	t.Run("others meanwhile", func(t *testing.T) { c.Tool("a_tool", "") })
}

// However a body over the limit is announced, it is not read to its end.
func TestLargeBodiesAreRefused(t *testing.T) {
	t.Parallel()
	w := worldOf(t, harness.Config{Limits: []string{"body: 65536"}}, script("a"), script("b"))
	session := harness.Connect(t, w.URL).Session()
	start := head("/mcp", "localhost", session, "")
	for name, request := range map[string]string{
		"announced":                 start + "Content-Length: 70000\r\n\r\n",
		"announced beyond all":      start + "Content-Length: 9223372036854775807\r\n\r\n",
		"announced beyond integers": start + "Content-Length: 99999999999999999999\r\n\r\n",
		"in one chunk":              start + "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n" + strings.Repeat(" ", 400_000),
		"in many chunks":            start + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\n \r\n", 100_000),
		"with extensions":           start + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 5)+"\r\n \r\n", 100_000),
		"sent though refused":       start + fmt.Sprintf("Content-Length: 400000\r\n\r\n%s", strings.Repeat(" ", 400_000)),
	} {
		conn := dial(t, w.Gateway)
		go func() { _, _ = io.WriteString(conn, request) }() // refused before its end
		if r := answer(bufio.NewReader(conn)); r.Status != 413 && (r.Status != 400 || name != "announced beyond integers") {
			t.Errorf("%s: %s", name, r)
		}
	}
	w.untouched(t)
}

// A connection has a bound of streams, one that only resets them ends, and others
// are served meanwhile.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := harness.Connect(t, w.URL)
	session := c.Session()
	c.Tool("b_tool", "")
	body := []byte(call("1", "b_tool"))

	var wg sync.WaitGroup
	for range 4 {
		conn := dial2(t, w.Gateway)
		conn.writes = true
		wg.Go(func() {
			go func() {
				for id := uint32(1); id < 40_000; id += 2 {
					block := encode(lines2(session))
					if conn.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}) != nil ||
						conn.WriteData(id, true, body) != nil || conn.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
						return
					}
				}
			}()
			if got, _ := conn.status(1 << 30); got != "goaway" && got != "closed" {
				t.Errorf("a client that resets all of its streams: %s", got)
			}
		})
	}
	for range 20 {
		if r := c.Post(call("1", "b_tool")); !served(r) {
			t.Errorf("meanwhile: %s", r)
		}
	}
	wg.Wait()

	// One that has too many at a time is told how many there may be.
	conn := dial2(t, w.Gateway)
	var most uint32
	for most == 0 {
		f, err := conn.ReadFrame()
		conn.ok(err)
		if s, is := f.(*http2.SettingsFrame); is && !s.IsAck() {
			most, _ = s.Value(http2.SettingMaxConcurrentStreams)
		}
	}
	if most > 256 {
		t.Fatalf("%d streams at once", most)
	}
	conn.ok(conn.WriteSettingsAck())
	for i := range most {
		conn.open(2*i+1, lines2(session), false) // each waits for its body
	}
	conn.open(2*most+1, lines2(session), false)
	if got, _ := conn.status(2*most + 1); got != "reset" && got != "goaway" && got != "closed" {
		t.Errorf("stream %d at once: %s", most+1, got)
	}
}

// A block of headers that never ends, settings and pings without an end: Envoy
// gives such a connection up, and the others do not notice.
func TestFloodsOfFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := harness.Connect(t, w.URL)
	c.Tool("b_tool", "")
	session := c.Session()
	floods := map[string]func(*h2, int) error{
		"pings": func(c *h2, _ int) error { return c.WritePing(false, [8]byte{}) },
		"settings": func(c *h2, _ int) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 16})
		},
		"priority": func(c *h2, i int) error {
			return c.WritePriority(uint32(2*i+1), http2.PriorityParam{Weight: 1})
		},
		"empty data": func(c *h2, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(lines2(session)), EndHeaders: true})
			}
			return c.WriteData(1, false, nil)
		},
		"headers without an end": func(c *h2, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(lines2(session))})
			}
			return c.WriteContinuation(1, false, encode([]string{fmt.Sprintf("x-%d: %s", i, strings.Repeat("x", 1000))}))
		},
		"headers that unpack": func(c *h2, i int) error {
			// Each refers to one large field of the table: a byte becomes 4 KB.
			lines := lines2(session)
			for range 3000 {
				lines = append(lines, "x-bomb: "+strings.Repeat("x", 3000))
			}
			return c.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: encode(lines), EndHeaders: true, EndStream: true})
		},
	}
	var wg sync.WaitGroup
	for name, flood := range floods {
		conn := dial2(t, w.Gateway)
		conn.writes = true
		wg.Go(func() {
			go func() {
				for i := range 200_000 {
					if flood(conn, i) != nil {
						return
					}
				}
			}()
			if got, _ := conn.status(1 << 30); got != "goaway" && got != "closed" {
				t.Errorf("%s: %s", name, got)
			}
			_ = conn.conn.Close()
		})
	}
	for range 20 {
		if r := c.Post(call("1", "b_tool")); !served(r) {
			t.Errorf("meanwhile: %s", r)
		}
	}
	wg.Wait()
}
