package e2e

import (
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// Servers of public SDKs, which validate what they get.
func TestModernCallsOfPublicServers(t *testing.T) {
	t.Parallel()
	_, python := harness.Python(t, "")
	_, reference := harness.ReferenceModern(t, "")
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		{Name: "python", URL: python, Prefix: "py_"}, {Name: "go", URL: reference, Prefix: "go_"},
	}})
	c := harness.NewClient(t, g.URL)
	for _, tt := range []struct{ method, name, params, want string }{
		{"tools/call", "py_link", `"name":"py_link","arguments":{"name":"x"}`, `"uri":"python+note://x"`},
		{"prompts/get", "py_greet", `"name":"py_greet","arguments":{"name":"you"}`, "Say hello to you."},
		{"resources/read", "python+note://me", `"uri":"python+note://me"`, "A note of me."},
		{"completion/complete", "", `"ref":{"type":"ref/prompt","name":"py_greet"},"argument":{"name":"name","value":"v"}`, `["prompt","greet","name","v",""]`},
		{"tools/call", "go_test_simple_text", `"name":"go_test_simple_text","arguments":{}`, "simple text"},
		{"resources/read", "go+test://static-text", `"uri":"go+test://static-text"`, `"uri":"go+test://static-text"`},
	} {
		r := modernClient(c, tt.method, tt.name).Post(modernBody(tt.method, tt.params))
		if !ok(r) || !strings.Contains(strings.ReplaceAll(r.Message(), ", ", ","), tt.want) {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.name, r, tt.want)
		}
	}
	progress := strings.Replace(modernBody("tools/call", `"name":"py_count","arguments":{"to":3}`), `"_meta":{`, `"_meta":{"progressToken":"t",`, 1)
	s := modernClient(c, "tools/call", "py_count").Open(http.MethodPost, progress)
	for _, want := range []string{"step 1", "step 2", "step 3", "counted to 3"} {
		if got := s.Next(); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A client of 2026-07-28 cancels by going away.
func TestModernDisconnectCancels(t *testing.T) {
	t.Parallel()
	_, python := harness.Python(t, "")
	g := harness.Run(t, harness.Config{Servers: []harness.Server{{Name: "python", URL: python, Prefix: "py_"}}})
	c := harness.NewClient(t, g.URL)
	hang := strings.Replace(modernBody("tools/call", `"name":"py_hang","arguments":{"name":"h"}`), `"_meta":{`, `"_meta":{"progressToken":"t",`, 1)
	s := modernClient(c, "tools/call", "py_hang").Open(http.MethodPost, hang)
	s.Until("begun")
	s.Close()
	harness.Eventually(t, "end of the tool", func() bool {
		r := modernClient(c, "tools/call", "py_was_cancelled").Post(modernBody("tools/call", `"name":"py_was_cancelled","arguments":{"name":"h"}`))
		return strings.Contains(r.Message(), "true")
	})
}
