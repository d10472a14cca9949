package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// TestRequestsThatGetAnError has a row for each way in which a request can be
// wrong; ID stands for every kind of id in turn.
func TestRequestsThatGetAnError(t *testing.T) {
	t.Parallel()
	alpha := mcpserver.Start(t, one("alpha"))
	beta := mcpserver.Start(t, one("beta"))
	g := harness.Run(t, harness.Config{
		Limits:  []string{"body: 65536"},
		Servers: []harness.Server{behind(alpha, "alpha"), behind(beta, "beta")},
	})
	c := harness.Connect(t, g.URL)
	beta.Handle("resources/read", "test://gone", func(x *mcpserver.Exchange) {
		x.Error(`{"code":-32002,"message":"Resource not found","data":{"uri":"test://gone"}}`)
	})

	const (
		parse   = mcp.CodeParseError
		invalid = mcp.CodeInvalidRequest
		params  = mcp.CodeInvalidParams
	)
	for _, row := range []struct {
		name         string
		body         string
		status, code int
		noID         bool // the error cannot know the request's id
	}{
		{name: "unknown tool", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"nope"}}`, status: 200, code: params},
		{name: "unknown tool of a known prefix", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"alpha_nope"}}`, status: 200, code: params},
		{name: "tool without its prefix", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"tool"}}`, status: 200, code: params},
		{name: "tool in other case", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"alpha_Tool"}}`, status: 200, code: params},
		{name: "prompt called as a tool", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"alpha_prompt"}}`, status: 200, code: params},
		{name: "unknown prompt", body: `{"jsonrpc":"2.0","id":ID,"method":"prompts/get","params":{"name":"alpha_nope"}}`, status: 200, code: params},
		{name: "tool name missing", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{}}`, status: 200, code: params},
		{name: "tool params missing", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call"}`, status: 200, code: params},
		{name: "tool name a number", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":1}}`, status: 200, code: params},
		{name: "tool name null", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":null}}`, status: 200, code: params},
		{name: "tool name an object", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":{"name":"alpha_tool"}}}`, status: 200, code: params},
		{name: "tool name empty", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":""}}`, status: 200, code: params},
		{name: "prompt name missing", body: `{"jsonrpc":"2.0","id":ID,"method":"prompts/get","params":{}}`, status: 200, code: params},
		{name: "prompt name no string", body: `{"jsonrpc":"2.0","id":ID,"method":"prompts/get","params":{"name":true}}`, status: 200, code: params},
		{name: "URI missing", body: `{"jsonrpc":"2.0","id":ID,"method":"resources/read","params":{}}`, status: 200, code: params},
		{name: "URI no string", body: `{"jsonrpc":"2.0","id":ID,"method":"resources/read","params":{"uri":[]}}`, status: 200, code: params},
		{name: "URI of no server", body: `{"jsonrpc":"2.0","id":ID,"method":"resources/read","params":{"uri":"gamma+test://resource"}}`, status: 200, code: mcp.CodeResourceNotFound},
		{name: "URI without label", body: `{"jsonrpc":"2.0","id":ID,"method":"resources/read","params":{"uri":"test://resource"}}`, status: 200, code: mcp.CodeResourceNotFound},
		{name: "unknown cursor", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/list","params":{"cursor":"page-1"}}`, status: 200, code: params},
		{name: "unknown method", body: `{"jsonrpc":"2.0","id":ID,"method":"no/such"}`, status: 200, code: mcp.CodeMethodNotFound},
		{name: "method in other case", body: `{"jsonrpc":"2.0","id":ID,"method":"Tools/Call","params":{"name":"alpha_tool"}}`, status: 200, code: mcp.CodeMethodNotFound},
		{name: "empty body", body: "", status: 400, code: parse, noID: true},
		{name: "no JSON", body: "hello", status: 400, code: parse, noID: true},
		{name: "cut", body: `{"jsonrpc":"2.0","id":1,"method":"ping"`, status: 400, code: parse, noID: true},
		{name: "something after it", body: `{"jsonrpc":"2.0","id":1,"method":"ping"}{}`, status: 400, code: parse, noID: true},
		{name: "a comma too many", body: `{"jsonrpc":"2.0","id":1,"method":"ping",}`, status: 400, code: parse, noID: true},
		{name: "a number with a leading zero", body: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":01}}`, status: 400, code: parse, noID: true},
		{name: "invalid UTF-8 in an argument", body: "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"alpha_tool\",\"arguments\":{\"a\":\"\xff\"}}}", status: 400, code: parse, noID: true},
		{name: "invalid UTF-8 in a name", body: "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"alpha_tool\xc0\x80\"}}", status: 400, code: parse, noID: true},
		{name: "deeper than any tool needs", body: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}}`, status: 400, code: invalid, noID: true},
		{name: "a string", body: `"tools/call"`, status: 400, code: invalid, noID: true},
		{name: "a batch", body: `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, status: 400, code: invalid, noID: true},
		{name: "an id that is an object", body: `{"jsonrpc":"2.0","id":{},"method":"ping"}`, status: 400, code: invalid, noID: true},
		{name: "an id that is null", body: `{"jsonrpc":"2.0","id":null,"method":"ping"}`, status: 400, code: invalid, noID: true},
		{name: "a method that is a number", body: `{"jsonrpc":"2.0","id":ID,"method":1}`, status: 400, code: invalid},
		{name: "two names", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"alpha_tool","name":"beta_tool"}}`, status: 400, code: invalid},
		{name: "two methods", body: `{"jsonrpc":"2.0","id":ID,"method":"ping","method":"tools/call","params":{"name":"alpha_tool"}}`, status: 400, code: invalid},
		{name: "two ids", body: `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, status: 400, code: invalid, noID: true},
		{name: "two params", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"alpha_tool"},"params":{"name":"beta_tool"}}`, status: 400, code: invalid},
		{name: "a name in other case", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"alpha_tool","Name":"beta_tool"}}`, status: 400, code: invalid},
		{name: "a method in other case", body: `{"jsonrpc":"2.0","id":ID,"method":"ping","METHOD":"tools/call"}`, status: 400, code: invalid},
		{name: "params with a long s", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"alpha_tool"},"paramſ":{"name":"beta_tool"}}`, status: 400, code: invalid},
		{name: "an escaped key", body: `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"n\u0061me":"alpha_tool"}}`, status: 400, code: invalid},
		{name: "body over the limit", body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"alpha_tool","arguments":{"a":"` + strings.Repeat("a", 65536) + `"}}}`, status: 413, code: invalid, noID: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			kinds := []string{"1"}
			if !row.noID && strings.Contains(row.body, "ID") {
				kinds = ids
			}
			for _, id := range kinds {
				body := strings.Replace(row.body, `"id":ID`, `"id":`+id, 1)
				want := id
				if row.noID {
					want = "null"
				}
				if r := c.Post(body); row.noID {
					wantErrorAnyID(t, r, row.status, row.code)
				} else {
					wantError(t, r, row.status, row.code, want)
				}
			}
		})
	}
	for _, s := range []*mcpserver.Server{alpha, beta} {
		if calls := len(s.Received("tools/call")) + len(s.Received("prompts/get")) + len(s.Received("resources/read")); calls != 0 {
			t.Errorf("%d of these requests reached the server", calls)
		}
	}
	const gone = `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"beta+test://gone"}}`
	r := c.Post(gone)
	if want := `{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"Resource not found","data":{"uri":"beta+test://gone"}}}`; r.Body != want {
		t.Errorf("the server's own error about a resource: %s\nwant %s", r, want)
	}
}

