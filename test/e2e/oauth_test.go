package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// walk is what test/clients/ts/oauth.mjs prints.
type walk struct {
	Steps      []step
	Asked      []string
	Resources  []string
	Registered int
	Scope      string
}

// underOAuth runs a gateway whose tokens come from a real authorization server, and
// returns its endpoint. Every token needs the scopes.
func underOAuth(t *testing.T, a *mcpserver.Server, scopes string, more ...string) string {
	t.Helper()
	addr := harness.FreeAddr(t)
	resource := "http://" + addr + "/mcp"
	issuer := harness.AuthorizationServer(t, resource, "mcp cal:write")
	harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(a, "a")},
		Virtual: []string{"{name: part, servers: [a]}"},
		Auth: append(more, "resource: "+resource, "scopes: ["+scopes+"]",
			fmt.Sprintf("issuers: [{issuer: %s, jwks: {url: %s/jwks}}]", issuer, issuer)),
	}, "--listen", addr)
	return resource
}

// walked has a client of the official TypeScript SDK go all the way.
func walked(t *testing.T, url, version, user string) walk {
	t.Helper()
	out := command(t, harness.Tool(t, ".tools/node/bin/node"), "test/clients/ts/oauth.mjs", url,
		`[{"do":"tools/list"},{"do":"tools/call","name":"a_tool","arguments":{}}]`, version, user)
	var w walk
	if err := json.Unmarshal([]byte(out), &w); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(w.Steps) != 2 || w.Steps[0].Error != nil || w.Steps[1].Error != nil || len(w.Steps[0].Result.Tools) != 1 {
		t.Fatalf("%s: %s", version, out)
	}
	return w
}

// From a URL alone to the answer of a tool: 401, metadata of the resource and of the
// authorization server, registration, PKCE, a code, a token for this resource.
func TestOAuth(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	url := underOAuth(t, a, "mcp")
	for _, version := range []string{"v1", "v2", "v2-modern"} {
		for _, endpoint := range []string{url, url + "/part"} {
			got := walked(t, endpoint, version, "ada")
			got.Steps = nil
			want := walk{Asked: []string{"mcp"}, Resources: []string{endpoint}, Registered: 1, Scope: "mcp"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s at %s: -want +got\n%s", version, endpoint, diff)
			}
		}
	}
	for _, r := range a.Requests() {
		if got := r.Header.Get("Authorization"); got != "" {
			t.Errorf("%s: the server got %s", r.Method, got)
		}
	}
}

// A token that lacks a scope is refused with the scopes that are needed, and the
// client goes for another one (2025-11-25, basic/authorization, Step-Up Authorization
// Flow).
func TestStepUp(t *testing.T) {
	t.Parallel()
	url := underOAuth(t, mcpserver.Start(t, one("a")), "mcp, cal:write")
	for _, version := range []string{"v1", "v2"} {
		got := walked(t, url, version, "wary")
		if !slices.Equal(got.Asked, []string{"mcp cal:write", "mcp cal:write"}) || got.Scope != "mcp cal:write" || got.Registered != 1 {
			t.Errorf("%s: %+v", version, got)
		}
	}
}
