package harness

import (
	"context"
	"encoding/json"
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
	socket, _, _ := strings.Cut(g.WaitLine(g.Stderr(), `"status": "unix:`), `"`)
	web := &http.Client{Timeout: Patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := web.Get("http://gateway/status")
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var status struct{ Servers []ServerStatus }
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return status.Servers
}
