package security

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

func serverRows() []row {
	return []row{
		{18, "The gateway is no OAuth proxy: no consent, no redirect, nothing passed on",
			"security best practices, Confused Deputy; 2025-03-26 basic/authorization, Fallbacks", noProxy},
		{19, "No address that a server names is connected to, and no redirect followed",
			"security best practices, Server-Side Request Forgery; RFC 9728 section 7.7", noForgery},
		{20, "No authorization server is looked for in a server's name",
			"basic/authorization, Authorization Server Discovery (the gateway discovers none)", noDiscovery},
		{21, "A server's credentials go to that server alone, whatever it answers",
			"basic/authorization/client-registration, Credentials (the gateway registers nowhere)", ownCredentials},
		{22, "References in schemas are not fetched",
			"basic/index, JSON Schema Usage, Security Considerations", references},
		{23, "Whoever wants a URL opened is named, and the URL is not fetched",
			"client/elicitation, URL Mode, Safe URL Handling", urls},
		{24, "What a rule hides in lists is unknown in calls",
			"server/utilities/caching, Security Considerations; server/tools, Security Considerations", hidden},
		{25, "What clients and servers can use up is bounded",
			"ours; basic/transports/streamable-http, Server Validation", bounds},
		{26, "Errors and logs tell no address, token or session",
			"server/utilities/logging, Security; ours", discretion},
		{27, "A task is its principal's",
			"extensions/tasks, Security Considerations; 2025-11-25 basic/utilities/tasks, Security", tasks},
	}
}

func noProxy(s *stage) {
	for _, w := range []world{s.plain(), s.guarded()} {
		w.forget()
		c := harness.NewClient(s.T, w.URL)
		for _, path := range []string{
			"/authorize", "/token", "/register", "/revoke", "/introspect", "/callback", "/oauth/callback", "/consent", "/login", "/mcp/authorize", "/mcp/token", "/mcp/register/x",
			"/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/mcp", "/.well-known/openid-configuration", "/.well-known/openid-configuration/mcp",
			"/mcp/.well-known/openid-configuration", "/jwks", "/.well-known/jwks.json",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				c.URL = strings.TrimSuffix(w.URL, "/mcp") + path + "?client_id=x&redirect_uri=https://evil.example&response_type=code&state=x"
				r := c.Do(method, "")
				// A name below the endpoint may be one of a view: nobody is told without a token,
				// or a request that makes sense.
				if below := strings.HasPrefix(path, "/mcp/"); r.Status != http.StatusNotFound && !(below && (r.Status == 400 || r.Status == 401)) {
					s.Errorf("%s %s: %s", method, path, r)
				}
				if r.Header.Get("Location") != "" || r.Header.Get("Set-Cookie") != "" {
					s.Errorf("%s %s: %v", method, path, r.Header)
				}
			}
		}
		for _, server := range []*mcpserver.Server{w.a, w.b} {
			for _, r := range server.Requests() {
				if r.Path != "/mcp" {
					s.Errorf("a server was asked for %s", r.Path)
				}
			}
		}
		w.untouched(s.T)
	}
}

// hostile is a gateway before a server that fails as told, beside one in order.
func hostile(s *stage, fault mcpserver.Fault, lines ...string) (world, *harness.Client) {
	w := world{a: mcpserver.Start(s.T, script("a")), b: mcpserver.Start(s.T, script("b"))}
	w.Gateway = harness.Run(s.T, harness.Config{Servers: []harness.Server{
		{Name: "a", URL: w.a.URL(), Prefix: "a_", Extra: lines}, {Name: "b", URL: w.b.URL(), Prefix: "b_"},
	}})
	c := harness.Connect(s.T, w.URL)
	c.Tool("a_tool", "")
	w.a.Fail(fault)
	w.forget()
	return w, c
}

