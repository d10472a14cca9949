package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// rulesOf is an example of docs/authorization.md.
func rulesOf(t *testing.T, name string) string {
	t.Helper()
	return example(t, "docs/authorization.md", name).text
}

// diary is a server with the tools that the examples speak of.
func diary(era mcpserver.Era) mcpserver.Script {
	return mcpserver.Script{Name: "cal", Era: era, Pages: map[string][]string{
		mcpserver.ToolsList: {`{"name":"delete_event","inputSchema":{"type":"object"}},` +
			`{"name":"list_events","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}`},
		mcpserver.PromptsList:   {`{"name":"delete_event"}`},
		mcpserver.ResourcesList: {`{"uri":"cal://today","name":"today"}`},
	}}
}

// asTokens are clients of a gateway by their scopes, or by their claims in JSON.
type asTokens struct {
	t      *testing.T
	g      *harness.Gateway
	issuer *harness.Issuer
	path   string
}

func (a asTokens) client(who string) *harness.Client {
	a.t.Helper()
	claims := harness.Claims{"scope": who}
	if strings.HasPrefix(who, "{") {
		claims = harness.Claims{}
		if err := json.Unmarshal([]byte(who), &claims); err != nil {
			a.t.Fatal(err)
		}
	}
	audience := guarded + a.path
	return connectAs(a.t, a.g.URL+a.path, bearer(a.issuer.Token("ada", audience, claims)))
}

func ruled(t *testing.T, rules string, config harness.Config) asTokens {
	t.Helper()
	issuer := harness.NewIssuer(t)
	config.Auth, config.More = issuer.Auth(guarded), rules
	g := harness.Run(t, config)
	return asTokens{t: t, g: g, issuer: issuer}
}

// What the examples promise, in a real Envoy with real tokens.
func TestAuthorizationExamples(t *testing.T) {
	t.Parallel()
	type expectation struct {
		path, who string
		lists     string // of tools/list
		calls     string // "tool arguments" that succeed, by semicolons
		hidden    string // the same that are unknown
		lacking   string // the same that are a step-up
	}
	for name, all := range map[string][]expectation{
		"scopes": {
			{"", "read", "[cal_list_events]", "cal_list_events", "cal_delete_event", ""},
			{"", "read cal:write", "[cal_delete_event cal_list_events]", "cal_list_events;cal_delete_event", "", ""},
		},
		"stepup": {
			{"", "read", "[cal_delete_event cal_list_events]", "cal_list_events", "", "cal_delete_event"},
			{"", "cal:write", "[cal_delete_event cal_list_events]", "cal_delete_event", "", ""},
		},
		"annotations": {
			{"", "", "[cal_list_events]", "cal_list_events", "cal_delete_event", ""},
			{"", `{"groups":["staff"]}`, "[cal_delete_event cal_list_events]", "cal_delete_event", "", ""},
			{"", `{"groups":"staff"}`, "[cal_list_events]", "", "cal_delete_event", ""},
		},
		"arguments": {
			{"", "read", "[cal_list_events]", `cal_list_events {"date":"2026-03-02"}`, `cal_list_events {"date":"2025-12-31"};cal_list_events;cal_list_events {"date":"2026-03-02","Date":"2025-12-31"};cal_delete_event`, ""},
			{"", "cal:write", "[cal_delete_event cal_list_events]", "cal_list_events;cal_delete_event", "", ""},
		},
		"endpoints": {
			{"", "read", "[cal_list_events]", "cal_list_events", "cal_delete_event", ""},
			{"/admin", "read", "[]", "", "cal_list_events;cal_delete_event", ""},
			{"/admin", "admin", "[cal_delete_event cal_list_events]", "cal_delete_event", "", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cal := mcpserver.Start(t, diary(mcpserver.Legacy))
			as := ruled(t, rulesOf(t, name), harness.Config{Servers: []harness.Server{behind(cal, "cal")}})
			for _, want := range all {
				as.path = want.path
				c := as.client(want.who)
				if got := fmt.Sprint(slices.Sorted(slices.Values(c.Names("tools/list")))); got != want.lists {
					t.Errorf("%q at %q: %s, want %s", want.who, want.path, got, want.lists)
				}
				cal.Forget()
				try := func(calls string, check func(tool string, r harness.Response)) {
					for text := range strings.SplitSeq(calls, ";") {
						tool, arguments, _ := strings.Cut(text, " ")
						if tool == "" {
							continue
						}
						if arguments != "" {
							arguments = `,"arguments":` + arguments
						}
						check(tool, c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`"`+arguments+`}}`))
					}
				}
				try(want.hidden, func(tool string, r harness.Response) {
					if r.Status != 200 || r.Body != `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool: `+tool+`"}}` {
						t.Errorf("%q at %q: %s: %s", want.who, want.path, tool, r)
					}
				})
				try(want.lacking, func(tool string, r harness.Response) {
					challenge := `Bearer error="insufficient_scope", scope="cal:write", resource_metadata="http://localhost/.well-known/oauth-protected-resource/mcp"`
					if r.Status != 403 || r.Header.Get("WWW-Authenticate") != challenge {
						t.Errorf("%q: %s: %s %v", want.who, tool, r, r.Header)
					}
				})
				if got := cal.Received("tools/call"); len(got) > 0 {
					t.Errorf("%q at %q: the server got %s", want.who, want.path, got[0].Body)
				}
				try(want.calls, func(tool string, r harness.Response) {
					if !ok(r) {
						t.Errorf("%q at %q: %s: %s", want.who, want.path, tool, r)
					}
				})
			}
		})
	}
}

