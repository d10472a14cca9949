package upstream

import (
	"context"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/internal/gatewayconfig"
)

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
