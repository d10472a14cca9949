package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Also where the filter looks at nothing else of an answer. What an operator's own
// filter adds to it is the client's.
func TestServersSessionsStayWithTheGateway(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		filters string
		cookies []string
	}{
		"no filter of the operator's": {},
		"one that adds a cookie": {`envoyFilters:
  - name: cookies
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
      mutations: {response_mutations: [{append: {header: {key: set-cookie, value: operators=1}}}]}
`, []string{"operators=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serversSessionsStay(t, want.filters, want.cookies)
		})
	}
}

func serversSessionsStay(t *testing.T, filters string, cookies []string) {
	s := mcpserver.Start(t, tools("plain", "json", "events"))
	secret := func(x *mcpserver.Exchange) {
		x.Header().Set("Mcp-Session-Id", "servers-own")
		x.Header().Add("Set-Cookie", "secret=1")
		x.Header().Add("Set-Cookie", "secret=2")
		x.Header().Set("WWW-Authenticate", "secret")
		x.Header().Set("X-Custom-Answer", "kept")
	}
	s.Handle("tools/call", "json", func(x *mcpserver.Exchange) { secret(x); x.Result(`{}`) })
	s.Handle("tools/call", "events", func(x *mcpserver.Exchange) {
		secret(x)
		x.Stream().Send(x.ResultMessage(`{}`))
	})
	c := harness.Connect(t, harness.Run(t, harness.Config{Servers: []harness.Server{behind(s, "plain")}, More: filters}).URL)
	for _, tool := range []string{"plain_json", "plain_events"} {
		r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `"}}`)
		if r.Status != http.StatusOK || !strings.Contains(r.Body, `"result":{}`) || r.Header.Get("X-Custom-Answer") != "kept" {
			t.Errorf("%s: %s", tool, r)
		}
		for name, want := range map[string][]string{"Mcp-Session-Id": nil, "Set-Cookie": cookies, "Www-Authenticate": nil} {
			if got := r.Header.Values(name); !slices.Equal(got, want) {
				t.Errorf("%s: the client got %s: %s, want %s", tool, name, got, want)
			}
		}
	}
}

// Headers that go on to a server do so byte for byte, from Envoy and from the broker,
// and callers who differ in a byte that is no UTF-8 share no session.
func TestForwardedHeadersAreBytes(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		behind(a, "a", "forwardHeaders: [X-Tenant]"), behind(mcpserver.Start(t, one("b")), "b"),
	}})
	sessions := make(map[string]string)
	wantTenant := func(tenant string) {
		t.Helper()
		for _, method := range []string{"initialize", "tools/call"} {
			if got := a.Last(method).Header.Get("X-Tenant"); got != tenant {
				t.Errorf("%s of tenant %q is %q's", method, tenant, got)
			}
		}
		id := a.Last("tools/call").Header.Get(harness.HeaderSession)
		if other, shared := sessions[id]; shared || id == "" {
			t.Errorf("tenant %q has session %q, as %q", tenant, id, other)
		}
		sessions[id] = tenant
	}
	for _, tenant := range []string{"ten\xe9", "ten\xe8", "ten\ufffd"} {
		c := harness.NewClient(t, g.URL).With("X-Tenant: " + tenant)
		if r := modernCall(c, "a_tool"); !ok(r) {
			t.Fatalf("without a session, tenant %q: %s", tenant, r)
		}
		wantTenant(tenant)
		c.Initialize()
		wantTool(t, c, "a_tool", "a", "tool")
		wantTenant(tenant)
	}
}

