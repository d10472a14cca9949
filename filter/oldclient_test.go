package filter

import (
	"testing"

	"mcp-gateway/internal/mcp"
)

func oldGateway(t *testing.T) *Gateway {
	t.Helper()
	cfg := testConfig()
	cfg.SSEPath = "/mcp/sse"
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func edit(d *Decision, name string) string {
	for _, e := range d.Edits {
		if e.Name == name && !e.Remove {
			return string(e.Value)
		}
	}
	return ""
}

func TestOldClientsGoToTheBroker(t *testing.T) {
	t.Parallel()
	g := oldGateway(t)
	var s Stream
	get := func(path string, more ...string) *Decision {
		s.Reset(g)
		return s.RequestHeaders(postHeaders(append([]string{":method", "GET", ":path", path, "accept", "text/event-stream",
			"mcp-session-id", "-", "mcp-protocol-version", "2024-11-05"}, more...)...), true, second)
	}
	if d := get("/mcp/sse", "x-mcp-cluster", "mcp-server-docs"); d.Action != Pass || !d.Reroute || s.phase != phaseBroker {
		t.Errorf("stream: %+v", d)
	}
	for path, status := range map[string]int{
		"/mcp/ss": 400, "/mcp/sse2": 400, // could be views, which have no such version
		"/mcp/sse/": 404, "/mcp/sse/messages/": 404, "/mcp/messages": 404, "/mcp/sse/messages?sessionId=x": 405,
	} {
		if d := get(path); d.Status != status {
			t.Errorf("GET %s: status %d, want %d", path, d.Status, status)
		}
	}
	post := func(body string, more ...string) *Decision {
		s.Reset(g)
		d := s.RequestHeaders(postHeaders(append([]string{":path", "/mcp/sse/messages?sessionId=x", "accept", "-",
			"mcp-session-id", "-", "mcp-protocol-version", "2024-11-05"}, more...)...), false, second)
		if d.Action == NeedBody {
			d = s.RequestBody([]byte(body), second)
		}
		return d
	}
	if d := post(`what the broker will judge`); d.Action != Pass || s.phase != phaseBroker || d.Splice.Start != d.Splice.End {
		t.Errorf("message: %+v", d)
	}
	if d := post("{}", "accept", "application/json"); d.Action != Pass {
		t.Errorf("message that accepts JSON alone: %+v", d)
	}
	for name, test := range map[string]struct {
		header string
		value  string
		status int
	}{
		"host": {":authority", "evil.example", 403}, "origin": {"origin", "https://evil.example", 403}, "type": {"content-type", "text/plain", 415},
		"length": {"content-length", "5000", 413}, "method": {":method", "DELETE", 405},
	} {
		if d := post("{}", test.header, test.value); d.Status != test.status {
			t.Errorf("%s: status %d, want %d", name, d.Status, test.status)
		}
	}
	if d := post(string(make([]byte, 5000))); d.Status != 413 {
		t.Errorf("long body: %+v", d)
	}
	// What is told to be elsewhere is not here.
	g.cfg.SSEPath = ""
	if d := get("/mcp/sse"); d.Status != 404 {
		t.Errorf("turned off: %+v", d)
	}
}

func TestBatchesGoToTheBroker(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	var s Stream
	post := func(more ...string) *Decision {
		s.Reset(g)
		if d := s.RequestHeaders(postHeaders(more...), false, second); d.Action != NeedBody {
			return d
		}
		return s.RequestBody([]byte(`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`), second)
	}
	for _, version := range []string{"-", "2025-03-26"} {
		d := post("mcp-protocol-version", version)
		if d.Action != Pass || !d.Reroute || s.phase != phaseBroker || edit(d, mcp.HeaderLong) != "1" {
			t.Errorf("version %s: %+v", version, d)
		}
	}
	// The client's own mark goes before the filter's comes.
	d := post("mcp-protocol-version", "-", mcp.HeaderLong, "2")
	if len(d.Edits) != 3 || !d.Edits[0].Remove || edit(d, mcp.HeaderLong) != "1" {
		t.Errorf("marked by the client: %+v", d.Edits)
	}
	for _, version := range []string{"2025-06-18", "2025-11-25", "2024-11-05", "2026-07-28"} {
		if d := post("mcp-protocol-version", version); d.Status != 400 || d.Reason != "batch" {
			t.Errorf("version %s: %+v", version, d)
		}
	}
	if d := post("mcp-protocol-version", "-", "mcp-method", "ping"); d.Status != 400 {
		t.Errorf("stateless: %+v", d)
	}
}
