package security

import (
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// clean checks that b has received one call, as the client meant it, and nothing
// beside it; a nothing at all.
func (w world) clean(t *testing.T, session string) {
	t.Helper()
	for _, r := range calls(w.a) {
		t.Errorf("the other server has received %s", r.Body)
	}
	got := calls(w.b)
	if len(got) != 1 {
		t.Fatalf("%d calls have reached the server, want 1", len(got))
	}
	r := got[0]
	if want := call("1", "tool"); string(r.Body) != want || r.Path != "/mcp" || r.Host != w.b.Addr() {
		t.Errorf("the server was asked at http://%s%s for %s", r.Host, r.Path, r.Body)
	}
	wantCleanHeaders(t, r, session)
}

// wantCleanHeaders checks that a request of the gateway to a server holds nothing
// that is the gateway's, and nothing that a client has smuggled.
func wantCleanHeaders(t *testing.T, r mcpserver.Request, session string) {
	t.Helper()
	for name, values := range r.Header {
		lower := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		text := strings.Join(values, " | ")
		switch {
		case strings.HasPrefix(lower, "x-mcp-"), strings.HasPrefix(lower, "x-envoy-"):
			t.Errorf("the server has received %s: %s", name, text)
		case strings.Contains(text, word), strings.Contains(text, session):
			t.Errorf("the server has received %s: %s", name, text)
		case lower == "te" && text == "trailers": // asks for what cannot come (RFC 9110 section 10.1.4)
		case lower == "connection", lower == "te", lower == "upgrade", lower == "proxy-connection", lower == "keep-alive":
			t.Errorf("the server has received %s: %s", name, text)
		case len(values) != 1:
			t.Errorf("the server has received %d headers %s: %s", len(values), name, text)
		}
	}
}

// Whatever a client does to its headers, a call reaches the server that its name
// says, with headers of the gateway's own, or nobody.
func TestHeadersCannotBeSmuggled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := harness.Connect(t, w.URL)
	session := c.Session()
	c.Tool("b_tool", "")
	w.a.Wait(harness.Patience, "the broker's own streams", func() bool { return w.a.Streams() == 1 && w.b.Streams() == 1 })

	toA, toB := harness.Cluster("a", w.a.URL()), harness.Cluster("b", w.b.URL())
	passes := map[string]string{
		"the server's header":            "X-Mcp-Cluster: " + toA + "\r\n",
		"in capitals":                    "X-MCP-CLUSTER: " + toA + "\r\n",
		"twice":                          "x-mcp-cluster: " + toA + "\r\nX-Mcp-Cluster: " + toB + "\r\n",
		"with underscores":               "X_Mcp_Cluster: " + toA + "\r\nx-mcp_cluster: " + toA + "\r\nx_envoy_retry_on: 5xx\r\n",
		"empty":                          "X-Mcp-Cluster:\r\n",
		"all that the parts use":         "X-Mcp-Long: " + word + "\r\nX-Mcp-Address: " + word + "\r\nX-Mcp-Claims: " + word + "\r\nX-Mcp-Client: " + word + "\r\nX-Mcp-Other: " + word + "\r\n",
		"Envoy's":                        "X-Envoy-Retry-On: " + word + "\r\nX-Envoy-Original-Path: /" + word + "\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 1\r\nX-Envoy-Internal: true\r\nX-Envoy-Decorator-Operation: " + word + "\r\n",
		"nominated by Connection":        "Connection: x-mcp-cluster, X-Mcp-Claims, x-custom\r\nX-Mcp-Cluster: " + toA + "\r\nX-Mcp-Claims: e30\r\nX-Custom: " + word + "\r\n",
		"hop by hop":                     "Connection: keep-alive\r\nKeep-Alive: " + word + "\r\nProxy-Connection: " + word + "\r\nTrailer: X-Mcp-Cluster\r\nUpgrade: " + word + "\r\nTE: gzip\r\n",
		"upgrade to HTTP/2":              "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
		"folded into another":            "X-Custom: x\r\n X-Mcp-Cluster: " + toA + "\r\n",
		"folded into its own":            "X-Mcp-Cluster:\r\n " + toA + "\r\n",
		"behind a return":                "X-Custom: x\rX-Mcp-Cluster: " + toA + "\r\n",
		"behind a bare line end":         "X-Custom: x\nX-Mcp-Cluster: " + toA + "\r\n",
		"length nominated by Connection": "Connection: content-length\r\n",
		"credentials":                    "Authorization: Bearer " + word + "\r\nCookie: " + word + "=1\r\nCookie: b=" + word + "\r\nProxy-Authorization: Basic " + word + "\r\n",
		"mirrored names beside a revision that has none": "MCP-Protocol-Version: 2025-11-25\r\nMcp-Method: tools/" + word + "\r\nMcp-Name: a_tool-" + word + "\r\n",
	}
	for name, more := range passes {
		t.Run(name, func(t *testing.T) {
			w.forget()
			if r := raw(t, w.Gateway, post("/mcp", "localhost", session, more)); !served(r) {
				t.Fatal(r)
			}
			w.clean(t, session)
		})
	}

	body := call("1", "b_tool")
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	start := head("/mcp", "localhost", session, "")
	inner := "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Mcp-Cluster: " + toA + "\r\nContent-Length: 0\r\n\r\n"
	refused := map[string]string{
		"space before the colon":    start + "X-Mcp-Cluster : " + toA + "\r\n" + length + "\r\n" + body,
		"NUL in a value":            start + "X-Custom: a\x00b\r\n" + length + "\r\n" + body,
		"no name":                   start + ": a\r\n" + length + "\r\n" + body,
		"two lengths":               start + length + "Content-Length: 0\r\n\r\n" + body,
		"lengths in a list":         start + fmt.Sprintf("Content-Length: %d, 0\r\n\r\n", len(body)) + body,
		"signed length":             start + fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(body)) + body,
		"negative length":           start + "Content-Length: -1\r\n\r\n" + body,
		"length and chunks":         start + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"chunks under another name": start + "Transfer-Encoding: xchunked\r\n\r\n" + body,
		"chunks not last":           start + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + inner,
		"chunks twice":              start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + inner,
		"chunk size with a sign":    start + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
		"chunk size that overflows": start + "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
		"chunk longer than said":    start + "Transfer-Encoding: chunked\r\n\r\n1\r\n" + body + "\r\n0\r\n\r\n",
		"two hosts":                 start + "Host: 127.0.0.1\r\n" + length + "\r\n" + body,
		"two sessions":              start + "Mcp-Session-Id: " + word + "\r\n" + length + "\r\n" + body,
		"two revisions":             start + "MCP-Protocol-Version: 2025-11-25\r\nMCP-Protocol-Version: 2025-06-18\r\n" + length + "\r\n" + body,
		"two content types":         start + "Content-Type: text/plain\r\n" + length + "\r\n" + body,
		"two origins":               start + "Origin: http://evil.example\r\nOrigin: http://localhost\r\n" + length + "\r\n" + body,
		"a mirrored name":           start + "Mcp-Name: a_tool\r\n" + length + "\r\n" + body,
		"session nominated":         start + "Connection: mcp-session-id\r\n" + length + "\r\n" + body,
		"host nominated":            start + "Connection: host\r\n" + length + "\r\n" + body,
		"no version of HTTP":        strings.Replace(start, " HTTP/1.1", "", 1) + length + "\r\n" + body,
		"no host":                   strings.Replace(start, "Host: localhost\r\n", "", 1) + length + "\r\n" + body,
	}
	for name, request := range refused {
		t.Run(name, func(t *testing.T) {
			w.forget()
			if r := raw(t, w.Gateway, request); r.Status != 0 && (r.Status < 400 || r.Status > 499) && r.Status != 501 {
				t.Error(r)
			}
			c.Request("ping", "") // what came behind would have been read by now
			w.untouched(t)
		})
	}
}

