package conformance

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// A user thinks for longer than any usual timeout of a proxy, while nothing moves
// on the streams of the calls that wait for the answers.
func TestUserTakesTime(t *testing.T) {
	t.Parallel()
	const thinks = 45 * time.Second
	_, python := harness.Python(t, "")
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		{Name: refName, URL: reference(t), Prefix: refPrefix}, {Name: "python", URL: python, Prefix: "py_"},
	}})
	steps := `[{"do":"together","steps":[
		{"do":"tools/call","name":"ref_test_elicitation","arguments":{"message":"one"},"timeout":90000},
		{"do":"tools/call","name":"py_ask_user","arguments":{"message":"two"},"timeout":90000}
	]}]`
	options, err := json.Marshal(map[string]any{
		"delay": thinks.Milliseconds(),
		"answers": map[string]any{"elicitation/create": map[string]any{"result": map[string]any{
			"action": "accept", "content": map[string]any{"name": "to $TEXT", "username": "to $TEXT"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"TypeScript client": {harness.Tool(t, ".tools/node/bin/node"), "test/clients/ts/client.mjs", g.URL, steps, "http", string(options)},
		"Python client": {harness.Tool(t, ".tools/venv/bin/python"), "-W", "ignore", "test/clients/py/client.py", g.URL, steps,
			"legacy", "http", string(options)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			c := exec.CommandContext(t.Context(), args[0], args[1:]...)
			c.Dir = harness.Root(t)
			var stderr strings.Builder
			c.Stderr = &stderr
			out, err := c.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			for _, want := range []string{"username:to one", "the user says accept to two"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is not in %s", want, out)
				}
			}
			if took := time.Since(begin); took < thinks {
				t.Errorf("it took %v, the user alone takes %v", took, thinks)
			}
		})
	}
}
