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

// walk is what test/clients/ts/oauth.mjs and test/clients/py/oauth.py print.
type walk struct {
	Steps      []step
	Asked      []string
	Resources  []string
	Registered int
	Scope      string
}

// underOAuth runs a gateway whose tokens come from a real authorization server, and
// returns its endpoint. Every token needs the scopes; rules are a section of the
// configuration.
func underOAuth(t *testing.T, a *mcpserver.Server, scopes, rules string) string {
	t.Helper()
	addr := harness.FreeAddr(t)
	resource := "http://" + addr + "/mcp"
	issuer := harness.AuthorizationServer(t, resource, "mcp cal:write")
	harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(a, "a")},
		Virtual: []string{"{name: part, servers: [a]}"},
		Auth: []string{
			"resource: " + resource, "scopes: [" + scopes + "]",
			fmt.Sprintf("issuers: [{issuer: %s, jwks: {url: %s/jwks}}]", issuer, issuer),
		},
		More: rules,
	}, "--listen", addr)
	return resource
}

// walkers are the programs of clients that go all the way, by the SDK and revision.
func walkers(t *testing.T) map[string][]string {
	t.Helper()
	node := []string{harness.Tool(t, ".tools/node/bin/node"), "test/clients/ts/oauth.mjs"}
	python := []string{harness.Tool(t, ".tools/venv/bin/python"), "test/clients/py/oauth.py"}
	return map[string][]string{
		"TypeScript SDK v1": append(node, "v1"), "TypeScript SDK v2": append(node, "v2"), "TypeScript SDK v2, 2026-07-28": append(node, "v2-modern"),
		"Python SDK, 2025-11-25": append(python, "legacy"), "Python SDK, 2026-07-28": append(python, "auto"),
	}
}

// walked has a client list the tools and call one.
func walked(t *testing.T, url string, walker []string, user string) walk {
	t.Helper()
	out := command(t, walker[0], walker[1], url,
		`[{"do":"tools/list"},{"do":"tools/call","name":"a_tool","arguments":{}}]`, walker[2], user)
	var w walk
	if err := json.Unmarshal([]byte(out), &w); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(w.Steps) != 2 || w.Steps[0].Error != nil || w.Steps[1].Error != nil || len(w.Steps[0].Result.Tools) != 1 || w.Steps[1].text() != "a:tool" {
		t.Fatalf("%s: %s", walker, out)
	}
	return w
}

// From a URL alone to the answer of a tool: 401, metadata of the resource and of the
// authorization server, registration, PKCE, a code, a token for this resource.
func TestOAuth(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	url := underOAuth(t, a, "mcp", "")
	for sdk, walker := range walkers(t) {
		for _, endpoint := range []string{url, url + "/part"} {
			got := walked(t, endpoint, walker, "ada")
			got.Steps = nil
			want := walk{Asked: []string{"mcp"}, Resources: []string{endpoint}, Registered: 1, Scope: "mcp"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s at %s: -want +got\n%s", sdk, endpoint, diff)
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
// Flow): for one that every token needs, and for one that a rule wants of a tool.
func TestStepUp(t *testing.T) {
	t.Parallel()
	const byRule = `authorization:
  rules:
    - name: everybody
    - {name: writers, tools: [a_tool], scopes: ["cal:write"]}
`
	all := underOAuth(t, mcpserver.Start(t, one("a")), "mcp, cal:write", "")
	a := mcpserver.Start(t, one("a"))
	ruled := underOAuth(t, a, "mcp", byRule)
	for sdk, walker := range walkers(t) {
		// The others go for one token only for one request, and this user refuses a scope
		// at first.
		if sdk == "TypeScript SDK v1" || sdk == "TypeScript SDK v2" {
			got := walked(t, all, walker, "wary")
			if !slices.Equal(got.Asked, []string{"mcp cal:write", "mcp cal:write"}) || got.Scope != "mcp cal:write" || got.Registered != 1 {
				t.Errorf("%s: %+v", sdk, got)
			}
		}
		got := walked(t, ruled, walker, "ada")
		if !slices.Equal(got.Asked, []string{"mcp", "mcp cal:write"}) || got.Scope != "mcp cal:write" || got.Registered != 1 {
			t.Errorf("%s, by a rule: %+v", sdk, got)
		}
	}
	if got, want := len(a.Received("tools/call")), len(walkers(t)); got != want {
		t.Errorf("the server got %d calls of %d clients: what was refused has reached it", got, want)
	}
}
