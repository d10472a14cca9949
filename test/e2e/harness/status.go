package harness

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
)

// ServerStatus is what GET /status says of one server.
type ServerStatus struct {
	Name, State, Error, Era, Revision string
	Tools                             int
}

// Status asks the gateway for the state of its servers, in their order.
func (g *Gateway) Status() []ServerStatus {
	g.t.Helper()
	var status struct{ Servers []ServerStatus }
	if err := json.Unmarshal([]byte(g.internal("/status")), &status); err != nil {
		g.t.Fatalf("status: %v", err)
	}
	return status.Servers
}

// StatusText is what GET /status says, as it stands.
func (g *Gateway) StatusText() string {
	g.t.Helper()
	return g.internal("/status")
}

// Metrics asks the broker for its metrics, as Prometheus reads them.
func (g *Gateway) Metrics() string {
	g.t.Helper()
	return g.internal("/metrics")
}

// Internal is the address of the broker's internal listener, "unix:/path".
func (g *Gateway) Internal() string {
	g.t.Helper()
	socket, _, _ := strings.Cut(g.WaitLine(g.Stderr(), `"status": "unix:`), `"`)
	return "unix:" + socket
}

// RawStatus is what Status reads.
func (g *Gateway) RawStatus() string {
	g.t.Helper()
	return g.internal("/status")
}

// internal asks the broker's internal listener.
func (g *Gateway) internal(path string) string {
	g.t.Helper()
	socket := strings.TrimPrefix(g.Internal(), "unix:")
	web := &http.Client{Timeout: Patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := web.Get("http://gateway" + path)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: status %d: %v", path, resp.StatusCode, err)
	}
	return string(body)
}
