package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/internal/pin"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// lockWithout pins what the servers of a configuration offer but for some items,
// which so are new, and returns the configuration with the lock file.
func lockWithout(t *testing.T, config harness.Config, server string, items ...pin.Item) harness.Config {
	t.Helper()
	dir := t.TempDir()
	path, lockPath := filepath.Join(dir, "gateway.yaml"), filepath.Join(dir, "tools.lock")
	config.More = "integrity: {pins: {onChange: quarantine, file: " + lockPath + "}}\n"
	if err := os.WriteFile(path, []byte(config.YAML()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := harness.Start(t, "pin", harness.Built(t, "mcp-gateway"), []string{"pin", "--config", path})
	if code := p.ExitCode(harness.Patience); code != 0 {
		t.Fatalf("pin: status %d", code)
	}
	text, err := os.ReadFile(lockPath)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := pin.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		if _, ok := lock[server].Get(i); !ok {
			t.Fatalf("%+v is not pinned", i)
		}
		delete(lock[server][i.Kind], i.Name)
	}
	if text, err = lock.Text(); err == nil {
		err = os.WriteFile(lockPath, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// A server that only the broker reaches is held to its pins like any other.
func TestQuarantineAtABridgedServer(t *testing.T) {
	t.Parallel()
	config := lockWithout(t, harness.Config{Servers: []harness.Server{harness.EverythingStdio(t, "everything", "listTimeout: 60s")}},
		"everything", pin.Item{Kind: pin.Tools, Name: "echo"}, pin.Item{Kind: pin.Prompts, Name: "simple-prompt"})
	g := harness.Run(t, config)
	c := harness.Connect(t, g.URL)
	harness.Eventually(t, "tools of the process", func() bool { return len(c.Names("tools/list")) > 5 })
	for _, name := range append(c.Names("tools/list"), c.Names("prompts/list")...) {
		if name == "everything_echo" || name == "everything_simple-prompt" {
			t.Errorf("%s is listed", name)
		}
	}
	contains(t, "another tool", c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"everything_get-sum","arguments":{"a":2,"b":40}}}`).Body, "42")
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"everything_echo","arguments":{"message":"x"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"everything_simple-prompt"}}`,
	} {
		contains(t, body, c.Post(body).Body, `"code":-32602`)
	}
}

// Also the only server of a gateway, whose names are as they are, hears nothing of
// what is quarantined: no call, no prompt, no completion, by clients of both eras.
func TestQuarantineAtASoleServer(t *testing.T) {
	t.Parallel()
	s := mcpserver.Start(t, mcpserver.Script{
		Name: "sole", Era: mcpserver.Dual,
		Capabilities: `{"tools":{"listChanged":true},"prompts":{},"completions":{}}`,
		Pages: map[string][]string{
			mcpserver.ToolsList:   {`{"name":"good","inputSchema":{"type":"object"}},{"name":"bad","inputSchema":{"type":"object"}}`},
			mcpserver.PromptsList: {`{"name":"fine"},{"name":"odd","arguments":[{"name":"a"}]}`},
		},
	})
	config := lockWithout(t, harness.Config{Servers: []harness.Server{{Name: "sole", URL: s.URL()}}},
		"sole", pin.Item{Kind: pin.Tools, Name: "bad"}, pin.Item{Kind: pin.Prompts, Name: "odd"})
	g := harness.Run(t, config)
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "good", "sole", "good")
	s.Forget()
	requests := map[string]string{
		"tools/call":          `"name":"bad","arguments":{}`,
		"prompts/get":         `"name":"odd"`,
		"completion/complete": `"ref":{"type":"ref/prompt","name":"odd"},"argument":{"name":"a","value":"x"}`,
	}
	for method, params := range requests {
		contains(t, method, c.Post(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+params+`}}`).Body, `"code":-32602`)
		name := ""
		if _, rest, ok := strings.Cut(params, `"name":"`); ok && method != "completion/complete" {
			name, _, _ = strings.Cut(rest, `"`)
		}
		m := modernClient(harness.NewClient(t, g.URL), method, name)
		contains(t, "stateless "+method, m.Post(modernBody(method, params)).Body, `"code":-32602`)
		if got := s.Received(method); len(got) > 0 {
			t.Errorf("%s: the server received %d", method, len(got))
		}
	}
}