// wantErrorAnyID is wantError for a request whose id may or may not be known.
func wantErrorAnyID(t *testing.T, r harness.Response, status, code int) {
	t.Helper()
	id := "null"
	if reply, err := r.Reply(); err == nil && string(reply.ID) == "1" {
		id = "1"
	}
	wantError(t, r, status, code, id)
}

// A session is needed for everything but initialize, and only a live one will do.
func TestSessionsAreCheckedOnEveryMethod(t *testing.T) {
	t.Parallel()
	backend := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(backend, "a"), behind(mcpserver.Start(t, one("b")), "b")}})
	live := harness.Connect(t, g.URL)
	wantTool(t, live, "a_tool", "a", "tool")
	ended := harness.Connect(t, g.URL)
	wantTool(t, ended, "a_tool", "a", "tool")
	if r := ended.Do(http.MethodDelete, ""); r.Status != http.StatusOK && r.Status != http.StatusNoContent {
		t.Fatalf("DELETE: %s", r)
	}
	backend.Forget()
	requests := map[string]string{
		"ping":                     `{"jsonrpc":"2.0","id":ID,"method":"ping"}`,
		"tools/list":               `{"jsonrpc":"2.0","id":ID,"method":"tools/list"}`,
		"tools/call":               `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"a_tool"}}`,
		"tools/call of no tool":    `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"nope"}}`,
		"prompts/list":             `{"jsonrpc":"2.0","id":ID,"method":"prompts/list"}`,
		"prompts/get":              `{"jsonrpc":"2.0","id":ID,"method":"prompts/get","params":{"name":"a_prompt"}}`,
		"resources/list":           `{"jsonrpc":"2.0","id":ID,"method":"resources/list"}`,
		"resources/templates/list": `{"jsonrpc":"2.0","id":ID,"method":"resources/templates/list"}`,
		"resources/read":           `{"jsonrpc":"2.0","id":ID,"method":"resources/read","params":{"uri":"a+test://resource"}}`,
		"unknown method":           `{"jsonrpc":"2.0","id":ID,"method":"no/such"}`,
		"a response":               `{"jsonrpc":"2.0","id":ID,"result":{}}`,
		"a notification":           `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
	}
	for kind, session := range map[string]struct {
		id     string
		status int
	}{
		"none":    {"", 400},
		"unknown": {strings.Repeat("A", 43), 404},
		"odd":     {"x", 404},
		"deleted": {ended.Session(), 404},
	} {
		c := live.With(harness.HeaderSession + ":" + session.id)
		for name, body := range requests {
			t.Run(kind+" session, "+name, func(t *testing.T) {
				id := "null"
				if strings.Contains(body, `"method"`) && strings.Contains(body, "ID") {
					id = `"\u0041"`
				}
				r := c.Post(strings.Replace(body, "ID", `"\u0041"`, 1))
				if name == "a response" {
					// Its id is that of a request of the server: either is right.
					if reply, err := r.Reply(); err == nil {
						id = string(reply.ID)
					}
				}
				wantError(t, r, session.status, mcp.CodeInvalidRequest, id)
			})
		}
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			t.Run(kind+" session, "+method, func(t *testing.T) {
				wantError(t, c.Do(method, ""), session.status, mcp.CodeInvalidRequest, "null")
			})
		}
	}
	if got := backend.Requests(); len(got) > 0 {
		// The end of the session that was deleted may arrive only now.
		for _, r := range got {
			if r.HTTPMethod == http.MethodPost {
				t.Errorf("the server received %s", r.Body)
			}
		}
	}
	wantTool(t, live, "a_tool", "a", "tool")
}

// What is wrong with the HTTP request is told by the status, with a JSON-RPC
// error for clients that look only at the body.
func TestHTTPThatIsRefused(t *testing.T) {
	t.Parallel()
	backend := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{
		Gateway: []string{"hostnames: [localhost, 127.0.0.1, mcp.example.com]", `allowedOrigins: ["https://app.example"]`},
		Servers: []harness.Server{behind(backend, "a")},
	})
	c := harness.Connect(t, g.URL)
	at := func(path string) *harness.Client {
		other := *c
		other.URL = strings.TrimSuffix(g.URL, "/mcp") + path
		return &other
	}
	backend.Forget()
	for _, row := range []struct {
		name   string
		client *harness.Client
		method string
		status int
	}{
		{"form content type", c.With("Content-Type: application/x-www-form-urlencoded"), "POST", 415},
		{"text content type", c.With("Content-Type: text/plain"), "POST", 415},
		{"no content type", c.With("Content-Type:"), "POST", 415},
		{"compressed content", c.With("Content-Encoding: gzip"), "POST", 415},
		{"Accept of HTML", c.With("Accept: text/html"), "POST", 406},
		{"Accept of JSON alone", c.With("Accept: application/json"), "POST", 406},
		{"Accept of streams alone", c.With("Accept: text/event-stream"), "POST", 406},
		{"Accept of JSON for a stream", c.With("Accept: application/json"), "GET", 406},
		{"PUT", c, "PUT", 405},
		{"PATCH", c, "PATCH", 405},
		{"HEAD", c, "HEAD", 405},
		{"another path", at("/other"), "POST", 404},
		{"a path below", at("/mcp/below"), "POST", 404},
		{"a path below by GET", at("/mcp/below"), "GET", 404},
		{"a path that begins alike", at("/mcpx"), "POST", 404},
		{"the path in other case", at("/MCP"), "POST", 404},
		{"a path with dots", at("/other/../mcp/x"), "POST", 404},
		{"the root", at("/"), "POST", 404},
		{"a foreign origin", c.With("Origin: https://evil.example"), "POST", 403},
		{"the null origin", c.With("Origin: null"), "POST", 403},
		{"an origin that begins well", c.With("Origin: https://app.example.evil.example"), "POST", 403},
		{"an allowed origin on another port", c.With("Origin: https://app.example:8443"), "POST", 403},
		{"a foreign origin on GET", c.With("Origin: https://evil.example"), "GET", 403},
		{"a foreign origin on DELETE", c.With("Origin: https://evil.example"), "DELETE", 403},
		{"a foreign host", c.With("Host: evil.example"), "POST", 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := ""
			if row.method != http.MethodGet && row.method != http.MethodDelete {
				body = call("1", "a_tool")
			}
			r := row.client.Do(row.method, body)
			if row.method == http.MethodHead {
				if r.Status != row.status {
					t.Errorf("status %d, want %d", r.Status, row.status)
				}
				return
			}
			wantErrorAnyID(t, r, row.status, mcp.CodeInvalidRequest)
			if allow := r.Header.Get("Allow"); row.status == 405 && allow == "" {
				t.Error("405 without Allow")
			}
		})
	}
	if got := backend.Received("tools/call"); len(got) > 0 {
		t.Errorf("%d of these reached the server", len(got))
	}
	for name, client := range map[string]*harness.Client{
		"charset":             c.With("Content-Type: application/json; charset=utf-8"),
		"content type's case": c.With("Content-Type: Application/JSON"),
		"any accept":          c.With("Accept: */*"),
		"no accept":           c.With("Accept:"),
		"accept with q":       c.With("Accept: text/event-stream;q=0.5 , application/json;q=0.9"),
		"allowed origin":      c.With("Origin: https://app.example"),
		"own origin":          c.With("Origin: http://localhost:3000"),
		"own host":            c.With("Host: mcp.example.com"),
		"own host with port":  c.With("Host: MCP.example.com:8888"),
		"no revision header":  c.With(harness.HeaderRevision + ":"),
	} {
		t.Run(name+" passes", func(t *testing.T) {
			if r := client.Post(call("1", "a_tool")); !ok(r) {
				t.Error(r)
			}
		})
	}
}

// Clients of a stateless revision that is not served learn which are.
func TestUnknownStatelessRevisionIsRefused(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a")}})
	c := harness.NewClient(t, g.URL)
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2027-01-01","io.modelcontextprotocol/clientCapabilities":{}}`
	for name, row := range map[string]struct {
		client *harness.Client
		body   string
	}{
		"discover": {c.With("MCP-Protocol-Version: 2027-01-01", "Mcp-Method: server/discover"),
			`{"jsonrpc":"2.0","id":ID,"method":"server/discover","params":{` + meta + `}}`},
		"tools/call": {c.With("MCP-Protocol-Version: 2027-01-01", "Mcp-Method: tools/call", "Mcp-Name: a_tool"),
			`{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"a_tool",` + meta + `}}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, id := range ids {
				reply := wantError(t, row.client.Post(strings.Replace(row.body, "ID", id, 1)), 400, mcp.CodeUnsupportedVersion, id)
				var data struct {
					Supported []string
					Requested string
				}
				if err := json.Unmarshal(reply.Error.Data, &data); err != nil {
					t.Fatalf("data: %v", err)
				}
				if fmt.Sprint(data.Supported) != "[2026-07-28 2025-11-25 2025-06-18 2025-03-26]" || data.Requested != "2027-01-01" {
					t.Errorf("data %s", reply.Error.Data)
				}
			}
		})
	}
}

// A GET and a DELETE have no body, which must not keep one from being refused.
func TestBodyWhereNoneBelongs(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{
		Limits:  []string{"body: 4096"},
		Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a"), behind(mcpserver.Start(t, one("b")), "b")},
	})
	c := harness.Connect(t, g.URL)
	for _, verb := range []string{http.MethodGet, http.MethodDelete} {
		if r := c.Do(verb, strings.Repeat("x", 6000)); r.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %s", verb, r)
		}
	}
	wantTool(t, c, "a_tool", "a", "tool")
}
