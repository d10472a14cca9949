package upstream

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
)

// script is a server made of raw bytes: it answers each method with the bytes
// that it is given, so that nothing between them and the code under test can
// change a byte.
type script struct {
	// hello is the raw result of initialize, session its Mcp-Session-Id.
	hello, session string
	// results maps a method, or a method and a raw cursor with a space between,
	// to a raw result.
	results map[string]string
	// intercept may answer a request itself; true if it did.
	intercept func(w http.ResponseWriter, r *http.Request, method, id string) bool
	// stream serves GET; nil answers 405.
	stream http.HandlerFunc

	mu   sync.Mutex
	seen []received
}

// received is a request that the script has seen.
type received struct {
	verb, method string
	body         string
	header       http.Header
	host         string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m jsonrpc.Message
	if len(body) > 0 {
		if err := m.Scan(body); err != nil {
			http.Error(w, err.Reason, http.StatusBadRequest)
			return
		}
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(body))
	s.mu.Lock()
	s.seen = append(s.seen, received{r.Method, string(method), string(body), r.Header.Clone(), r.Host})
	s.mu.Unlock()
	id := string(m.ID.Of(body))
	if s.intercept != nil && s.intercept(w, r, string(method), id) {
		return
	}
	switch {
	case r.Method == http.MethodGet && s.stream != nil:
		s.stream(w, r)
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case m.Kind != jsonrpc.Request:
		w.WriteHeader(http.StatusAccepted)
	case string(method) == "initialize":
		if s.session != "" {
			w.Header().Set("Mcp-Session-Id", s.session)
		}
		respond(w, id, s.hello)
	default:
		key := string(method)
		if cursor := m.Cursor.Of(body); cursor != nil {
			key += " " + string(cursor)
		}
		s.mu.Lock()
		result, ok := s.results[key]
		s.mu.Unlock()
		if !ok {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(jsonrpc.AppendError(nil, []byte(id), -32601, "no such method", nil))
			return
		}
		respond(w, id, result)
	}
}

func respond(w http.ResponseWriter, id, result string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
}

func (s *script) set(method, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results[method] = result
}

// requests returns what was seen with the verb and method.
func (s *script) requests(verb, method string) []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []received
	for _, r := range s.seen {
		if r.verb == verb && r.method == method {
			out = append(out, r)
		}
	}
	return out
}

func helloFor(capabilities string) string {
	return `{"protocolVersion":"2025-11-25","capabilities":` + capabilities + `,"serverInfo":{"name":"script","version":"1"},"instructions":"be kind"}`
}

// pipes is a network without sockets, so that the whole exchange can live in a
// synctest bubble, where only its clock moves.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.done:
		return nil, fmt.Errorf("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve runs handler on pipes until the test ends, or stop is called.
func serve(t *testing.T, handler http.Handler) (transport *http.Transport, stop func()) {
	t.Helper()
	p := newPipes()
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(p) }()
	stop = func() { _ = p.Close(); _ = server.Close() }
	transport = newTransport()
	transport.DialContext = p.dial
	t.Cleanup(func() { stop(); transport.CloseIdleConnections() })
	return transport, stop
}

// start runs a Server until the test ends or stop is called.
func start(t *testing.T, transport http.RoundTripper, edit func(*gatewayconfig.Server, *Options)) (s *Server, stop func()) {
	t.Helper()
	s = newServer(t, transport, edit)
	return s, run(t, s)
}

// startWith is start with a change of what Options do not reach.
func startWith(t *testing.T, transport http.RoundTripper, edit func(*Server)) (s *Server, stop func()) {
	t.Helper()
	s = newServer(t, transport, nil)
	edit(s)
	return s, run(t, s)
}

func newServer(t *testing.T, transport http.RoundTripper, edit func(*gatewayconfig.Server, *Options)) *Server {
	t.Helper()
	cfg := gatewayconfig.Server{
		Name: "script", URL: "http://server.test/mcp", ListTimeout: gatewayconfig.Duration(10 * time.Second),
	}
	o := Options{Name: "gw", Version: "9", Log: zaptest.NewLogger(t), Changed: func() {}, Transport: transport}
	if edit != nil {
		edit(&cfg, &o)
	}
	s, err := New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, s *Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func texts(items [][]byte) []string {
	var out []string
	for _, it := range items {
		out = append(out, string(it))
	}
	return out
}