func TestCredentialsStayOnTheirSide(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("b"))
	for _, s := range []*mcpserver.Server{a, b} {
		for _, method := range []string{"tools/call", "prompts/get", "resources/read"} {
			s.Handle(method, "", func(x *mcpserver.Exchange) {
				x.Header().Set("Mcp-Session-Id", "servers-own")
				x.Header().Set("Set-Cookie", "secret=1")
				x.Header().Set("X-Custom-Answer", "kept")
				x.Result(`{}`)
			})
		}
	}
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		behind(a, "a", `headers: {Authorization: "Bearer of-a 100%", X-Api-Key: "a%REQ(COOKIE)%"}`), behind(b, "b", "forwardHeaders: [X-Custom]"),
	}})
	c := harness.Connect(t, g.URL)
	session, toA := c.Session(), harness.Cluster("a", a.URL())
	evil := c.With("Authorization: Bearer client-secret", "Cookie: client=secret", "Proxy-Authorization: Basic client-secret",
		"X-Mcp-Cluster: "+toA, "X-Mcp-Anything: x", "X_Mcp_Cluster: "+toA, "X-Custom: kept",
		"X-Envoy-Upstream-Alt-Stat-Name: of-client", "X-Envoy-Original-Path: /of-client")
	for method, params := range map[string]string{
		"tools/call": `{"name":"b_tool"}`, "prompts/get": `{"name":"b_prompt"}`, "resources/read": `{"uri":"b+test://resource"}`,
	} {
		r := evil.Post(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`)
		if r.Status != http.StatusOK || !strings.Contains(r.Body, `"result":{}`) {
			t.Errorf("%s: %s", method, r)
		}
		for _, name := range []string{"Mcp-Session-Id", "Set-Cookie"} {
			if got := r.Header.Get(name); got != "" {
				t.Errorf("%s: the client got %s: %s", method, name, got)
			}
		}
		for name, values := range r.Header {
			if text := strings.Join(values, " "); strings.Contains(text, "127.0.0.1") || strings.HasPrefix(name, "X-Mcp-") {
				t.Errorf("%s: the client got %s: %s", method, name, text)
			}
		}
	}
	wantHeaders := func(s *mcpserver.Server, r mcpserver.Request, authorization string) {
		t.Helper()
		for name, values := range r.Header {
			text := strings.Join(values, " ")
			if strings.Contains(text, "client") && name != "User-Agent" || strings.Contains(text, session) || strings.HasPrefix(name, "X-Mcp-") {
				t.Errorf("%s: the server got %s: %s", r.Method, name, text)
			}
		}
		if got := r.Header.Get("Authorization"); got != authorization {
			t.Errorf("%s: the server got authorization %q, want %q", r.Method, got, authorization)
		}
		if r.Host != s.Addr() || r.Path != "/mcp" {
			t.Errorf("%s: the server was asked as http://%s%s", r.Method, r.Host, r.Path)
		}
		if !strings.HasPrefix(r.Header.Get(harness.HeaderSession), "b-session-") && s == b {
			t.Errorf("%s: not the server's own session", r.Method)
		}
		if got := r.Header.Get(harness.HeaderRevision); got != harness.Revision {
			t.Errorf("%s: revision %q", r.Method, got)
		}
	}
	for _, method := range []string{"tools/call", "prompts/get", "resources/read"} {
		r := b.Last(method)
		wantHeaders(b, r, "")
		if r.Header.Get("X-Custom") != "kept" {
			t.Errorf("%s: X-Custom is lost", method)
		}
	}
	if a.Received("tools/call") != nil {
		t.Error("the header of a client chose the server")
	}
	evil.Request("tools/call", `{"name":"a_tool"}`)
	wantHeaders(a, a.Last("tools/call"), "Bearer of-a 100%")
	if got := a.Last("tools/call").Header.Get("X-Api-Key"); got != "a%REQ(COOKIE)%" {
		t.Errorf("the server's own header: %q", got)
	}
	if got, sent := a.Last("tools/call").Header["X-Custom"]; sent {
		t.Errorf("a header that nobody lets through: %q", got)
	}
}

// The headers by which parts of the gateway speak to each other mean nothing
// when a client sends them, on any way through it.
func TestClientsDoNotSteerTheGateway(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("b"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	plain := harness.Connect(t, g.URL)
	a.Wait(harness.Patience, "the broker's stream", func() bool { return a.Streams() == 1 && b.Streams() == 1 })
	a.Forget()
	toA := harness.Cluster("a", a.URL())
	for name, value := range map[string]string{"X-Mcp-Cluster": toA, "x-mcp-cluster": toA, "X_mcp_cluster": toA} {
		c := plain.With()
		c.Header[name] = []string{value}
		for _, method := range []string{"ping", "tools/list", "prompts/list", "resources/list", "no/such", "tools/call", "prompts/get"} {
			c.Post(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"name":"tool"}}`)
		}
		c.Post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
		c.Post(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		c.Post("no JSON")
		wantTool(t, c, "b_tool", "b", "tool")
		c.Listen().Close()
		fresh := harness.NewClient(t, g.URL)
		fresh.Header[name] = []string{value}
		fresh.Initialize()
		fresh.Do(http.MethodDelete, "")
	}
	for _, r := range a.Requests() {
		t.Errorf("the server that the header named received %s %s", r.HTTPMethod, r.Body)
	}

	slow := make(chan struct{})
	b.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		select {
		case <-slow:
			x.Result("{}")
		case <-x.Context().Done():
		}
	})
	b.Forget()
	hurried := plain.With("X-Envoy-Upstream-Rq-Timeout-Ms: 50", "X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms: 10",
		"X-Envoy-Expected-Rq-Timeout-Ms: 50", "X-Envoy-Retry-On: 5xx,reset,gateway-error", "X-Envoy-Max-Retries: 5", "Grpc-Timeout: 50m")
	answered := make(chan harness.Response, 1)
	go func() {
		r, err := hurried.Try(t.Context(), http.MethodPost, call("1", "b_tool"))
		if err != nil {
			t.Error(err)
		}
		answered <- r
	}()
	b.Wait(harness.Patience, "call", func() bool { return len(b.Received("tools/call")) == 1 })
	select {
	case r := <-answered:
		t.Errorf("a client's header ended the call: %s", r)
	case <-time.After(300 * time.Millisecond):
		close(slow)
		if r := <-answered; !ok(r) {
			t.Error(r)
		}
	}
	b.Fail(mcpserver.Status(503), "tools/call")
	hurried.Post(call("1", "b_tool"))
	b.Fail(mcpserver.Reset, "tools/call")
	hurried.Post(call("1", "b_tool"))
	if got := len(b.Received("tools/call")); got != 3 {
		t.Errorf("%d calls reached the server, want 3: a client's header made it try again", got)
	}
}

