package legacy

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker/rawserver"
)

const bodyLimit = 4096

// gateway is Clients with a stand-in for the gateway's endpoint, in a synctest
// bubble.
type gateway struct {
	t        testing.TB
	endpoint *rawserver.Server
	clients  *Clients
	cfg      Config // of requests, but for the principal
	http     *http.Client
	stop     context.CancelFunc // ends the life
	down     func()             // takes the endpoint away

	mu    sync.Mutex
	ended []string // sessions that were ended without the endpoint
}

func newGateway(t testing.TB, endpoint *rawserver.Server) *gateway {
	t.Helper()
	g := &gateway{t: t, endpoint: endpoint}
	life, stop := context.WithCancel(context.Background())
	g.stop = stop
	loop, down := rawserver.Serve(t, endpoint)
	g.down = down
	clients := New(Options{
		Log: zaptest.NewLogger(t), Life: life, Transport: loop,
		End: func(_ context.Context, session string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.ended = append(g.ended, session)
		},
	})
	g.clients = clients
	g.cfg = Config{Endpoint: "http://inside/mcp", SSEPath: "/mcp/sse", BodyLimit: bodyLimit, MaxStreams: 2}
	transport, _ := rawserver.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cfg := g.cfg
		cfg.Principal = r.Header.Get("X-Principal")
		switch {
		case clients.Serve(w, r, cfg):
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(r.Body)
			clients.Batch(w, r, cfg, body)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(stop)
	g.http = &http.Client{Transport: transport}
	return g
}

// endpoint is a stand-in that opens a session of the revision it is asked for.
func endpoint() *rawserver.Server {
	s := &rawserver.Server{Session: "the-session", Results: rawserver.Empty()}
	s.Results["ping"] = "{}"
	s.Hello = `{"capabilities":{},"protocolVersion":"2025-03-26","serverInfo":{"name":"gw","version":"1"}}`
	return s
}

type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request; headers are "Name: value".
func (g *gateway) do(method, path, body string, headers ...string) reply {
	g.t.Helper()
	resp, err := g.http.Do(g.request(context.Background(), method, path, body, headers))
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{resp.StatusCode, resp.Header, string(got)}
}

func (g *gateway) request(ctx context.Context, method, path, body string, headers []string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://outside"+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	return r
}

// stream is an open event stream as its client reads it.
type stream struct {
	*gateway
	place string      // where to post
	lines chan string // without blank ones; closed at the end
	leave func()
}

// open opens a stream and reads where to post.
func (g *gateway) open(headers ...string) *stream {
	g.t.Helper()
	s := g.read(http.MethodGet, "/mcp/sse", "", headers...)
	if name := s.next(); name != "event: endpoint" {
		g.t.Fatalf("first event %q", name)
	}
	s.place = strings.TrimPrefix(s.next(), "data: ")
	return s
}

// read sends a request that is answered with an event stream.
func (g *gateway) read(method, path, body string, headers ...string) *stream {
	g.t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	g.t.Cleanup(leave)
	resp, err := g.http.Do(g.request(ctx, method, path, body, headers))
	if err != nil {
		g.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		g.t.Fatalf("%s %s: status %d, %v", method, path, resp.StatusCode, resp.Header)
	}
	s := &stream{gateway: g, lines: make(chan string, 1000), leave: leave}
	go func() {
		defer close(s.lines)
		defer func() { _ = resp.Body.Close() }()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if lines.Text() != "" {
				s.lines <- lines.Text()
			}
		}
	}()
	return s
}

// next is the next line.
func (s *stream) next() string {
	s.t.Helper()
	select {
	case line, ok := <-s.lines:
		if !ok {
			s.t.Fatal("the stream ended")
		}
		return line
	case <-time.After(time.Hour):
		s.t.Fatal("nothing comes")
	}
	return ""
}

// message is the data of the next event, which must be a message.
func (s *stream) message() string {
	s.t.Helper()
	name := s.next()
	for name == ": keep-alive" {
		name = s.next()
	}
	if name != "event: message" {
		s.t.Fatalf("event %q", name)
	}
	return strings.TrimPrefix(s.next(), "data: ")
}

// tell posts a message that is accepted.
func (s *stream) tell(message string, headers ...string) {
	s.t.Helper()
	if r := s.do(http.MethodPost, s.place, message, headers...); r.status != http.StatusAccepted || r.body != "" {
		s.t.Fatalf("%.100s: %d %s", message, r.status, r.body)
	}
}

const initialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`

func initializeAt(revision string) string {
	return `{"jsonrpc":"2.0", "id":"\u0061", "method":"initialize","params":{"protocolVersion" : "` + revision + `","capabilities":{"x":1.0}}}`
}

// initialize opens the session.
func (s *stream) initialize() {
	s.t.Helper()
	s.tell(initializeAt("2024-11-05"))
	if got := s.message(); !strings.Contains(got, `"result"`) {
		s.t.Fatalf("initialize: %s", got)
	}
	s.tell(initialized)
}

func ping(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}` }

func pong(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"result":{}}` }
