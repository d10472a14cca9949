package broker

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// throughEnvoy is how requests come to the public listener: with the proof, unless
// a test has another one.
type throughEnvoy struct {
	http.RoundTripper
	proof string
}

func (t throughEnvoy) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, ok := r.Header[http.CanonicalHeaderKey(mcp.HeaderProof)]; !ok {
		r = r.Clone(r.Context())
		r.Header.Set(mcp.HeaderProof, t.proof)
	}
	return t.RoundTripper.RoundTrip(r)
}

// address is where no server is: in errors of the transport, and nowhere else.
const address = "10.9.8.7:6543"

// hosts is a transport that reaches a server by the host of its URL.
type hosts struct {
	mu sync.Mutex
	m  map[string]http.RoundTripper
}

func (h *hosts) set(host string, rt http.RoundTripper) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.m[host] = rt
}

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	rt := h.m[r.URL.Host]
	h.mu.Unlock()
	if rt == nil {
		return nil, errors.New("dial tcp " + address + ": connection refused")
	}
	return rt.RoundTrip(r)
}

// gateway is a running broker in a synctest bubble, with its clients' side.
type gateway struct {
	t      testing.TB
	broker *Broker
	store  session.Store
	net    *hosts
	public *http.Client
	stop   func()
	path   string // of the endpoint that requests go to; empty is "/mcp"
	// as are headers of the streams that are opened.
	as map[string]string
}

type setup struct {
	opts  Options
	store session.Store
	// unconfigured leaves out the first Apply.
	unconfigured bool
	config       gatewayconfig.Broker
}

// newGateway starts a broker for the servers, each of them reached under its
// name as host.
func newGateway(t testing.TB, s setup, servers map[string]http.Handler) *gateway {
	t.Helper()
	g := &gateway{t: t, net: &hosts{m: map[string]http.RoundTripper{}}, store: s.store}
	for name, handler := range servers {
		g.serve(name, handler)
	}
	if g.store == nil {
		store, err := memory.New(memory.Options{
			Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: 24 * time.Hour},
		})
		if err != nil {
			t.Fatal(err)
		}
		g.store = store
	}
	s.opts.Transport = g.net
	g.broker = New(zaptest.NewLogger(t), g.store, s.opts)
	if !s.unconfigured {
		g.apply(s.config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.broker.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(g.stop)
	transport, _ := rawserver.Serve(t, g.broker.Public())
	g.public = &http.Client{Transport: transport}
	if s.opts.Secret != "" {
		g.public.Transport = throughEnvoy{transport, "Bearer " + s.opts.Secret}
	}
	return g
}

func (g *gateway) serve(host string, handler http.Handler) (stop func()) {
	transport, stop := rawserver.Serve(g.t, handler)
	g.net.set(host, transport)
	return stop
}

func (g *gateway) apply(c gatewayconfig.Broker) {
	g.t.Helper()
	if err := g.broker.Apply(c); err != nil {
		g.t.Fatal(err)
	}
}

// config returns a configuration with the servers; a prefix goes with each, and
// a label as soon as there are two.
func config(names ...string) gatewayconfig.Broker {
	c := gatewayconfig.Broker{Name: "gw", Version: "7", Path: "/mcp", Limits: gatewayconfig.Limits{Body: 64 << 10}}
	for _, name := range names {
		s := gatewayconfig.Server{
			Name: name, URL: "http://" + name + "/mcp?x=1", Prefix: name + "_",
			ListTimeout: gatewayconfig.Duration(5 * time.Second),
		}
		if len(names) > 1 {
			s.Label = name
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// request sends a request with the headers of a client that behaves; header
// changes them, an empty value takes one away.
func (g *gateway) request(verb, body string, header map[string]string) answer {
	g.t.Helper()
	var reader io.Reader
	if verb == http.MethodPost {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(verb, "http://gateway"+cmp.Or(g.path, "/mcp"), reader)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		if value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Set(name, value)
		}
	}
	resp, err := g.public.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

const initializeRequest = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"c","version":"1"}}}`

// open begins a session and returns its id.
func (g *gateway) open() string {
	g.t.Helper()
	got := g.request("POST", initializeRequest, nil)
	id := got.header.Get("Mcp-Session-Id")
	if got.status != 200 || len(id) != 43 {
		g.t.Fatalf("initialize: %d %s, session %q", got.status, got.body, id)
	}
	return id
}

// ask sends a request without params in a session and returns the raw result.
func (g *gateway) ask(id, method string) string {
	g.t.Helper()
	got := g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"`+method+`"}`, map[string]string{"Mcp-Session-Id": id})
	result, ok := strings.CutPrefix(got.body, `{"jsonrpc":"2.0","id":1,"result":`)
	if got.status != 200 || !ok || !json.Valid([]byte(got.body)) {
		g.t.Fatalf("%s: %d %s", method, got.status, got.body)
	}
	return strings.TrimSuffix(result, "}")
}

// events is a client's open event stream.
type events struct {
	lines chan string // closed at the end of the stream
	close func()
}

func (g *gateway) listen(id string) *events {
	g.t.Helper()
	return g.listenBehind(id, "")
}

// listenBehind opens a stream with a Last-Event-ID, none if that is empty.
func (g *gateway) listenBehind(id, after string) *events {
	g.t.Helper()
	synctest.Wait() // until the broker follows the store
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://gateway/mcp", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Mcp-Session-Id", id)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	for name, value := range g.as {
		r.Header.Set(name, value)
	}
	resp, err := g.public.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		g.t.Fatalf("GET: %d %v", resp.StatusCode, resp.Header)
	}
	e := &events{lines: make(chan string, 1000), close: cancel}
	go func() {
		defer close(e.lines)
		defer func() { _ = resp.Body.Close() }()
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			if s.Text() != "" {
				e.lines <- s.Text()
			}
		}
	}()
	g.t.Cleanup(cancel)
	return e
}

// drain returns the lines that have come so far, "closed" at the end.
func (e *events) drain() []string {
	var out []string
	for {
		select {
		case line, ok := <-e.lines:
			if !ok {
				return append(out, "closed")
			}
			out = append(out, line)
		default:
			return out
		}
	}
}

// raw returns a server with everything, and some tools.
func raw(tools ...string) *rawserver.Server {
	s := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "backend", Results: rawserver.Empty()}
	s.Results["tools/list"] = toolList(tools...)
	return s
}

func toolList(names ...string) string {
	var items []string
	for _, name := range names {
		items = append(items, `{"name":"`+name+`"}`)
	}
	return `{"tools":[` + strings.Join(items, ",") + `]}`
}

// count is how many streams and listeners a hub has.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams) + len(h.listeners)
}
