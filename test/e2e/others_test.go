package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// others are servers that nobody here wrote, of four SDKs.
type others struct {
	*harness.Gateway
	// urls are the servers' own endpoints by name, prefixes their prefixes.
	urls, prefixes map[string]string
}

// federation is one gateway before a server each of mcp-go, the Go SDK, the
// Python SDK and the TypeScript SDK.
func federation(t *testing.T) others {
	t.Helper()
	o := others{urls: map[string]string{"weather": harness.Demo(t, "weather"), "everything": harness.Everything(t)}}
	_, o.urls["reference"] = harness.Reference(t, "")
	_, o.urls["python"] = harness.Python(t, "")
	return o.behind(t, "weather", "reference", "python", "everything")
}

// behind runs a gateway before some of the servers, in this order.
func (o others) behind(t *testing.T, names ...string) others {
	t.Helper()
	o.prefixes = map[string]string{"weather": "weather_", "reference": "ref_", "python": "py_", "everything": "everything_"}
	var config harness.Config
	for _, name := range names {
		config.Servers = append(config.Servers, harness.Server{Name: name, URL: o.urls[name], Prefix: o.prefixes[name]})
	}
	o.Gateway = harness.Run(t, config)
	return o
}

// message is a notification or a request that a client program got.
type message struct {
	Method string
	Params json.RawMessage
}

// outcome is what a client program reports of one step.
type outcome struct {
	Result   json.RawMessage
	Progress []struct{ Progress, Total float64 }
	Error    *struct {
		Code    int
		Message string
	}
}

// text is the text of a tool's answer, or what went wrong instead.
func (o outcome) text() string {
	if o.Error != nil {
		return fmt.Sprintf("error %d: %s", o.Error.Code, o.Error.Message)
	}
	var r struct{ Content []struct{ Text string } }
	if json.Unmarshal(o.Result, &r) != nil || len(r.Content) == 0 {
		return string(o.Result)
	}
	return r.Content[0].Text
}

// together are the outcomes of a step "together".
func (o outcome) together(t *testing.T) []outcome {
	t.Helper()
	var r struct{ Steps []outcome }
	if err := json.Unmarshal(o.Result, &r); err != nil || len(r.Steps) == 0 {
		t.Fatalf("no steps in %s, error %v", o.Result, o.Error)
	}
	return r.Steps
}

// output is all that a client program reports.
type output struct {
	Initialize struct {
		ProtocolVersion, Instructions string
		Capabilities                  json.RawMessage
	}
	Steps         []outcome
	Notifications []message
	Requests      []message
}

// got counts the notifications of a method whose parameters hold text.
func (o output) got(method, text string) int {
	n := 0
	for _, m := range o.Notifications {
		if m.Method == method && strings.Contains(string(m.Params), text) {
			n++
		}
	}
	return n
}

// want checks the texts of the first steps; an empty one is not checked, but must
// be no error.
func (o output) want(t *testing.T, texts ...string) {
	t.Helper()
	if len(o.Steps) < len(texts) {
		t.Fatalf("%d steps, want %d", len(o.Steps), len(texts))
	}
	for i, want := range texts {
		got := o.Steps[i].text()
		if o.Steps[i].Error != nil && !strings.HasPrefix(want, "error ") || !strings.Contains(got, want) {
			t.Errorf("step %d: %.1000s, want %q", i, got, want)
		}
	}
}

// sdk is a client program of an SDK. It runs steps, with options, on a session of
// its own; test/clients/ts/client.mjs says what these are.
type sdk func(t *testing.T, url, steps, options string) output

// bySDK runs a test with the client of each SDK, at once.
func bySDK(t *testing.T, test func(t *testing.T, run sdk)) {
	t.Helper()
	for name, run := range map[string]sdk{"TypeScript client": typescriptClient("http"), "Python client": pythonClient("http")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, run)
		})
	}
}

// bySDKs runs each of the tests with the clients of both SDKs.
func bySDKs(t *testing.T, url string, tests map[string]func(*testing.T, string, sdk)) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bySDK(t, func(t *testing.T, run sdk) { test(t, url, run) })
		})
	}
}

func typescriptClient(transport string) sdk {
	return func(t *testing.T, url, steps, options string) output {
		t.Helper()
		return parse(t, command(t, harness.Tool(t, ".tools/node/bin/node"), "test/clients/ts/client.mjs", url, steps, transport, options))
	}
}

func pythonClient(transport string) sdk {
	return func(t *testing.T, url, steps, options string) output {
		t.Helper()
		return parse(t, command(t, harness.Tool(t, ".tools/venv/bin/python"), "-W", "ignore",
			"test/clients/py/client.py", url, steps, "legacy", transport, options))
	}
}

func parse(t *testing.T, text string) output {
	t.Helper()
	var out output
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v: %.2000s", err, text)
	}
	return out
}
