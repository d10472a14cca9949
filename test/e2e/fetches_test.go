package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Whatever a server, a token endpoint or a list points to, the gateway connects to
// nothing but what its configuration names (RFC 9728 section 7.7; specification
// 2025-11-25, basic/security_best_practices, Server-Side Request Forgery; basic/index,
// JSON Schema).
func TestNothingElseIsFetched(t *testing.T) {
	t.Parallel()
	p := harness.NewTrap(t)
	// A list whose schemas, icons and resources lie elsewhere.
	listed := one("listed")
	listed.Pages[mcpserver.ToolsList] = []string{fmt.Sprintf(`{"name":"tool","icons":[{"src":"%[1]s/icon.png"}],"inputSchema":{"$schema":"%[1]s/schema","$id":"%[1]s/id","type":"object",`+
		`"properties":{"a":{"$ref":"%[1]s/a"},"b":{"$dynamicRef":"%[1]s/b"}},"$defs":{"c":{"$ref":"%[1]s/c.json#/x"}}},"outputSchema":{"$ref":"%[1]s/out"}}`, p.URL)}
	listed.Pages[mcpserver.ResourcesList] = []string{fmt.Sprintf(`{"name":"resource","uri":"%s/resource","icons":[{"src":"%s/icon.svg"}]}`, p.URL, p.URL)}
	fromLists := mcpserver.Start(t, listed)
	answers := map[string]http.HandlerFunc{
		// A server whose whole endpoint has moved, and one that wants a token.
		"moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, p.URL+"/mcp", http.StatusPermanentRedirect)
		},
		"locked": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer resource_metadata="%s/.well-known/oauth-protected-resource", authorization_uri="%s/authorize"`, p.URL, p.URL))
			w.Header().Set("Link", fmt.Sprintf(`<%s/meta>; rel="describedby"`, p.URL))
			w.WriteHeader(http.StatusUnauthorized)
		},
		// HTTP+SSE, where the server says where its client is to post.
		"sse": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprintf(w, "event: endpoint\ndata: %s/messages\n\n", p.URL)
		},
		"sse-moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, p.URL+"/sse", http.StatusTemporaryRedirect)
		},
		// A token endpoint that sends its client on, secret and all.
		"idp": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, p.URL+"/token", http.StatusTemporaryRedirect)
		},
	}
	var asked [5]atomic.Int64
	urls := map[string]string{}
	for i, name := range []string{"moved", "locked", "sse", "sse-moved", "idp"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[i].Add(1)
			answers[name](w, r)
		}))
		t.Cleanup(s.Close)
		urls[name] = s.URL
	}
	// One that redirects calls alone.
	turning := mcpserver.Start(t, one("turning"))
	turning.Handle("tools/call", "", func(x *mcpserver.Exchange) {
		x.Header().Set("Location", p.URL+"/call")
		x.Respond(http.StatusTemporaryRedirect, "", nil)
	})
	unauthorized := mcpserver.Start(t, one("unauthorized"))
	oauth := fmt.Sprintf("oauth: {tokenUrl: %s/token, clientId: a, clientSecret: b}", urls["idp"])
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		behind(fromLists, "listed"), behind(turning, "turning"), behind(unauthorized, "unauthorized", oauth),
		{Name: "moved", URL: urls["moved"] + "/mcp", Prefix: "moved_"}, {Name: "locked", URL: urls["locked"] + "/mcp", Prefix: "locked_", Extra: []string{"headers: {Authorization: Bearer x}"}},
		{Name: "sse", URL: urls["sse"] + "/sse", Prefix: "sse_", Extra: []string{"transport: sse"}},
		{Name: "sse-moved", URL: urls["sse-moved"] + "/sse", Prefix: "sse-moved_", Extra: []string{"transport: sse"}},
	}})
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "listed_tool", "listed", "tool")
	c.Request("resources/list", "")
	if got := c.Request("tools/list", ""); !strings.Contains(got, p.URL+"/icon.png") || !strings.Contains(got, p.URL+"/c.json#/x") {
		t.Errorf("the list is not as its server has it: %s", got)
	}
	for _, name := range []string{"turning", "unauthorized", "moved", "locked", "sse", "sse-moved"} {
		for _, r := range []harness.Response{c.Post(call("1", name+"_tool")), modernCall(c, name+"_tool")} {
			if !strings.Contains(r.Body, `"error":{`) || !strings.Contains(r.Body, "server "+name) && !strings.Contains(r.Body, "Unknown tool: "+name) || r.Header.Get("Location") != "" || r.Header.Get("WWW-Authenticate") != "" || strings.Contains(r.Body, p.URL) {
				t.Errorf("%s: %s %v", name, r, r.Header)
			}
		}
	}
	for i := range asked {
		if asked[i].Load() == 0 {
			t.Errorf("server %d was not asked: this test sees nothing", i)
		}
	}
	if got := unauthorized.Requests(); len(got) > 0 {
		t.Errorf("a server was asked without the token that it is to be sent: %s", got[0].Body)
	}
}
