package security

import (
	"encoding/base64"
	"net/http"
	"strings"

	"mcp-gateway/test/e2e/harness"
)

func transportRows() []row {
	return []row{
		{1, "Every request's Origin is checked, before credentials and servers",
			"basic/transports/streamable-http, Security; 2025-11-25 basic/transports", origins},
		{2, "Only the gateway's own names are served, and by default on loopback only",
			"basic/transports/streamable-http, Security", hosts},
	}
}

func origins(s *stage) {
	w, guarded := s.plain(), s.guarded()
	c := harness.Connect(s.T, w.URL)
	w.forget()
	discover := modern(harness.NewClient(s.T, w.URL), "server/discover", "")
	for name, try := range map[string]func(*harness.Client) harness.Response{
		"POST": func(c *harness.Client) harness.Response { return c.Post(call("1", "a_tool")) },
		"GET": func(c *harness.Client) harness.Response {
			return c.With("Accept: text/event-stream").Do(http.MethodGet, "")
		},
		"DELETE":   func(c *harness.Client) harness.Response { return c.Do(http.MethodDelete, "") },
		"discover": func(c *harness.Client) harness.Response { return c.Post(modernBody("server/discover", "")) },
	} {
		for _, origin := range []string{"http://evil.example", "null", "https://app.example.evil.example", "https://app.example:8443", "https://xn--pp-mia.example", "https://evil@app.example", "http://[::1]", "file://"} {
			from := c
			if name == "discover" {
				from = discover
			}
			r := try(from.With("Origin: " + origin))
			s.wantCode(name+" from "+origin, r, http.StatusForbidden, -32600)
			if reply, _ := r.Reply(); string(reply.ID) != "null" {
				s.Errorf("%s: the error has an id: %s", name, r)
			}
		}
	}
	w.untouched(s.T)
	for _, origin := range []string{"", "https://app.example", "http://localhost:3000"} {
		if r := c.With("Origin: " + origin).Post(call("1", "b_tool")); !served(r) {
			s.Errorf("from %q: %s", origin, r)
		}
	}
	// Before credentials, and at the addresses that need none.
	nobody := harness.NewClient(s.T, guarded.URL).With("Origin: http://evil.example")
	s.wantStatus("without a token", nobody.Post(call("1", "a_tool")), http.StatusForbidden)
	nobody.URL = strings.TrimSuffix(guarded.URL, "/mcp") + metadataPath
	s.wantStatus("metadata", nobody.Do(http.MethodGet, ""), http.StatusForbidden)
	guarded.untouched(s.T)
}

func hosts(s *stage) {
	w := s.plain()
	c := harness.Connect(s.T, w.URL)
	w.forget()
	for _, host := range []string{"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "169.254.169.254", "[::1]", "0.0.0.0", "2130706433", "localhost:80,evil.example", "localhost:evil", "xn--lcalhost-b1a"} {
		r := raw(s.T, w.Gateway, post("/mcp", host, c.Session(), ""))
		if r.Status < 400 || r.Status > 499 {
			s.Errorf("%s: %s", host, r)
		}
	}
	w.untouched(s.T)
	for _, host := range []string{"localhost", "127.0.0.1:9999", "LOCALHOST"} {
		if r := raw(s.T, w.Gateway, post("/mcp", host, c.Session(), "")); !served(r) {
			s.Errorf("%s: %s", host, r)
		}
	}
	if listen := listens(s.T, "servers: []\n"); !strings.HasPrefix(listen, "127.0.0.1") {
		s.Errorf("listens at %s by default", listen)
	}
}

// messages are of 2026-07-28 in these helpers.

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{CAPABILITIES}}`

// modernBody is a request with raw params but for _meta; its client declares the
// capabilities, if any.
func modernBody(method, params string, capabilities ...string) string {
	if params != "" {
		params += ","
	}
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params +
		strings.Replace(modernMeta, "CAPABILITIES", strings.Join(capabilities, ","), 1) + `}}`
}

// modern is c with the headers of such a request.
func modern(c *harness.Client, method, name string, headers ...string) *harness.Client {
	for i := range name {
		if name[i] >= 0x80 {
			name = "=?base64?" + base64.StdEncoding.EncodeToString([]byte(name)) + "?="
			break
		}
	}
	return c.With(append([]string{harness.HeaderRevision + ": 2026-07-28", "Mcp-Method: " + method, "Mcp-Name: " + name}, headers...)...)
}

// modernCall calls a tool.
func modernCall(c *harness.Client, name string, capabilities ...string) harness.Response {
	return modern(c, "tools/call", name).Post(modernBody("tools/call", `"name":"`+name+`"`, capabilities...))
}