func noForgery(s *stage) {
	p := harness.NewTrap(s.T)
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirect := func(x *mcpserver.Exchange) {
			x.Header().Set("Location", p.URL+"/latest/meta-data/")
			x.Header().Set("Refresh", "0; url="+p.URL+"/")
			x.Respond(status, "", nil)
		}
		w, c := hostile(s, redirect)
		r := c.Post(call("1", "a_tool"))
		s.wantCode(fmt.Sprint(status), r, http.StatusOK, -32603)
		if r.Header.Get("Location") != "" || r.Header.Get("Refresh") != "" {
			s.Errorf("%d: the client was sent on: %v", status, r.Header)
		}
		other := harness.Connect(s.T, w.URL)
		s.wantCode("new session", other.Post(call("1", "a_tool")), http.StatusOK, -32603)
		if r := c.Post(call("1", "b_tool")); !served(r) {
			s.Error(r)
		}
		p.Untouched(s.T, fmt.Sprint(status))
		w.Stop(5e9)
	}
	w, c := hostile(s, func(x *mcpserver.Exchange) {
		x.Header().Set("Www-Authenticate", `Bearer resource_metadata="`+p.URL+`/.well-known/oauth-protected-resource", resource_metadata="http://169.254.169.254/"`)
		x.Header().Set("Link", "<"+p.URL+"/>; rel=preload")
		x.Header().Set("Alt-Svc", `h2="`+p.Addr+`"`)
		x.Respond(401, "", nil)
	})
	r := c.Post(call("1", "a_tool"))
	s.wantCode("401", r, http.StatusOK, -32603)
	for _, name := range []string{"Www-Authenticate", "Link", "Alt-Svc"} {
		if r.Header.Get(name) != "" {
			s.Errorf("the client got %s: %s", name, r.Header.Get(name))
		}
	}
	harness.Connect(s.T, w.URL).Post(call("1", "a_tool"))
	p.Untouched(s.T, "metadata of a 401")

	// Icons and links are the client's to look at, the endpoint of an HTTP+SSE server
	// is at its own origin.
	w.a.Heal()
	w.a.SetPages(mcpserver.ToolsList, p.Fill(`{"name":"tool","icons":[{"src":"http://TRAP/icon.png"}],"inputSchema":{"type":"object"},"_meta":{"url":"http://TRAP/"}}`))
	w.a.Notify("notifications/tools/list_changed")
	harness.Eventually(s.T, "the icon", func() bool { return strings.Contains(c.Request("tools/list", ""), "icon.png") })
	p.Untouched(s.T, "icons")
	old := sseServer(s.T, "http://"+p.Addr+"/messages")
	g := harness.Run(s.T, harness.Config{Servers: []harness.Server{{Name: "old", URL: old.url, Prefix: "old_", Extra: []string{"transport: sse"}}}})
	harness.Eventually(s.T, "the stream", func() bool { return old.asked.Load() > 0 })
	s.wantCode("a foreign endpoint", harness.Connect(s.T, g.URL).Post(call("1", "old_tool")), http.StatusOK, -32603)
	p.Untouched(s.T, "endpoint of HTTP+SSE")
}

func noDiscovery(s *stage) {
	p := harness.NewTrap(s.T)
	w, c := hostile(s, func(x *mcpserver.Exchange) {
		x.Header().Set("Www-Authenticate", p.Fill(`Bearer resource_metadata="http://TRAP/.well-known/oauth-protected-resource", authorization_uri="http://TRAP/authorize", scope="all"`))
		x.Respond(401, "application/json", []byte(p.Fill(`{"authorization_servers":["http://TRAP"]}`)))
	})
	for range 2 {
		s.wantCode("401", c.Post(call("1", "a_tool")), http.StatusOK, -32603)
		s.wantCode("401 to initialize", harness.Connect(s.T, w.URL).Post(call("1", "a_tool")), http.StatusOK, -32603)
	}
	for _, r := range w.a.Requests() {
		if r.Path != "/mcp" || r.Header.Get("Authorization") != "" {
			s.Errorf("the server was asked for %s with %v", r.Path, r.Header)
		}
	}
	p.Untouched(s.T, "discovery")
}

