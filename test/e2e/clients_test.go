package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
)

// What the two demo servers and the reference server offer behind one gateway.
// Of the reference server some names are enough: its list changes with versions.
var (
	demoTools = []string{
		"weather_fail", "weather_get_forecast", "weather_get_weather", "cal_add_event", "cal_delete_event", "cal_list_events",
	}
	everythingTools   = []string{"everything_echo", "everything_get-sum", "everything_trigger-long-running-operation"}
	demoPrompts       = []string{"weather_pack_bag", "cal_plan_meeting"}
	everythingPrompts = []string{"everything_simple-prompt", "everything_args-prompt"}
	demoResources     = []string{"weather+weather://stations", "cal+cal://events"}
	demoTemplates     = []string{"weather+weather://cities/{city}/current", "cal+cal://days/{date}"}
)

const (
	berlin     = "Berlin: partly cloudy, 18°C"
	everything = "everything+demo://resource/static/document/architecture.md"
)

func public(t *testing.T) *harness.Gateway {
	t.Helper()
	return harness.Run(t, harness.Config{Servers: []harness.Server{
		{Name: "weather", URL: harness.Demo(t, "weather"), Prefix: "weather_"},
		{Name: "cal", URL: harness.Demo(t, "cal"), Prefix: "cal_"},
		{Name: "everything", URL: harness.Everything(t), Prefix: "everything_"},
	}})
}

// command runs a client and returns what it wrote to stdout.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = harness.Root(t)
	// The Inspector would ask the desktop's keychain.
	c.Env = append(c.Environ(), "MCP_INSPECTOR_SECRET_STORE=memory")
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", strings.Join(c.Args, " "), err, out, stderr.String())
	}
	return string(out)
}

// step is what a client program reports of one request.
type step struct {
	Result struct {
		Tools, Prompts, ResourceTemplates []struct{ Name, URITemplate string }
		Resources, Contents               []struct{ URI, Text string }
		Content                           []struct{ Type, Text, URI string }
		Messages                          []struct{ Content struct{ Text string } }
		StructuredContent                 map[string]any
		IsError                           bool
	}
	Error *struct {
		Code    int
		Message string
	}
	Progress []struct{ Progress, Total float64 }
}

// text is the first text of a tool's answer.
func (s step) text() string {
	for _, c := range s.Result.Content {
		if c.Type == "text" {
			return c.Text
		}
	}
	return ""
}

const steps = `[
	{"do":"ping"},
	{"do":"tools/list"},
	{"do":"tools/call","name":"weather_get_weather","arguments":{"city":"Berlin"}},
	{"do":"tools/call","name":"everything_get-sum","arguments":{"a":2,"b":40}},
	{"do":"tools/call","name":"weather_get_forecast","arguments":{"city":"Berlin","days":3}},
	{"do":"tools/call","name":"everything_trigger-long-running-operation","arguments":{"duration":1,"steps":4}},
	{"do":"tools/call","name":"weather_fail"},
	{"do":"tools/call","name":"weather_nope"},
	{"do":"prompts/list"},
	{"do":"prompts/get","name":"cal_plan_meeting","arguments":{"topic":"tests"}},
	{"do":"prompts/get","name":"everything_simple-prompt"},
	{"do":"resources/list"},
	{"do":"resources/templates/list"},
	{"do":"resources/read","uri":"weather+weather://stations"},
	{"do":"resources/read","uri":"cal+cal://days/2026-03-02"},
	{"do":"resources/read","uri":"` + everything + `"},
	{"do":"resources/read","uri":"cal+cal://nope"}
]`

// checkSteps checks what a client made of the steps above.
func checkSteps(t *testing.T, output string) {
	t.Helper()
	checkProgress(t, output, harness.Revision, 4)
}

// checkProgress is checkSteps for a client of a revision that shows its user at least so
// many of the four notifications of the long operation.
func checkProgress(t *testing.T, output, revision string, shown int) {
	t.Helper()
	var got struct {
		Initialize struct {
			ProtocolVersion, Instructions string
			ServerInfo                    struct{ Name string }
			Capabilities                  map[string]any
		}
		Steps []step
	}
	if err := json.Unmarshal([]byte(output), &got); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if got.Initialize.ProtocolVersion != revision || got.Initialize.ServerInfo.Name != "mcp-gateway" ||
		!strings.Contains(got.Initialize.Instructions, "## weather\n") {
		t.Errorf("initialize: %+v", got.Initialize)
	}
	if len(got.Steps) != 17 {
		t.Fatalf("%d steps: %s", len(got.Steps), output)
	}
	for i, s := range got.Steps {
		if refused := i == 7 || i == 16; (s.Error != nil) != refused && !s.Result.IsError {
			t.Errorf("step %d: error %+v", i, s.Error)
		}
	}
	s := got.Steps
	var tools, prompts, resources, templates []string
	for _, x := range s[1].Result.Tools {
		tools = append(tools, x.Name)
	}
	for _, x := range s[8].Result.Prompts {
		prompts = append(prompts, x.Name)
	}
	for _, x := range s[11].Result.Resources {
		resources = append(resources, x.URI)
	}
	for _, x := range s[12].Result.ResourceTemplates {
		templates = append(templates, x.URITemplate)
	}
	wantStart(t, "tools", tools, demoTools, everythingTools)
	wantStart(t, "prompts", prompts, demoPrompts, everythingPrompts)
	wantStart(t, "resources", resources, demoResources, []string{everything})
	wantStart(t, "templates", templates, demoTemplates, nil)

	contains(t, "get_weather", s[2].text(), berlin)
	if content := s[2].Result.Content; len(content) != 2 || content[1].URI != "weather+weather://cities/Berlin/current" {
		t.Errorf("get_weather: content %+v", content)
	}
	if s[2].Result.StructuredContent["city"] != "Berlin" {
		t.Errorf("get_weather: structured content %v", s[2].Result.StructuredContent)
	}
	contains(t, "get-sum", s[3].text(), "42")
	if n := len(s[4].Progress); n != 3 || s[4].Progress[2].Progress != 3 {
		t.Errorf("get_forecast: progress %+v", s[4].Progress)
	}
	if n := len(s[5].Progress); n < shown || n > 4 {
		t.Errorf("long operation: progress %+v", s[5].Progress)
	}
	if !s[6].Result.IsError || !strings.Contains(s[6].text(), "out of order") {
		t.Errorf("fail: %+v", s[6])
	}
	if s[7].Error == nil || s[7].Error.Code != -32602 {
		t.Errorf("unknown tool: %+v", s[7])
	}
	for i, want := range map[int]string{9: "about tests", 10: "simple prompt"} {
		if m := s[i].Result.Messages; len(m) == 0 || !strings.Contains(m[0].Content.Text, want) {
			t.Errorf("prompt of step %d: %+v", i, m)
		}
	}
	for i, want := range map[int][2]string{
		13: {"weather+weather://stations", "Berlin"}, 14: {"cal+cal://days/2026-03-02", "Stand-up"}, 15: {everything, "Server"},
	} {
		if c := s[i].Result.Contents; len(c) != 1 || c[0].URI != want[0] || !strings.Contains(c[0].Text, want[1]) {
			t.Errorf("resource of step %d: %.500v", i, c)
		}
	}
	if s[16].Error == nil {
		t.Errorf("unknown resource: %+v", s[16])
	}
}