// No spelling and no way to the gateway gets a hidden tool called, in whichever era
// its server is; with the scope each way leads there.
func TestHiddenToolIsNeverCalled(t *testing.T) {
	t.Parallel()
	for name, era := range map[string]mcpserver.Era{"server with sessions": mcpserver.Legacy, "stateless server": mcpserver.Modern, "server of both": mcpserver.Dual} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cal := mcpserver.Start(t, diary(era))
			as := ruled(t, rulesOf(t, "scopes"), harness.Config{
				Gateway: []string{"sessionless: pooled"}, Virtual: []string{"{name: part, servers: [cal]}"},
				Servers: []harness.Server{behind(cal, "cal"), behind(mcpserver.Start(t, one("other")), "other")},
			})
			reader, writer := as.client("read"), as.client("cal:write")
			token := bearer(as.issuer.Token("ada", guarded, harness.Claims{"scope": "read"}))
			if names := reader.Names("tools/list"); slices.Contains(names, "cal_delete_event") || !slices.Contains(names, "cal_list_events") {
				t.Errorf("tools/list: %v", names)
			}
			if r := modernClient(reader, "tools/list", "").Post(modernBody("tools/list", "")); strings.Contains(r.Body, "delete_event") || !strings.Contains(r.Body, `"cacheScope":"private"`) {
				t.Errorf("tools/list without a session: %s", r)
			}
			cal.Forget()
			body := func(name string) string {
				return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":{}}}`
			}
			bodies := []string{
				body("cal_delete_event"), body(`cal\u005fdelete_event`), body(`\u0063al_delete_event`), body(" cal_delete_event"), body("cal_delete_event "),
				body("Cal_Delete_Event"), body(`cal_delete_event\u0000`), body(`cal_delete_event\u200b`), body("cal_cal_delete_event"), body("delete_event"), body("other_cal_delete_event"),
				`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cal_list_events","name":"cal_delete_event"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cal_delete_event","name":"cal_list_events"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cal_list_events","Name":"cal_delete_event"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cal_list_events","\u006eame":"cal_delete_event"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cal_list_events"},"params":{"name":"cal_delete_event"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cal_list_events"},"Params":{"name":"cal_delete_event"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"cal_delete_event"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"cal_delete_event"}}`,
				`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"cal_delete_event"}}`,
			}
			ways := map[string]*harness.Client{
				"in a session":                  reader,
				"without a session":             harness.NewClient(t, as.g.URL).With(token, harness.HeaderRevision+": "+harness.Revision),
				"another name in the header":    reader.With("Mcp-Name: cal_list_events"),
				"a header of the other era":     reader.With("Mcp-Method: tools/call", "Mcp-Name: cal_list_events"),
				"headers that the gateway owns": reader.With("X-Mcp-Cluster: mcp-server-cal", "X-Mcp-Long: cal", "X-Envoy-Original-Path: /mcp"),
			}
			for way, c := range ways {
				for _, b := range bodies {
					if r := c.Post(b); ok(r) && r.Status != 202 {
						t.Errorf("%s: %s: %s", way, b, r)
					}
				}
			}
			for _, name := range []string{"cal_delete_event", "cal_list_events", "=?base64?Y2FsX2RlbGV0ZV9ldmVudA==?=", "=?base64?Y2FsX2xpc3RfZXZlbnRz?=", ""} {
				for _, b := range []string{`"name":"cal_delete_event"`, `"name":"cal\u005fdelete_event"`, `"name":"cal_list_events","Name":"cal_delete_event"`} {
					if r := modernClient(reader, "tools/call", name).Post(modernBody("tools/call", b)); ok(r) {
						t.Errorf("Mcp-Name %q: %s: %s", name, b, r)
					}
				}
			}
			if batch := connectAt(t, as.g.URL, "2025-03-26", token).Post(`[` + body("cal_delete_event") + `,` + call("2", "cal_list_events") + `]`); strings.Count(batch.Body, `"result"`) != 1 || !strings.Contains(batch.Body, "Unknown tool: cal_delete_event") {
				t.Errorf("a batch: %s", batch)
			}
			old := openOld(t, as.g.URL, token)
			old.initialize(t, "2024-11-05")
			old.tell(t, call("7", "cal_delete_event"))
			if event := old.Next(); !strings.Contains(event, `"id":7,"error":{"code":-32602,"message":"Unknown tool: cal_delete_event"}`) {
				t.Errorf("over HTTP+SSE: %s", event)
			}
			for _, r := range cal.Received("tools/call") {
				if r.Name != "list_events" {
					t.Errorf("reached the server: %s", r.Body)
				}
			}
			if r := writer.Post(body(`cal_d\u0065lete_event`)); !ok(r) {
				t.Errorf("with the scope: %s", r)
			}
			if r := modernClient(writer, "tools/call", "cal_delete_event").Post(modernBody("tools/call", `"name":"cal_delete_event"`)); !ok(r) {
				t.Errorf("with the scope, without a session: %s", r)
			}
			as.path = "/part"
			if r := as.client("read").Post(body("cal_delete_event")); ok(r) {
				t.Errorf("at a virtual server: %s", r)
			}
		})
	}
}

