package bridge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker/bridge"
	"mcp-gateway/internal/gatewayconfig"
)

// server is a server as a test plays it, with all connections to it.
type server struct {
	t      testing.TB
	bridge *bridge.Bridge
	// refuse, if set, is why no connection can be opened.
	refuse error

	mu    sync.Mutex
	conns []*conn
}

// conn is one connection, the server's side of it.
type conn struct {
	in      chan string // what the bridge has sent
	out     chan string // what the server sends
	done    chan struct{}
	once    sync.Once
	reason  error
	closed  time.Duration // patience of the first Close; -1 before
	closing sync.Mutex
}

func (s *server) connect(context.Context) (bridge.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	c := &conn{in: make(chan string, 10_000), out: make(chan string), done: make(chan struct{}), closed: -1}
	s.conns = append(s.conns, c)
	return c, nil
}

// conn waits for the n-th connection, from 0 on.
func (s *server) conn(n int) *conn {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.conns) {
		s.t.Fatalf("%d connections, want one more", len(s.conns))
	}
	return s.conns[n]
}

func (s *server) count() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (c *conn) Send(_ context.Context, message []byte) error {
	select {
	case <-c.done:
		return errors.New("gone")
	default:
	}
	c.in <- string(message)
	return nil
}

func (c *conn) Receive(f func([]byte)) error {
	for {
		select {
		case m := <-c.out:
			f([]byte(m))
		case <-c.done:
			return c.reason
		}
	}
}

func (c *conn) Close(patience time.Duration) {
	c.closing.Lock()
	if c.closed < 0 {
		c.closed = patience
	}
	c.closing.Unlock()
	c.die(errors.New("closed"))
}

// die ends the connection from the server's side.
func (c *conn) die(reason error) {
	c.once.Do(func() {
		c.reason = reason
		close(c.done)
	})
}

// ended reports whether the connection is over.
func (c *conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// take is the next message that the bridge sent, "" if there is none.
func (c *conn) take() string {
	synctest.Wait()
	select {
	case m := <-c.in:
		return m
	default:
		return ""
	}
}

// say has the server send messages.
func (c *conn) say(messages ...string) {
	for _, m := range messages {
		c.out <- m
	}
	synctest.Wait()
}

// run runs a test in a bubble with a bridge.
func run(t *testing.T, change func(*bridge.Options), f func(t *testing.T, s *server)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{t: t}
		o := bridge.Options{
			Name: "srv", Connect: s.connect, MaxSessions: func() int { return 3 }, ClientInfo: []byte(`{"name":"gw","version":"1"}`),
			BodyLimit: func() int64 { return 64 << 10 }, Log: zaptest.NewLogger(t),
		}
		if change != nil {
			change(&o)
		}
		s.bridge = bridge.New(o)
		f(t, s)
		s.bridge.Close(time.Second)
		for i, c := range s.conns {
			if !c.ended() {
				t.Errorf("connection %d outlives the bridge", i)
			}
		}
	})
}

const hello = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}`

const initialize = `{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`

// answer is what a client of the bridge got.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; headers are "Name: value", or "Name:" to leave one out.
func (s *server) do(ctx context.Context, verb, session, body string, headers ...string) (*http.Response, error) {
	url := "http://" + gatewayconfig.BridgeAuthority + gatewayconfig.PathBridge + "srv"
	r, err := http.NewRequestWithContext(ctx, verb, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		switch value = strings.TrimSpace(value); {
		case name == "Host":
			r.Host = value
		case value == "":
			r.Header.Del(name)
		default:
			r.Header.Set(name, value)
		}
	}
	return bridge.Transport(s.bridge).RoundTrip(r)
}

func (s *server) ask(verb, session, body string, headers ...string) answer {
	s.t.Helper()
	resp, err := s.do(context.Background(), verb, session, body, headers...)
	if err != nil {
		s.t.Error(err)
		return answer{}
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

// later is ask whose answer comes when the server has spoken.
func (s *server) later(verb, session, body string) <-chan answer {
	done := make(chan answer, 1)
	go func() { done <- s.ask(verb, session, body) }()
	synctest.Wait()
	return done
}

// open begins a session on the n-th connection and returns its id.
func (s *server) open(n int) string {
	s.t.Helper()
	done := s.later("POST", "", initialize)
	c := s.conn(n)
	if got, want := c.take(), strings.Replace(initialize, `"i"`, `1`, 1); got != want {
		s.t.Fatalf("the server got %s, want %s", got, want)
	}
	c.say(`{"jsonrpc":"2.0","id":1,"result":` + hello + `}`)
	got := <-done
	if got.status != 200 || got.body != `{"jsonrpc":"2.0","id":"i","result":`+hello+`}` || len(got.header.Get("Mcp-Session-Id")) != 43 {
		s.t.Fatalf("initialize: %+v", got)
	}
	return got.header.Get("Mcp-Session-Id")
}

// stream reads an event stream until the test leaves it.
type stream struct {
	lines chan string // data of each event; closed at the end
	leave context.CancelFunc
}

func (s *server) stream(verb, session, body string) *stream {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := s.do(ctx, verb, session, body)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("no stream: %+v, %v", resp, err)
	}
	st := &stream{lines: make(chan string, 10_000), leave: cancel}
	go func() {
		defer close(st.lines)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 32<<20)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				st.lines <- data
			}
		}
	}()
	synctest.Wait()
	return st
}

// take returns what has come so far, "end" at the end.
func (st *stream) take() []string {
	synctest.Wait()
	var got []string
	for {
		select {
		case line, ok := <-st.lines:
			if !ok {
				return append(got, "end")
			}
			got = append(got, line)
		default:
			return got
		}
	}
}

func request(id, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, params)
}

func notification(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s}`, method, params)
}

func result(id, value string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, value)
}