// The endpoint is one path, byte for byte; what a server, or another proxy, would
// make of another spelling does not matter. The parts' own addresses are nowhere.
func TestPathsAreComparedAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	session := harness.Connect(t, w.URL).Session()
	w.forget()
	for _, target := range []string{
		"//mcp", "/mcp/", "/mcp//", "/./mcp", "/x/../mcp", "/mcp/../mcp", "/mcp/..", "/mcp/.", "/%6dcp", "/mcp%2f", "/mcp%2F..%2fmcp", "/%2e/mcp", "/%2e%2e/mcp",
		"/mcp;x=1", "/mcp;", "/mcp#x", "/mcp%23", "/mcp%00", "/mcp\\", "\\mcp", "/MCP", "/mcp%20", "/mcp/a%2fb", "/mcp/..%2f", "/mcp/x\x00", "mcp", "*", "?/mcp", "/?/mcp", "#/mcp",
		"/v1/table", "/v1/resolve", "/v1/replay", "/status", "/metrics", "/healthz", "/readyz", "/bridge/a", "/mcp/bridge/a", "/mcp/v1/resolve", "/stats", "/config_dump", "/debug/pprof/",
		"http://localhost/status", "http://localhost/mcp/../mcp", "http://evil.example/mcp", "http://localhost@evil.example/mcp", "http://evil.example#localhost/mcp", "http:///mcp", "file:///mcp",
	} {
		r := raw(t, w.Gateway, post(target, "localhost", session, ""))
		if r.Status != 0 && (r.Status < 400 || r.Status > 499) {
			t.Errorf("%q: %s", target, r)
		}
	}
	w.untouched(t)
	for _, target := range []string{"/mcp", "/mcp?", "/mcp?x=/../status", "http://localhost/mcp", "HTTP://LOCALHOST/mcp", "http://localhost:80/mcp?x"} {
		w.forget()
		if r := raw(t, w.Gateway, post(target, "localhost", session, "")); !served(r) {
			t.Errorf("%q: %s", target, r)
			continue
		}
		w.clean(t, session)
	}
	// The target names the host, whatever Host says (RFC 9112 section 3.2.2).
	if r := raw(t, w.Gateway, post("http://evil.example/mcp", "localhost", session, "")); r.Status != 403 && r.Status != 0 {
		t.Error(r)
	}
}
