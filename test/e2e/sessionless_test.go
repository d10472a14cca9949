package e2e

import (
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// Clients of the stateless revision use a server of somebody else's that has
// sessions only, with all that it asks and reports.
func TestStatelessClientsOfAServerWithSessions(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		{Name: "everything", URL: harness.Everything(t), Prefix: "all_"},
	}})
	for _, c := range eraClients(t) {
		if c.era != modern {
			continue
		}
		// One after another: without credentials they are one caller and share a session,
		// and this server asks for roots beside its calls. Only where a single call is
		// under way is it known whom to ask.
		t.Run(c.name, func(t *testing.T) {
			out := c.run(t, g.URL, `[
				{"do":"tools/list"},
				{"do":"tools/call","name":"all_echo","arguments":{"message":"hi"}},
				{"do":"tools/call","name":"all_trigger-long-running-operation","arguments":{"duration":1,"steps":3}},
				{"do":"tools/call","name":"all_trigger-sampling-request","arguments":{"prompt":"P","maxTokens":9}},
				{"do":"tools/call","name":"all_trigger-elicitation-request","arguments":{}},
				{"do":"tools/call","name":"all_get-roots-list","arguments":{}},
				{"do":"prompts/get","name":"all_simple-prompt","arguments":{}},
				{"do":"resources/read","uri":"demo://resource/dynamic/text/1"},
				{"do":"resources/read","uri":"demo://resource/dynamic/text/x"},
				{"do":"tools/call","name":"all_get-sum","arguments":{"a":"x"}}
			]`, `{"answers":{`+modelAnswer+`,`+userAnswer+`,`+rootsAnswer+`}}`)
			if out.Initialize.ProtocolVersion != revisionModern {
				t.Errorf("revision %s", out.Initialize.ProtocolVersion)
			}
			for i, want := range []string{
				"all_trigger-sampling-request", "Echo: hi", "Long running operation completed", "to Resource trigger-sampling-request context: P",
				"accept", "file:///first", "simple prompt", "demo://resource/dynamic/text/1",
			} {
				text := string(out.Steps[i].Result)
				if !strings.Contains(text, want) {
					t.Errorf("step %d: %s, want %s", i, out.Steps[i].text(), want)
				}
			}
			if len(out.Steps[2].Progress) != 3 {
				t.Errorf("progress %v", out.Steps[2].Progress)
			}
			if e := out.Steps[8].Error; e == nil || e.Code == -32002 {
				t.Errorf("unknown resource: %s", out.Steps[8].text())
			}
		})
	}
}

// What has no session is answered where the operator wants it.
func TestCallsWithoutASession(t *testing.T) {
	t.Parallel()
	_, python := harness.Python(t, "")
	g := harness.Run(t, harness.Config{
		Gateway: []string{"sessionless: pooled"},
		Servers: []harness.Server{{Name: "everything", URL: harness.Everything(t), Prefix: "all_"}, {Name: "python", URL: python, Prefix: "py_"}},
	})
	c := harness.NewClient(t, g.URL)
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`:                                                                 `"all_echo"`,
		`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"all_echo","arguments":{"message":"hi"}}}`:     `Echo: hi`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"py_link","arguments":{"name":"x"}}}`:            `"uri":"python+note://x"`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"all_trigger-sampling-request","arguments":{}}}`: `not found`,
	} {
		r := c.Post(body)
		if r.Status != http.StatusOK || !strings.Contains(r.Message(), want) {
			t.Errorf("%s: %s", body, r)
		}
		if r.Header.Get(harness.HeaderSession) != "" {
			t.Errorf("%s: a session", body)
		}
	}
	if r := c.Post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`); r.Status != http.StatusAccepted {
		t.Errorf("notification: %s", r)
	}
}
