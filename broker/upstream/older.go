package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"mcp-gateway/internal/sse"
)

// olderPatience bounds the look for an older transport, olderBytes what is read.
const (
	olderPatience = 2 * time.Second
	olderBytes    = 16 << 10
)

// explain adds to an error of initialize what is the matter with a server of
// HTTP+SSE: it refuses the request, but names an endpoint on the stream that a GET
// opens (2025-11-25, basic/transports, Backwards Compatibility). Such a server is
// reached through a bridge, which the configuration has to ask for.
func (s *Server) explain(ctx context.Context, err error) error {
	status, ok := errors.AsType[statusError](err)
	if !ok {
		return err
	}
	switch int(status) {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		if s.client.older(ctx) {
			return fmt.Errorf("%w, and speaks HTTP+SSE: configure transport: sse", err)
		}
	}
	return err
}

// older reports whether a GET brings the endpoint of HTTP+SSE as its first event
// (2024-11-05, basic/transports, HTTP with SSE).
func (c *client) older(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, olderPatience)
	defer cancel()
	resp, err := c.send(ctx, outgoing{verb: http.MethodGet, accept: typeStream, own: true})
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || mediaType(resp) != typeStream {
		return false
	}
	var first []byte
	parser := sse.Parser{Limit: olderBytes}
	body, chunk := io.LimitReader(resp.Body, olderBytes), make([]byte, 1<<10)
	for {
		n, err := body.Read(chunk)
		if parser.Feed(chunk[:n], func(e sse.Event) error {
			if first == nil && e.HasData {
				first = append([]byte{}, e.Name...)
			}
			return nil
		}) != nil {
			return false
		}
		if first != nil || err != nil {
			return bytes.Equal(first, []byte("endpoint"))
		}
	}
}
