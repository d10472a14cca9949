package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// reaching are the headers that a server may get, as Go spells them.
var reaching = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Content-Length": true, "Content-Type": true, "Last-Event-Id": true,
	"Mcp-Method": true, "Mcp-Name": true, "Mcp-Param-City": true, "Mcp-Protocol-Version": true, "Mcp-Session-Id": true,
	"Traceparent": true, "Tracestate": true, "Transfer-Encoding": true, "User-Agent": true, "X-Forwarded-Proto": true, "X-Request-Id": true,
}

// oldServer is an HTTP+SSE server of 2024-11-05 with one tool, which keeps what it
// received.
type oldServer struct {
	*httptest.Server
	mu      sync.Mutex
	seen    []mcpserver.Request
	streams map[string]chan string
}

func newOldServer(t *testing.T) *oldServer {
	t.Helper()
	o := &oldServer{streams: map[string]chan string{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(func() { o.CloseClientConnections(); o.Close() })
	return o
}

func (o *oldServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	text := string(body)
	method := func(name string) bool { return strings.Contains(text, `"method":"`+name+`"`) }
	o.mu.Lock()
	o.seen = append(o.seen, mcpserver.Request{HTTPMethod: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Trailer: r.Trailer.Clone(), Body: body})
	out := o.streams[r.URL.Query().Get("s")]
	if r.Method == http.MethodGet {
		out = make(chan string, 64)
		o.streams[fmt.Sprint(len(o.seen))] = out
	}
	id := len(o.seen)
	o.mu.Unlock()
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "event: endpoint\ndata: /messages?s=%d\n\n", id)
		for {
			_ = http.NewResponseController(w).Flush()
			select {
			case message := <-out:
				_, _ = fmt.Fprintf(w, "event: message\ndata: %s\n\n", message)
			case <-r.Context().Done():
				return
			}
		}
	}
	w.WriteHeader(http.StatusAccepted)
	_, after, isRequest := strings.Cut(text, `"id":`)
	token, _, _ := strings.Cut(after, ",")
	token = strings.TrimRight(token, "}")
	switch {
	case method("initialize"):
		out <- `{"jsonrpc":"2.0","id":` + token + `,"result":{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"}}}`
	case method("tools/list"):
		out <- `{"jsonrpc":"2.0","id":` + token + `,"result":{"tools":[{"name":"tool","inputSchema":{"type":"object"}}]}}`
	case isRequest && method("tools/call"):
		out <- `{"jsonrpc":"2.0","id":` + token + `,"result":{"content":[]}}`
	}
}

func (o *oldServer) requests() []mcpserver.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.seen)
}

// environment is a server over stdio whose tool tells its whole environment.
const environment = `
import json, os, sys
for line in sys.stdin:
    m = json.loads(line)
    result = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "env", "version": "1"}},
        "tools/list": {"tools": [{"name": "tool", "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": json.dumps(dict(os.environ)) + json.dumps(m)}]},
    }.get(m.get("method"))
    answer = {"result": result} if result else {"error": {"code": -32601, "message": "method not found"}}
    if "id" in m: print(json.dumps({"jsonrpc": "2.0", "id": m["id"], **answer}), flush=True)
`

// everywhere is a gateway in front of one server of each kind, under a token and
// API keys.
type everywhere struct {
	legacy, modern *mcpserver.Server
	old            *oldServer
	gateway        *harness.Gateway
	token          string
}

func startEverywhere(t *testing.T, extra ...string) *everywhere {
	t.Helper()
	script := one("a")
	script.Capabilities = `{"tools":{},"prompts":{},"resources":{"subscribe":true},"logging":{},"completions":{}}`
	e := &everywhere{legacy: mcpserver.Start(t, script), modern: modernServer(t, "m", mcpserver.Modern), old: newOldServer(t)}
	for _, method := range []string{"logging/setLevel", "resources/subscribe", "resources/unsubscribe"} {
		e.legacy.Handle(method, "", func(x *mcpserver.Exchange) { x.Result(`{}`) })
	}
	e.legacy.Handle("completion/complete", "", func(x *mcpserver.Exchange) { x.Result(`{"completion":{"values":[]}}`) })
	issuer := harness.NewIssuer(t)
	e.token = issuer.Token("ada", guarded, scoped)
	e.gateway = harness.Run(t, harness.Config{
		Gateway: []string{`allowedOrigins: ["https://app.example"]`},
		Auth:    issuer.Auth(guarded, "scopes: [mcp]", "apiKeys: {header: X-Api-Key, clients: [{name: canary-client, key: "+apiKey+"}]}"),
		Servers: []harness.Server{
			behind(e.legacy, "a", extra...), behind(e.modern, "m", extra...),
			{Name: "o", URL: e.old.URL + "/sse", Prefix: "o_", Extra: []string{"transport: sse"}},
			{Name: "l", Prefix: "l_", Extra: []string{fmt.Sprintf("command: [%q, -c, %q]", harness.Tool(t, ".tools/venv/bin/python"), environment)}},
		},
	})
	harness.Eventually(t, "all servers", func() bool {
		for _, s := range e.gateway.Status() {
			if s.State != "ready" {
				return false
			}
		}
		return true
	})
	return e
}