// wantStart checks that a list begins with some items, in any order among them,
// and holds others.
func wantStart(t *testing.T, what string, got, start, others []string) {
	t.Helper()
	if len(got) < len(start) {
		t.Errorf("%s: %q", what, got)
		return
	}
	if diff := cmp.Diff(start, got[:len(start)]); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	for _, o := range others {
		contains(t, what, strings.Join(got, "\n"), o)
	}
}

func contains(t *testing.T, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s: %q is not in %.2000s", what, part, text)
	}
}

func TestPublicClients(t *testing.T) {
	t.Parallel()
	g := public(t)
	node := harness.Tool(t, ".tools/node/bin/node")
	python := harness.Tool(t, ".tools/venv/bin/python")

	t.Run("TypeScript SDK", func(t *testing.T) {
		t.Parallel()
		checkSteps(t, command(t, node, "test/clients/ts/client.mjs", g.URL, steps))
	})
	t.Run("Python SDK", func(t *testing.T) {
		t.Parallel()
		checkSteps(t, command(t, python, "test/clients/py/client.py", g.URL, steps, "legacy"))
	})
	t.Run("Python SDK that probes for the newest revision", func(t *testing.T) {
		t.Parallel()
		// That one has no ping.
		modern := strings.Replace(steps, `"do":"ping"`, `"do":"tools/list"`, 1)
		checkProgress(t, command(t, python, "test/clients/py/client.py", g.URL, modern, "auto"), "2026-07-28", 4)
	})
	t.Run("Inspector", func(t *testing.T) {
		t.Parallel()
		inspector := harness.Tool(t, "test/clients/node_modules/.bin/mcp-inspector")
		for _, ask := range []struct {
			args []string
			want []string
		}{
			{[]string{"--method", "tools/list"}, append(append([]string{}, demoTools...), everythingTools...)},
			{[]string{"--method", "tools/call", "--tool-name", "weather_get_weather", "--tool-arg", "city=Berlin"}, []string{berlin, "weather+weather://cities/Berlin/current"}},
			{[]string{"--method", "tools/call", "--tool-name", "everything_echo", "--tool-args-json", `{"message":"hello"}`}, []string{"Echo: hello"}},
			{[]string{"--method", "prompts/list"}, append(append([]string{}, demoPrompts...), everythingPrompts...)},
			{[]string{"--method", "prompts/get", "--prompt-name", "weather_pack_bag", "--prompt-args", "city=Oslo"}, []string{"I travel to Oslo"}},
			{[]string{"--method", "resources/list"}, append(append([]string{}, demoResources...), everything)},
			{[]string{"--method", "resources/templates/list"}, demoTemplates},
			{[]string{"--method", "resources/read", "--uri", "cal+cal://events"}, []string{"cal+cal://events", "Design review"}},
		} {
			args := append([]string{inspector, "--cli", g.URL, "--transport", "http", "--format", "json"}, ask.args...)
			out := command(t, node, args...)
			for _, want := range ask.want {
				contains(t, strings.Join(ask.args, " "), out, want)
			}
		}
	})
	t.Run("curl", func(t *testing.T) {
		t.Parallel()
		json := []string{"-sS", "-H", "content-type: application/json", "-H", "accept: application/json, text/event-stream"}
		out := command(t, "curl", append(json, "-i", g.URL, "-d",
			`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}`)...)
		_, session, ok := strings.Cut(out, "mcp-session-id: ")
		if !ok {
			t.Fatalf("no session in %s", out)
		}
		session, _, _ = strings.Cut(session, "\r\n")
		json = append(json, "-H", "mcp-session-id: "+session)
		out = command(t, "curl", append(json, g.URL, "-d", `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)...)
		for _, want := range append(append([]string{}, demoTools...), everythingTools...) {
			contains(t, "tools/list", out, `"name":"`+want+`"`)
		}
		out = command(t, "curl", append(json, g.URL, "-d",
			`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"weather_get_weather","arguments":{"city":"Berlin"}}}`)...)
		contains(t, "tools/call", out, berlin)
		command(t, "curl", append(json, "-f", "-X", "DELETE", g.URL)...)
	})
}
