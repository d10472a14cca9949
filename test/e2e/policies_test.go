package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// filtersOf is an example of docs/envoy-filters.md, with replacements in pairs.
func filtersOf(t *testing.T, name string, replace ...string) string {
	t.Helper()
	const path = "docs/envoy-filters.md"
	b := example(t, path, name)
	for i := 0; i+1 < len(replace); i += 2 {
		if !strings.Contains(b.text, replace[i]) {
			t.Fatalf("%s:%d: no %q", path, b.line, replace[i])
		}
		b.text = strings.ReplaceAll(b.text, replace[i], replace[i+1])
	}
	return b.text
}

// calendar is a server with the tools that the examples speak of.
func calendar(t *testing.T, era mcpserver.Era) *mcpserver.Server {
	t.Helper()
	script := tools("cal", "delete_event", "list_events")
	script.Era = era
	script.Pages[mcpserver.PromptsList] = []string{`{"name":"delete_event"}`}
	return mcpserver.Start(t, script)
}

// wantDenied checks what the gateway makes of a filter's refusal.
func wantDenied(t *testing.T, r harness.Response, status, code int, id, data string) {
	t.Helper()
	reply, ok := checkError(t, r, status, code, id)
	if !ok {
		t.FailNow()
	}
	if got := string(reply.Error.Data); got != data {
		t.Errorf("data %s, want %s", got, data)
	}
}

const deniedByRBAC = `{"reason":"RBAC: access denied"}`

// A rule of Envoy's RBAC about a tool holds on every way that a call can take and
// for every spelling, and for nothing else.
func TestPolicyDeniesATool(t *testing.T) {
	t.Parallel()
	for name, era := range map[string]mcpserver.Era{"server with sessions": mcpserver.Legacy, "stateless server": mcpserver.Modern} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cal := calendar(t, era)
			g := harness.Run(t, harness.Config{
				Gateway: []string{"sessionless: pooled"},
				Servers: []harness.Server{behind(cal, "cal"), behind(mcpserver.Start(t, one("other")), "other")},
				More:    filtersOf(t, "rbac"),
			})
			c := harness.Connect(t, g.URL)
			wantTool(t, c, "cal_list_events", "cal", "list_events")
			if names := c.Names("tools/list"); len(names) != 3 {
				t.Errorf("tools/list: %v", names)
			}
			wantTool(t, c, "other_tool", "other", "tool")
			if prompt := c.Post(`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"cal_delete_event"}}`); !ok(prompt) {
				t.Errorf("a prompt with the name of the tool: %s", prompt)
			}
			cal.Forget()

			for id, spelling := range map[string]string{
				`1`: `cal_delete_event`, `"two"`: `cal\u005fdelete\u005fevent`, `3`: `\u0063al_delete_event`, `-4.5e3`: `cal_d\u0065lete_event`,
			} {
				body := fmt.Sprintf(`{"params":{"arguments":{},"name":"%s"},"id":%s,"method":"tools\/call","jsonrpc":"2.0"}`, spelling, id)
				wantDenied(t, c.Post(body), 403, mcp.CodeInvalidRequest, id, deniedByRBAC)
				wantDenied(t, harness.NewClient(t, g.URL).With(harness.HeaderRevision+": "+harness.Revision).Post(body), 403, mcp.CodeInvalidRequest, id, deniedByRBAC)
			}
			wantDenied(t, modernCall(harness.NewClient(t, g.URL), "cal_delete_event"), 403, mcp.CodeInvalidRequest, "1", deniedByRBAC)

			batch := connectAt(t, g.URL, "2025-03-26").Post(`[` + call("1", "cal_delete_event") + `,` + call("2", "cal_list_events") + `]`)
			if !strings.Contains(batch.Body, "RBAC: access denied") || strings.Count(batch.Body, `"result"`) != 1 {
				t.Errorf("a batch: %s", batch)
			}
			old := openOld(t, g.URL)
			old.initialize(t, "2024-11-05")
			old.tell(t, call("7", "cal_delete_event"))
			var told harness.Reply
			if event := old.Next(); json.Unmarshal([]byte(event), &told) != nil || string(told.ID) != "7" || told.Error == nil || told.Error.Code != mcp.CodeInvalidRequest {
				t.Errorf("over HTTP+SSE: %s", event)
			}

			for _, r := range cal.Received("tools/call") {
				if r.Name == "delete_event" {
					t.Errorf("reached the server: %s", r.Body)
				}
			}
		})
	}
}

// What a server and Envoy say of a server's failure is no refusal of a filter's.
func TestFailuresBehindPolicies(t *testing.T) {
	t.Parallel()
	cal := calendar(t, mcpserver.Legacy)
	file := filepath.Join(t.TempDir(), "access.log")
	admin := harness.FreeAddr(t)
	g := harness.Run(t, harness.Config{
		Gateway: []string{"accessLog: " + file},
		Servers: []harness.Server{behind(cal, "cal")}, More: filtersOf(t, "rbac"),
	}, "--admin", admin)
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "cal_list_events", "cal", "list_events")
	wantDenied(t, c.Post(call("1", "cal_delete_event")), 403, mcp.CodeInvalidRequest, "1", deniedByRBAC)
	cal.Fail(mcpserver.Reset, "tools/call")
	failed := wantError(t, c.Post(call("2", "cal_list_events")), 200, mcp.CodeInternalError, "2")
	if !strings.Contains(failed.Error.Message, "server cal") {
		t.Errorf("a server that resets: %s", failed.Error.Message)
	}
	cal.Down()
	failed = wantError(t, c.Post(call("3", "cal_list_events")), 200, mcp.CodeInternalError, "3")
	if !strings.Contains(failed.Error.Message, "server cal") {
		t.Errorf("a server that is away: %s", failed.Error.Message)
	}
	denied := 0
	all, raw := entries(t, file, 6)
	for _, e := range all {
		if e.Error == "denied" && e.Name == "cal_delete_event" && e.Status == 403 {
			denied++
		}
	}
	if denied != 1 {
		t.Errorf("%d refusals in the access log:\n%s", denied, raw)
	}
	harness.Eventually(t, "the refusal is counted", func() bool {
		return harness.Stats(t, admin)[`mcp_gateway_errors{reason="denied",server="-"}`] == 1
	})
}