// check holds a request to a server against what may reach it.
func check(t *testing.T, server string, r mcpserver.Request, secrets ...string) {
	t.Helper()
	what := fmt.Sprintf("%s got %s %s", server, r.HTTPMethod, r.Method)
	for name, values := range r.Header {
		if !reaching[name] {
			t.Errorf("%s with %s: %q", what, name, values)
		}
		if len(values) != 1 {
			t.Errorf("%s with %d times %s", what, len(values), name)
		}
	}
	if len(r.Trailer) > 0 {
		t.Errorf("%s with trailers %v", what, r.Trailer)
	}
	all := strings.ToLower(fmt.Sprint(r.Path, r.Host, r.Header, r.Trailer) + string(r.Body))
	for _, s := range append(secrets, "canary") {
		if strings.Contains(all, strings.ToLower(s)) {
			t.Errorf("%s with %q: %s", what, s, all)
		}
	}
}

// canaries are headers of a client that are for no server, in every spelling.
func canaries(c *harness.Client) *harness.Client {
	c = c.With("Origin: https://app.example")
	for _, name := range []string{
		"Cookie", "cookie", "COOKIE", "Proxy-Authorization", "proxy-authorization", "X-Auth-Token", "x-auth-token", "Api-Key",
		"X-Mcp-Cluster", "x-mcp-cluster", "X-MCP-Claims", "X-Mcp-Client", "X-Mcp-Address", "X-Mcp-Anything", "X_Mcp_Cluster", "x_api_key",
		"X-Envoy-Original-Path", "x-envoy-external-address", "X-Forwarded-For", "x-forwarded-for", "X-Real-Ip", "Forwarded", "Via", "Referer",
		"X-Forwarded-Client-Cert", "X-Amz-Security-Token", "Baggage", "Sec-Fetch-Mode", "X-Custom", "Mcp-Gateway-Secret",
	} {
		c.Header[name] = []string{"canary-1", "canary-2"}
	}
	return c.With("User-Agent: client/1", "Accept-Language: pt", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
}

// Nothing by which a client proves who it is reaches a server, and none of its
// headers but a few: on no way through the gateway (specification 2025-11-25,
// basic/authorization, Access Token Privilege Restriction).
func TestNothingOfAClientReachesAServer(t *testing.T) {
	t.Parallel()
	e := startEverywhere(t)
	secrets := []string{e.token, apiKey, "bearer"}
	send := func(c *harness.Client, messages ...string) {
		t.Helper()
		for _, m := range messages {
			if r := c.Post(m); r.Status != http.StatusOK && r.Status != http.StatusAccepted || strings.Contains(r.Body, `"error":{`) {
				t.Errorf("%s: %s", m, r)
			}
		}
	}
	request := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `}}`
	}
	for _, credential := range []string{bearer(e.token), "X-Api-Key: " + apiKey} {
		c := canaries(harness.NewClient(t, e.gateway.URL).With(credential))
		c.Initialize()
		secrets = append(secrets, c.Session())
		send(c,
			request("ping", ""), request("tools/list", ""), request("prompts/list", ""), request("resources/list", ""), request("resources/templates/list", ""),
			call("1", "a_tool"), call("2", "m_tool"), call("3", "o_tool"), request("prompts/get", `"name":"a_prompt"`), request("resources/read", `"uri":"a+test://resource"`),
			request("completion/complete", `"ref":{"type":"ref/prompt","name":"a_prompt"},"argument":{"name":"x","value":""}`),
			request("logging/setLevel", `"level":"debug"`), request("resources/subscribe", `"uri":"a+test://resource"`),
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}`, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
		if r := c.Post(call("9", "l_tool")); !ok(r) || strings.Contains(r.Body, "canary") || strings.Contains(r.Body, e.token) || strings.Contains(r.Body, "MCP_GATEWAY") {
			t.Errorf("a program was given %s", r)
		}
		stream := c.Listen()
		e.legacy.Wait(harness.Patience, "the client's stream", func() bool { return e.legacy.Streams() >= 2 })
		stream.Close()

		free := canaries(harness.NewClient(t, e.gateway.URL).With(credential))
		for _, tool := range []string{"m_tool", "a_tool", "o_tool", "l_tool"} {
			if r := modernClient(free, "tools/call", tool).With("Mcp-Param-City: x").Post(modernBody("tools/call", fmt.Sprintf(`"name":%q`, tool))); !ok(r) {
				t.Errorf("%s without a session: %s", tool, r)
			} else if strings.Contains(r.Body, "canary") {
				t.Errorf("%s tells %s", tool, r)
			}
		}
		for method, name := range map[string]string{"prompts/get": "m_prompt", "resources/read": "m+test://resource"} {
			member := map[string]string{"prompts/get": "name", "resources/read": "uri"}[method]
			if r := modernClient(free, method, name).Post(modernBody(method, fmt.Sprintf(`%q:%q`, member, name))); !ok(r) {
				t.Errorf("%s without a session: %s", method, r)
			}
		}
		if r := c.Do(http.MethodDelete, ""); r.Status != http.StatusNoContent {
			t.Errorf("DELETE: %s", r)
		}
	}
	e.throughTrailers(t)
	e.asOldClient(t)
	e.legacy.Wait(harness.Patience, "ends of sessions", func() bool { return len(e.legacy.Received("DELETE")) >= 2 })

	seen := map[string]bool{}
	for name, list := range map[string][]mcpserver.Request{"a": e.legacy.Requests(), "m": e.modern.Requests(), "o": e.old.requests()} {
		for _, r := range list {
			check(t, name, r, secrets...)
			seen[name+" "+r.HTTPMethod+" "+r.Method] = true
		}
	}
	for _, want := range []string{
		"a POST initialize", "a POST tools/call", "a POST prompts/get", "a POST resources/read", "a POST completion/complete", "a POST logging/setLevel",
		"a POST resources/subscribe", "a POST notifications/cancelled", "a GET ", "a DELETE ", "m POST tools/call", "m POST prompts/get", "m POST resources/read",
		"o GET ", "o POST ",
	} {
		if !seen[want] {
			t.Errorf("no %q among %v", want, seen)
		}
	}
	got := e.legacy.Last("prompts/get").Header
	if got.Get("User-Agent") != "client/1" || got.Get("Accept-Language") != "pt" || got.Get("Traceparent") == "" {
		t.Errorf("what is harmless is lost: %v", got)
	}
}

// throughTrailers sends headers behind the body, over HTTP/1.1 and HTTP/2.
func (e *everywhere) throughTrailers(t *testing.T) {
	t.Helper()
	var second http.Protocols
	second.SetUnencryptedHTTP2(true)
	for name, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2": {Protocols: &second}} {
		body := &trailing{Reader: strings.NewReader(call("1", "a_tool"))}
		c := connectAs(t, e.gateway.URL, bearer(e.token))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.gateway.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header, r.ContentLength = c.Header.Clone(), -1
		r.Trailer = http.Header{"Authorization": nil, "X-Mcp-Cluster": nil, "X-Custom": nil}
		body.end = func() {
			for name := range r.Trailer {
				r.Trailer.Set(name, "canary")
			}
		}
		resp, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), `"result"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, answer)
		}
		transport.CloseIdleConnections()
	}
}

// trailing calls end when it has been read.
type trailing struct {
	io.Reader
	end func()
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.end()
	}
	return n, err
}

// asOldClient calls servers over HTTP+SSE.
func (e *everywhere) asOldClient(t *testing.T) {
	t.Helper()
	c := canaries(harness.NewClient(t, e.gateway.URL+"/sse").With("Accept:", bearer(e.token)))
	s := c.Open(http.MethodGet, "")
	c.URL = strings.TrimSuffix(e.gateway.URL, "/mcp") + s.Next()
	old := oldClient{c, s}
	old.initialize(t, "2024-11-05")
	for i, tool := range []string{"a_tool", "m_tool", "o_tool", "l_tool"} {
		old.tell(t, call(fmt.Sprint(i), tool))
		if got := old.Next(); !strings.Contains(got, `"result"`) || strings.Contains(got, "canary") {
			t.Errorf("%s over HTTP+SSE: %s", tool, got)
		}
	}
	s.Close()
}
