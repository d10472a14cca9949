// Package e2e runs the built gateway on a real Envoy between public MCP clients
// and servers, and between raw bytes and raw bytes. `make e2e` runs it on every
// pinned Envoy; $ENVOY names another one.
package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// behind is a server's entry in the configuration. Unless told otherwise its
// names get the prefix "name_".
func behind(s *mcpserver.Server, name string, extra ...string) harness.Server {
	return harness.Server{Name: name, URL: s.URL(), Prefix: name + "_", Extra: extra}
}

// one is a server with one tool, one prompt and one resource.
func one(name string) mcpserver.Script {
	return mcpserver.Script{Name: name, Pages: map[string][]string{
		mcpserver.ToolsList:     {`{"name":"tool","inputSchema":{"type":"object"}}`},
		mcpserver.PromptsList:   {`{"name":"prompt"}`},
		mcpserver.ResourcesList: {`{"name":"resource","uri":"test://resource"}`},
	}}
}

// tools is a server with tools alone.
func tools(name string, names ...string) mcpserver.Script {
	items := make([]string, len(names))
	for i, n := range names {
		items[i] = fmt.Sprintf(`{"name":%q,"inputSchema":{"type":"object"}}`, n)
	}
	return mcpserver.Script{Name: name, Pages: map[string][]string{mcpserver.ToolsList: {strings.Join(items, ",")}}}
}

// wantError checks a JSON-RPC error that the gateway made itself and ends the
// test if it is none. id is raw.
func wantError(t *testing.T, r harness.Response, status, code int, id string) harness.Reply {
	t.Helper()
	reply, ok := checkError(t, r, status, code, id)
	if !ok {
		t.FailNow()
	}
	return reply
}

// checkError is wantError for any goroutine.
func checkError(t *testing.T, r harness.Response, status, code int, id string) (harness.Reply, bool) {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %d, want %d", r.Status, status)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q, want application/json", got)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.Body), &members); err != nil {
		t.Errorf("no JSON object: %v: %s", err, r)
		return harness.Reply{}, false
	}
	if len(members) != 3 || string(members["jsonrpc"]) != `"2.0"` {
		t.Errorf("want jsonrpc, id and error alone: %s", r.Body)
	}
	reply, err := r.Reply()
	if err != nil || reply.Error == nil {
		t.Errorf("no JSON-RPC error: %s", r)
		return harness.Reply{}, false
	}
	if got := string(members["id"]); got != id {
		t.Errorf("id %s, want %s", got, id)
	}
	if reply.Error.Code != code {
		t.Errorf("code %d (%s), want %d", reply.Error.Code, reply.Error.Message, code)
	}
	if reply.Error.Message == "" {
		t.Error("the error has no message")
	}
	discreet(t, r)
	return reply, true
}

// discreet checks that an answer tells nothing of what is behind the gateway.
func discreet(t *testing.T, r harness.Response) {
	t.Helper()
	for _, secret := range []string{"127.0.0.1", "localhost", ".sock", "cluster", "upstream", "broker", "envoy", "goroutine", "/tmp/"} {
		if strings.Contains(strings.ToLower(r.Body), secret) {
			t.Errorf("the answer tells of %q: %s", secret, r.Body)
		}
	}
}

// call is a tools/call request with a raw id.
func call(id, name string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, id, name)
}

// wantTool checks that a tool answers as an untouched mcpserver does.
func wantTool(t *testing.T, c *harness.Client, exposed, server, name string) {
	t.Helper()
	want := fmt.Sprintf(`{"content":[{"type":"text","text":%q}]}`, server+":"+name)
	if got := c.Tool(exposed, ""); got != want {
		t.Errorf("%s: %s, want %s", exposed, got, want)
	}
}

// ok reports whether an answer holds a result.
func ok(r harness.Response) bool {
	return r.Status == http.StatusOK && !strings.Contains(r.Body, `"error"`)
}
