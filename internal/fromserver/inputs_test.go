package fromserver_test

import (
	"encoding/json"
	"testing"

	"mcp-gateway/internal/fromserver"
)

func TestUndeclared(t *testing.T) {
	t.Parallel()
	asks := func(inputs string) string {
		return `{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{` + inputs + `}}}`
	}
	const form, url = `"k":{"method":"elicitation/create","params":{"message":"m"}}`, `"k":{"method":"elicitation/create","params":{"mode":"url","url":"u"}}`
	for _, tt := range []struct{ message, capabilities, want string }{
		{asks(form), `{"elicitation":{}}`, ""},
		{asks(form), `{"elicitation":{"form":{}}}`, ""},
		{asks(form), `{"elicitation":{"url":{}}}`, "elicitation"},
		{asks(form), `{"elicitation":true}`, "elicitation"},
		{asks(form), ``, "elicitation"},
		{asks(url), `{"elicitation":{}}`, "elicitation.url"},
		{asks(url), `{"elicitation":{"url":{}}}`, ""},
		{asks(`"k":{"method":"sampling/createMessage"}`), `{"sampling":{}}`, ""},
		{asks(`"k":{"method":"sampling/createMessage"}`), `{"roots":{}}`, "sampling"},
		{asks(`"k":{"method":"sampling/createMessage","params":{"tools":[]}}`), `{"sampling":{}}`, "sampling.tools"},
		{asks(`"k":{"method":"sampling/createMessage","params":{"tool\u0043hoice":{}}}`), `{"sampling":{}}`, "sampling.tools"},
		{asks(`"k":{"method":"sampling/createMessage","params":{"tools":[]}}`), `{"sampling":{"tools":{}}}`, ""},
		{asks(`"k":{"method":"roots/list"}`), `{"roots":{}}`, ""},
		{asks(form + `,"l":{"method":"roots/list"}`), `{"elicitation":{}}`, "roots"},
		{asks(`"k":{"method":"tools/call"}`), `{"elicitation":{},"sampling":{},"roots":{}}`, "tools/call"},
		{asks(`"k":{"m\u0065thod":"r\u006fots/list"}`), `{}`, "roots"},
		{asks(`"k":{"method":"roots/list","method":"x"}`), `{"roots":{}}`, fromserver.Unreadable},
		{asks(`"k":{}`), `{}`, fromserver.Unreadable},
		{asks(``), `{}`, ""},
		{asks(`"k":{"method":"roots/list"`), `{"roots":{}}`, fromserver.Unreadable},
		{`{"result":{"content":[{"text":"inputRequests"}]}}`, `{}`, ""},
		{`{"error":{"code":1,"data":{"inputRequests":{"k":{"method":"roots/list"}}}}}`, `{}`, ""},
	} {
		if got := fromserver.Undeclared([]byte(tt.message), []byte(tt.capabilities)); got != tt.want {
			t.Errorf("%s, %s: %q, want %q", tt.message, tt.capabilities, got, tt.want)
		}
	}
}

func TestRequiredCapabilities(t *testing.T) {
	t.Parallel()
	for capability, want := range map[string]string{
		"sampling":        `{"requiredCapabilities":{"sampling":{}}}`,
		"sampling.tools":  `{"requiredCapabilities":{"sampling":{"tools":{}}}}`,
		"elicitation.url": `{"requiredCapabilities":{"elicitation":{"url":{}}}}`,
		"tools/call":      "",
	} {
		if got := string(fromserver.AppendRequired(nil, capability)); got != want {
			t.Errorf("%s: %s", capability, got)
		}
	}
}

func TestURLsAreNamed(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"mode":"url","message":"m","url":"u"}`:          `{"mode":"url","message":"docs: m","url":"u"}`,
		`{"message":"\"\u00e9","m\u006fde":"\u0075rl"}`:   `{"message":"docs: \"é","m\u006fde":"\u0075rl"}`,
		`{"mode":"url","message":"a","m\u0065ssage":"b"}`: `{"mode":"url","message":"docs: a","m\u0065ssage":"docs: b"}`,
		`{"mode":"form","message":"m","url":"u"}`:         `{"mode":"form","message":"m","url":"u"}`,
		`{"message":"m"}`:             `{"message":"m"}`,
		`{"mode":"url","message":1}`:  `{"mode":"url","message":1}`,
		`{"mode":"url","message":"m"`: `{"mode":"url","message":"m"`,
		`null`:                        `null`,
	} {
		if got := string(fromserver.NameURL([]byte(in), "docs")); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	l := fromserver.Labels{Server: "docs"}
	const asked = `{"result":{"inputRequ\u0065sts":{"k":{"method":"elicitation/create","params":{"mode":"url","message":"m"}}}}}`
	const want = `{"result":{"inputRequ\u0065sts":{"k":{"method":"elicitation/create","params":{"mode":"url","message":"docs: m"}}}}}`
	if got := string(l.Append(nil, []byte(asked))); got != want {
		t.Error(got)
	}
}

// FuzzUndeclared: what a client that reads JSON finds in a result it was not asked
// without having declared it.
func FuzzUndeclared(f *testing.F) {
	for _, message := range []string{
		`{"result":{"inputRequests":{"k":{"method":"roots/list"}}}}`, `{"result":{"inputRequ\u0065sts":{"k":{"m\u0065thod":"sampling/createMessage"}}}}`,
		`{"result":{"inputRequests":{}},"result":{"inputRequests":{"k":{"method":"roots/list"}}}}`, `{"result":{"inputRequests":{"k":{"method":"x","method":"roots/list"}}}}`,
		` {"r\u0065sult":{"inputRequests":{"k":{"params":{"mode":"url"},"method":"elicitation/create"}}}} `, `[]`, `{"result":[]}`,
	} {
		f.Add([]byte(message))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if fromserver.MayAsk(message) && fromserver.Undeclared(message, []byte(`{}`)) != "" {
			return
		}
		var top map[string]json.RawMessage
		var result, inputs map[string]json.RawMessage
		if json.Unmarshal(message, &top) != nil || json.Unmarshal(top["result"], &result) != nil || json.Unmarshal(result["inputRequests"], &inputs) != nil {
			return
		}
		for key, raw := range inputs {
			var request map[string]json.RawMessage
			var method string
			if json.Unmarshal(raw, &request) == nil && json.Unmarshal(request["method"], &method) == nil && method != "" {
				t.Fatalf("%q asks for %s under %q", message, method, key)
			}
		}
	})
}
