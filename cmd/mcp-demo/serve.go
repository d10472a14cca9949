package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

// grace is how long running calls may take to end after the signal.
const grace = 2 * time.Second

// serve answers at /mcp, and GET /healthz with 200, until ctx ends. Its address
// goes to log once it listens.
func serve(ctx context.Context, name, listen string, m *server.MCPServer, log io.Writer) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%s: %w; choose another address with --listen", name, err)
	}
	mux := http.NewServeMux()
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	mcp := server.NewStreamableHTTPServer(m, server.WithStreamableHTTPServer(h))
	mux.Handle("/mcp", mcp)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})

	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	_, _ = fmt.Fprintf(log, "%s: serving http://%s/mcp\n", name, l.Addr())
	select {
	case err := <-served:
		return fmt.Errorf("%s: %w", name, err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	// Shutdown also ends the event streams, which no client would.
	if err := mcp.Shutdown(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: end: %w", name, err)
	}
	_ = h.Close()
	return nil
}