// One server has a rule of its own, on every way to it; another server none.
func TestPolicyOfOneServer(t *testing.T) {
	t.Parallel()
	for name, era := range map[string]mcpserver.Era{"with sessions": mcpserver.Legacy, "stateless": mcpserver.Modern} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cal, free := calendar(t, era), calendar(t, era)
			text := filtersOf(t, "per-server", "http://127.0.0.1:9002/mcp", cal.URL())
			// The other server's tools have names that the rule would fit.
			g := harness.Launch(t, harness.Config{})
			g.Write(text + "  - {name: free, url: \"" + free.URL() + "\", prefix: cal_delete_}\n")
			g.URL = strings.TrimSpace(g.WaitLine(g.Stdout(), "ready endpoint="))
			clients := map[string]func(tool string) harness.Response{
				"session":   func(tool string) harness.Response { return harness.Connect(t, g.URL).Post(call("1", tool)) },
				"stateless": func(tool string) harness.Response { return modernCall(harness.NewClient(t, g.URL), tool) },
			}
			for kind, post := range clients {
				if r := post("cal_delete_event"); r.Status != 403 {
					t.Errorf("client %s: %s", kind, r)
				}
				if r := post("cal_list_events"); !ok(r) {
					t.Errorf("client %s: another tool: %s", kind, r)
				}
				if r := post("cal_delete_list_events"); !ok(r) {
					t.Errorf("client %s: another server: %s", kind, r)
				}
			}
			for _, r := range cal.Received("tools/call") {
				if r.Name == "delete_event" {
					t.Errorf("reached the server: %s", r.Body)
				}
			}
		})
	}
}

// Each tool has a bucket of its own; what a limit refuses says when to come again.
func TestPolicyLimitsCallsOfATool(t *testing.T) {
	t.Parallel()
	weather := mcpserver.Start(t, tools("weather", "get_weather", "get_air", "get_tides"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(weather, "weather")}, More: filtersOf(t, "limit-tools")})
	c := harness.Connect(t, g.URL)
	served := func(n int, name string) {
		t.Helper()
		for i := range n {
			if r := c.Post(call("1", name)); !ok(r) {
				t.Fatalf("call %d of %s: %s", i, name, r)
			}
		}
		for _, client := range []*harness.Client{c, harness.Connect(t, g.URL)} {
			r := client.Post(call(`"x"`, name))
			wantDenied(t, r, http.StatusTooManyRequests, mcp.CodeInternalError, `"x"`, `{"reason":"local_rate_limited"}`)
			if r.Header.Get("Retry-After") == "" {
				t.Errorf("headers of a refusal: %v", r.Header)
			}
		}
	}
	served(2, "weather_get_weather")
	served(5, "weather_get_air")
	served(5, "weather_get_tides")
	for range 20 { // what is no call has no bucket among these
		if names := c.Names("tools/list"); len(names) != 3 {
			t.Fatal(names)
		}
	}
}

// Each principal has buckets of its own, by who it has proved to be and not by what
// it sends.
func TestPolicyLimitsCallsOfAPrincipal(t *testing.T) {
	t.Parallel()
	const ci, cd = "key-of-ci-0123456789-0123456789-ab", "key-of-cd-0123456789-0123456789-ab"
	cal := calendar(t, mcpserver.Legacy)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(cal, "cal")}, More: filtersOf(t, "limit-principals") +
		"auth: {resource: https://localhost/mcp, apiKeys: {header: x-api-key, clients: [{name: ci, key: " + ci + "}, {name: cd, key: " + cd + "}]}}\n"})
	client := func(headers ...string) *harness.Client {
		c := harness.NewClient(t, g.URL).With(headers...)
		c.Initialize()
		return c
	}
	first, other := client("X-Api-Key: "+ci), client("X-Api-Key: "+cd)
	for range 2 {
		wantTool(t, first, "cal_list_events", "cal", "list_events")
	}
	for _, c := range []*harness.Client{first, client("X-Api-Key: "+ci, "X-Mcp-Client: cd", "X-Mcp-Principal: cd")} {
		checkError(t, c.Post(call("1", "cal_list_events")), 429, mcp.CodeInternalError, "1")
	}
	wantTool(t, first, "cal_delete_event", "cal", "delete_event")
	for range 2 {
		wantTool(t, other, "cal_list_events", "cal", "list_events")
	}
	checkError(t, other.Post(call("1", "cal_list_events")), 429, mcp.CodeInternalError, "1")
}

// A gateway whose filters refuse even its own first request serves whom they admit.
func TestPolicyThatRefusesNearlyEverything(t *testing.T) {
	t.Parallel()
	cal := calendar(t, mcpserver.Modern)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(cal, "cal")}, More: filtersOf(t, "rbac", "action: DENY", "action: ALLOW")})
	if r := modernCall(harness.NewClient(t, g.URL), "cal_delete_event"); !ok(r) {
		t.Errorf("what is admitted: %s", r)
	}
	wantDenied(t, modernCall(harness.NewClient(t, g.URL), "cal_list_events"), 403, mcp.CodeInvalidRequest, "1", deniedByRBAC)
}