// Other rules count for sessions that are open, and are announced.
func TestRulesChangeInOpenSessions(t *testing.T) {
	t.Parallel()
	cal := mcpserver.Start(t, diary(mcpserver.Legacy))
	issuer := harness.NewIssuer(t)
	log := filepath.Join(t.TempDir(), "access.log")
	config := func(rules string) harness.Config {
		return harness.Config{Servers: []harness.Server{behind(cal, "cal")}, Auth: issuer.Auth(guarded), More: rules, Gateway: []string{"accessLog: " + log}}
	}
	g := harness.Run(t, config(rulesOf(t, "scopes")))
	as := asTokens{t: t, g: g, issuer: issuer}
	c := as.client("read")
	if r := c.Post(call("1", "cal_delete_event")); ok(r) {
		t.Errorf("%s", r)
	}
	stream := c.Listen()
	g.Reload(config(rulesOf(t, "stepup")))
	if got := stream.Next(); !strings.Contains(got, "list_changed") {
		t.Errorf("on the open stream: %s", got)
	}
	if names := c.Names("tools/list"); !slices.Contains(names, "cal_delete_event") {
		t.Errorf("after the change: %v", names)
	}
	if r := c.Post(call("1", "cal_delete_event")); r.Status != 403 {
		t.Errorf("after the change: %s", r)
	}
	harness.Eventually(t, "decisions are in the access log", func() bool {
		text, err := os.ReadFile(log)
		if err != nil {
			return false
		}
		hidden, lacking := false, false
		for line := range strings.Lines(string(text)) {
			var entry struct{ Decision, Rule, Principal, Error, Name, ClientID string }
			if json.Unmarshal([]byte(strings.ReplaceAll(line, `"client_id"`, `"clientid"`)), &entry) != nil || len(entry.Principal) != 64 || entry.ClientID != "test" {
				continue
			}
			hidden = hidden || entry.Decision == "deny" && entry.Rule == "deleting" && entry.Error == "hidden" && entry.Name == "cal_delete_event"
			lacking = lacking || entry.Decision == "scopes" && entry.Rule == "deleting"
		}
		return hidden && lacking
	})
	g.Write("authorization: {rules: [{name: a, when: nobody}]}\n")
	if r := c.Post(call("1", "cal_delete_event")); r.Status != 403 {
		t.Errorf("after a faulty file: %s", r)
	}
}