func ownCredentials(s *stage) {
	p := harness.NewTrap(s.T)
	w, c := hostile(s, func(x *mcpserver.Exchange) {
		x.Header().Set("Www-Authenticate", p.Fill(`Bearer resource_metadata="http://TRAP/meta", error="invalid_token", authorization_uri="http://TRAP/authorize"`))
		x.Header().Set("Location", p.URL+"/token")
		x.Respond(401, "", nil)
	}, `headers: {Authorization: "Bearer of-a", X-Api-Key: key-of-a}`)
	if got := w.a.Requests(); len(got) > 0 {
		for _, r := range got {
			s.Errorf("received %s", r.Path)
		}
	}
	s.wantCode("401", c.Post(call("1", "a_tool")), http.StatusOK, -32603)
	harness.Connect(s.T, w.URL).Post(call("1", "a_tool"))
	c.Tool("b_tool", "")
	for _, r := range w.a.Requests() {
		if r.Header.Get("Authorization") != "Bearer of-a" || r.Header.Get("X-Api-Key") != "key-of-a" {
			s.Errorf("%s: its own server got %v", r.Method, r.Header)
		}
	}
	for _, r := range w.b.Requests() {
		if text := fmt.Sprint(r.Header); strings.Contains(text, "of-a") {
			s.Errorf("%s: another server got %s", r.Method, text)
		}
	}
	p.Untouched(s.T, "another authorization server")

	// The same for tokens that the gateway gets itself.
	var mu sync.Mutex
	var forms []string
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // what is none is seen below
		id, secret, _ := r.BasicAuth()
		mu.Lock()
		defer mu.Unlock()
		forms = append(forms, r.URL.Path+" "+id+":"+secret+" "+r.Form.Encode())
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"access_token":"of-the-gateway","token_type":"Bearer","expires_in":3600}`)
	}))
	defer issuer.Close()
	refuse := func(x *mcpserver.Exchange) {
		x.Header().Set("Www-Authenticate", p.Fill(`Bearer resource_metadata="http://TRAP/meta", error="invalid_token"`))
		x.Respond(401, "application/json", []byte(p.Fill(`{"authorization_servers":["http://TRAP"],"token_endpoint":"http://TRAP/token"}`)))
	}
	w, c = hostile(s, refuse, "oauth: {tokenUrl: "+issuer.URL+"/token, clientId: machine, clientSecret: machine-secret, resource: https://a.example/mcp}")
	c = c.With("Authorization: Bearer of-the-client")
	c.Initialize()
	s.wantCode("401", c.Post(call("1", "a_tool")), http.StatusOK, -32603)
	w.a.Heal()
	c.Tool("a_tool", "")
	c.Tool("b_tool", "")
	if got := w.a.Last("tools/call").Header.Values("Authorization"); !slices.Equal(got, []string{"Bearer of-the-gateway"}) {
		s.Errorf("its server got %q", got)
	}
	for _, r := range append(w.a.Requests(), w.b.Requests()...) {
		if text := fmt.Sprint(r.Header, r.Path, string(r.Body)); strings.Contains(text, "machine") || strings.Contains(text, "of-the-client") {
			s.Errorf("a server got %s", text)
		}
	}
	for _, r := range w.b.Requests() {
		if r.Header.Get("Authorization") != "" {
			s.Errorf("another server got %v", r.Header)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, form := range forms {
		if !strings.HasPrefix(form, "/token ") || !strings.Contains(form, "resource=https%3A%2F%2Fa.example%2Fmcp") || strings.Contains(form, "of-the-client") {
			s.Errorf("the authorization server was asked %s", form)
		}
	}
	if len(forms) == 0 {
		s.Error("the authorization server was not asked")
	}
	p.Untouched(s.T, "an authorization server that the server named")
}

func references(s *stage) {
	p := harness.NewTrap(s.T)
	w := world{a: mcpserver.Start(s.T, script("a")), b: mcpserver.Start(s.T, script("b"))}
	deep := strings.Repeat(`{"allOf":[`, 50) + "{}" + strings.Repeat(`]}`, 50)
	schema := p.Fill(`{"type":"object","$schema":"http://TRAP/schema","$id":"http://TRAP/id","$ref":"http://TRAP/ref","properties":{"a":{"$ref":"http://TRAP/a"},"b":{"$dynamicRef":"http://TRAP/b"},"c":` + deep + `}}`)
	tool := `{"name":"tool","inputSchema":` + schema + `,"outputSchema":` + schema + `}`
	w.a.SetPages(mcpserver.ToolsList, tool)
	w.Gateway = harness.Run(s.T, harness.Config{Servers: []harness.Server{{Name: "a", URL: w.a.URL(), Prefix: "a_"}, {Name: "b", URL: w.b.URL(), Prefix: "b_"}}})
	c := harness.Connect(s.T, w.URL)
	if list := c.Request("tools/list", ""); !strings.Contains(list, strings.Replace(tool, `"tool"`, `"a_tool"`, 1)) {
		s.Errorf("the tool is listed otherwise: %s", list)
	}
	c.Tool("a_tool", `{"a":1,"b":2}`)
	modernCall(harness.NewClient(s.T, w.URL), "a_tool")
	p.Untouched(s.T, "references")
}

func urls(s *stage) {
	p := harness.NewTrap(s.T)
	w := s.modern()
	const asks = `{"mode":"url","elicitationId":"e","url":"http://TRAP/sign-in","message":"Please sign in"}`
	named := func(what string, text, server string) {
		s.Helper()
		if !strings.Contains(text, `"message":"`+server+`: Please sign in"`) || !strings.Contains(text, p.URL+"/sign-in") {
			s.Errorf("%s: %s", what, text)
		}
	}
	// A stateless client and server.
	w.a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Result(`{"resultType":"input_required","requestState":"s","inputRequests":{"k":{"method":"elicitation/create","params":` + p.Fill(asks) + `}}}`)
	})
	defer w.a.Handle("tools/call", "tool", nil)
	const able = `"elicitation":{"form":{},"url":{}}`
	c := harness.NewClient(s.T, w.URL)
	named("stateless", modernCall(c, "a_tool", able).Message(), "a")
	// Both with sessions, and between the eras.
	w.b.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		stream := x.Stream()
		stream.Send(`{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":` + p.Fill(asks) + `}`)
		<-x.Context().Done()
	})
	defer w.b.Handle("tools/call", "tool", nil)
	session := harness.NewClient(s.T, w.URL)
	r := session.Post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{` + able + `},"clientInfo":{"name":"x","version":"1"}}}`)
	session = session.With(harness.HeaderSession+": "+r.Header.Get(harness.HeaderSession), harness.HeaderRevision+": 2025-11-25")
	for _, name := range []string{"b", "a"} {
		stream := session.Open(http.MethodPost, call("2", name+"_tool"))
		named("in a session", stream.Next(), name)
		stream.Close()
	}
	named("from a session", modernCall(c, "b_tool", able).Message(), "b")
	// As an error that asks for it.
	w.b.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Error(`{"code":-32042,"message":"sign in first","data":{"elicitations":[` + p.Fill(asks) + `]}}`)
	})
	named("an error", session.Post(call("3", "b_tool")).Message(), "b")
	p.Untouched(s.T, "URLs for the user")
}
