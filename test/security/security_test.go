// Package security holds the gateway to its security requirements on a real Envoy
// with real servers: the table of them, one row each (`make security` prints it),
// and what hostile clients and servers send. It sends raw bytes where client
// libraries are too polite.
package security

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// word stands in whatever a client smuggles: no server may receive it.
const word = "smuggled"

// script is a server with a tool, a prompt and a resource.
func script(name string) mcpserver.Script {
	return mcpserver.Script{Name: name, Pages: map[string][]string{
		mcpserver.ToolsList:     {`{"name":"tool","inputSchema":{"type":"object"}}`},
		mcpserver.PromptsList:   {`{"name":"prompt"}`},
		mcpserver.ResourcesList: {`{"name":"resource","uri":"test://resource"}`},
	}}
}

// world is a gateway before two servers, a and b, whose names have prefixes.
type world struct {
	*harness.Gateway
	a, b *mcpserver.Server
}

func newWorld(t *testing.T, lines ...string) world {
	t.Helper()
	return worldOf(t, harness.Config{Gateway: lines}, script("a"), script("b"))
}

func worldOf(t *testing.T, config harness.Config, a, b mcpserver.Script, args ...string) world {
	t.Helper()
	w := world{a: mcpserver.Start(t, a), b: mcpserver.Start(t, b)}
	config.Servers = []harness.Server{
		{Name: "a", URL: w.a.URL(), Prefix: "a_"},
		{Name: "b", URL: w.b.URL(), Prefix: "b_"},
	}
	w.Gateway = harness.Run(t, config, args...)
	return w
}

// forget drops what both servers have received.
func (w world) forget() {
	w.a.Forget()
	w.b.Forget()
}

// calls are the requests of clients that have reached a server.
func calls(s *mcpserver.Server) []mcpserver.Request {
	var got []mcpserver.Request
	for _, method := range []string{"tools/call", "prompts/get", "resources/read", "completion/complete"} {
		got = append(got, s.Received(method)...)
	}
	return got
}

// untouched checks that no call has reached any server.
func (w world) untouched(t *testing.T) {
	t.Helper()
	for _, s := range []*mcpserver.Server{w.a, w.b} {
		for _, r := range calls(s) {
			t.Errorf("a server has received %s", r.Body)
		}
	}
}

func call(id, name string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, id, name)
}

// dial connects to the gateway. The connection is closed with the test.
func dial(t *testing.T, g *harness.Gateway) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(harness.Patience))
	return conn.(*net.TCPConn)
}

// raw sends bytes and returns the first answer. A connection that is closed
// without one has status 0.
func raw(t *testing.T, g *harness.Gateway, request string) harness.Response {
	t.Helper()
	conn := dial(t, g)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return answer(bufio.NewReader(conn))
}

func answer(from *bufio.Reader) harness.Response {
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		return harness.Response{}
	}
	defer resp.Body.Close() //nolint:errcheck // read as far as it goes
	body, _ := io.ReadAll(resp.Body)
	return harness.Response{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
}

// head is a request of a session up to its blank line, without a length.
func head(target, host, session, more string) string {
	return "POST " + target + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\n" +
		"Accept: application/json, text/event-stream\r\nMcp-Session-Id: " + session + "\r\n" + more
}

// post is a whole request with a call of b's tool.
func post(target, host, session, more string) string {
	body := call("1", "b_tool")
	return head(target, host, session, more) + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// served reports whether the answer is that of b's tool.
func served(r harness.Response) bool {
	return r.Status == http.StatusOK && strings.Contains(r.Body, `"b:tool"`)
}

// listens is where Envoy listens for a configuration.
func listens(t *testing.T, config string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := harness.Start(t, "render", harness.Built(t, "mcp-gateway"), harness.Args(t, "render", file))
	if code := p.ExitCode(harness.Patience); code != 0 {
		t.Fatalf("render: exit code %d", code)
	}
	lines, _ := p.Stdout().All()
	text := strings.Join(lines, "\n")
	_, text, _ = strings.Cut(text, "  listeners:\n")
	_, text, _ = strings.Cut(text, "socket_address:\n")
	address, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(address), "address:"))
}