// Each server hears the revision that it negotiated, whatever the client speaks.
func TestEachServerHearsItsRevision(t *testing.T) {
	t.Parallel()
	var servers []harness.Server
	backends := map[string]*mcpserver.Server{}
	for name, revision := range map[string]string{"march": "2025-03-26", "june": "2025-06-18", "november": "2025-11-25"} {
		script := one(name)
		script.Revision = revision
		backends[revision] = mcpserver.Start(t, script)
		servers = append(servers, behind(backends[revision], name))
	}
	g := harness.Run(t, harness.Config{Servers: servers})
	for asked, want := range map[string]string{
		"2025-03-26": "2025-03-26", "2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25",
		"2024-11-05": "2025-11-25", "1999-01-01": "2025-11-25",
	} {
		c := harness.NewClient(t, g.URL)
		r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + asked + `","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
		if !strings.Contains(r.Body, `"protocolVersion":"`+want+`"`) {
			t.Errorf("asked for %s: %s", asked, r)
		}
		c = c.With(harness.HeaderSession+":"+r.Header.Get(harness.HeaderSession), harness.HeaderRevision+":"+want)
		for revision, backend := range backends {
			name := map[string]string{"2025-03-26": "march", "2025-06-18": "june", "2025-11-25": "november"}[revision]
			wantTool(t, c, name+"_tool", name, "tool")
			got := backend.Last("tools/call").Header.Get(harness.HeaderRevision)
			// The first revision has no such header; servers take none as that one.
			if got != revision && (revision != "2025-03-26" || got != "") {
				t.Errorf("server of %s heard %q", revision, got)
			}
		}
	}
}

// A server without sessions and without streams is as good as any.
func TestStatelessServer(t *testing.T) {
	t.Parallel()
	script := one("a")
	script.Stateless, script.NoStream, script.Path = true, true, "/some/path"
	a := mcpserver.Start(t, script)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{{Name: "a", URL: a.URL() + "?tenant=1", Prefix: "a_"}}})
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "a_tool", "a", "tool")
	wantTool(t, c, "a_tool", "a", "tool")
	r := a.Last("tools/call")
	if got, sent := r.Header[harness.HeaderSession]; sent {
		t.Errorf("a session %q for a server that gave none", got)
	}
	if r.Path != "/some/path?tenant=1" {
		t.Errorf("asked for %s", r.Path)
	}
}
