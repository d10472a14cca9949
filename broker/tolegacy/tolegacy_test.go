package tolegacy

import (
	"encoding/json"
	"testing"

	"mcp-gateway/internal/jsonrpc"
)

func scan(t *testing.T, text string) *jsonrpc.Message {
	t.Helper()
	var m jsonrpc.Message
	if err := m.Scan([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &m
}

// own is what the stateless revisions put into _meta.
const (
	version      = `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`
	capabilities = `"io.modelcontextprotocol/clientCapabilities":{"roots":{}}`
	info         = `"io.modelcontextprotocol/clientInfo":{"name":"c"}`
	level        = `"io.modelcontextprotocol/logLevel":"debug"`
)

func TestRequest(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, own, want string }{
		"tool": {
			`{"jsonrpc":"2.0", "id": 7,"method":"tools/call","params":{"name":"one_a","arguments":{"n":1.0e400,"name":"one_a"},"x":[ ],"_meta":{` + version + `, "progressToken":5,` + capabilities + `,"traceparent":"00",` + info + `,` + level + `}}}`, "a",
			`{"jsonrpc":"2.0", "id": "k1","method":"tools/call","params":{"name":"a","arguments":{"n":1.0e400,"name":"one_a"},"x":[ ],"_meta":{"progressToken":"k1","traceparent":"00"}}}`,
		},
		"nothing else in _meta": {
			`{"jsonrpc":"2.0","id":"x","method":"prompts/get","params":{"_meta":{` + version + `,` + capabilities + `},"name":"p"}}`, "p",
			`{"jsonrpc":"2.0","id":"k1","method":"prompts/get","params":{"_meta":{},"name":"p"}}`,
		},
		"no token": {
			`{"jsonrpc":"2.0","id":"x","method":"prompts/get","params":{"_meta":{"progressToken":null,` + version + `,"a":1},"name":"p"}}`, "p",
			`{"jsonrpc":"2.0","id":"k1","method":"prompts/get","params":{"_meta":{"a":1},"name":"p"}}`,
		},
		"retry": {
			`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"inputResponses":{"a":1},"uri":"one+a:b","requestState":"s" ,"task":{"ttl":1}, "_meta":{` + version + `}}}`, "a:b",
			`{"jsonrpc":"2.0","id":"k1","method":"resources/read","params":{"uri":"a:b","_meta":{}}}`,
		},
		"last members": {
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a" , "requestState":null, "inputResponses":{}}}`, "a",
			`{"jsonrpc":"2.0","id":"k1","method":"tools/call","params":{"name":"a"}}`,
		},
		"prompt's argument": {
			`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"one_p"},"argument":{"name":"one_p","value":""}}}`, "p",
			`{"jsonrpc":"2.0","id":"k1","method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"one_p","value":""}}}`,
		},
		"template": {
			`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","name":"q","uri":"one+a:{b}"}}}`, "a:{b}",
			`{"jsonrpc":"2.0","id":"k1","method":"completion/complete","params":{"ref":{"type":"ref/resource","name":"q","uri":"a:{b}"}}}`,
		},
		"other spelling of a key": {
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","\u0069nputResponses":{}}}`, "a",
			`{"jsonrpc":"2.0","id":"k1","method":"tools/call","params":{"name":"a"}}`,
		},
	} {
		if got := string(Request(scan(t, tt.in), []byte(tt.in), tt.own, "k1")); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
}

func TestResponse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ method, in, want string }{
		"tool": {
			"tools/call", `{"id":"k1","jsonrpc":"2.0","result":{"content":[{"type":"resource_link","uri":"a:b","name":"n"}],"structuredContent":{"uri":"a:b","n":1.0}}}`,
			`{"id":7,"jsonrpc":"2.0","result":{"resultType":"complete","content":[{"type":"resource_link","uri":"one+a:b","name":"n"}],"structuredContent":{"uri":"a:b","n":1.0}}}`,
		},
		"empty":            {"tools/call", `{"jsonrpc":"2.0","id":"k1","result":{}}`, `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete"}}`},
		"says so already":  {"tools/call", `{"jsonrpc":"2.0","id":"k1","result":{"content":[], "resultType":"input_required"}}`, `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}`},
		"resource":         {"resources/read", `{"jsonrpc":"2.0","id":"k1","result":{"ttlMs":-5,"contents":[{"uri":"a:b"}]}}`, `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","contents":[{"uri":"one+a:b"}]}}`},
		"task":             {"tools/call", `{"jsonrpc":"2.0","id":"k1","result":{"task":{"taskId":"t"}}}`, ``},
		"no object":        {"tools/call", `{"jsonrpc":"2.0","id":"k1","result":[1]}`, ``},
		"error":            {"tools/call", `{"jsonrpc":"2.0","id":"k1","error":{"code":-32000,"message":"m","data":1.0}}`, `{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"m","data":1.0}}`},
		"not found":        {"resources/read", `{"jsonrpc":"2.0","id":"k1","error":{"code":-32002,"message":"m"}}`, `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"m","data":{"uri":"one+a:b"}}}`},
		"not found, where": {"resources/read", `{"jsonrpc":"2.0","id":"k1","error":{"data":{"uri":"a:b","x":1},"code":-32002,"message":"m"}}`, `{"jsonrpc":"2.0","id":7,"error":{"data":{"uri":"one+a:b","x":1},"code":-32602,"message":"m"}}`},
		"not found, words": {"resources/read", `{"jsonrpc":"2.0","id":"k1","error":{"code":-32002,"message":"m","data":"gone"}}`, `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"m","data":{"uri":"one+a:b"}}}`},
		"not found, tool":  {"tools/call", `{"jsonrpc":"2.0","id":"k1","error":{"code":-32002,"message":"m"}}`, `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"m"}}`},
	} {
		got, ok := Response([]byte(tt.in), Answered{ID: []byte("7"), Method: tt.method, URI: "one+a:b", Label: "one"})
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
}

func TestDeclared(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		capabilities, method, params string
		want                         int
	}{
		{`{}`, "roots/list", `{}`, -32601},
		{`{"roots":true}`, "roots/list", `{}`, -32601},
		{`{"roots":{}}`, "roots/list", `{}`, 0},
		{`{"roots":{}}`, "tasks/get", `{}`, -32601},
		{`{"sampling":{}}`, "sampling/createMessage", `{}`, 0},
		{`{"sampling":{}}`, "sampling/createMessage", `{"tools":[]}`, -32602},
		{`{"sampling":{}}`, "sampling/createMessage", `{"toolChoice":{"mode":"none"}}`, -32602},
		{`{}`, "sampling/createMessage", `{"tools":[]}`, -32601},
		{`{"sampling":{"tools":{}}}`, "sampling/createMessage", `{"tools":[]}`, 0},
		{`{"roots":{}}`, "sampling/createMessage", `{}`, -32601},
		{`{"elicitation":{}}`, "elicitation/create", `{}`, 0},
		{`{"elicitation":{}}`, "elicitation/create", `{"mode":"url"}`, -32602},
		{`{"elicitation":{"url":{}}}`, "elicitation/create", `{"mode":"url"}`, 0},
		{`{"elicitation":{"url":{}}}`, "elicitation/create", `{"mode":"form"}`, -32602},
		{`{"elicitation":{"url":{},"form":{}}}`, "elicitation/create", `{}`, 0},
		{`{}`, "elicitation/create", `{}`, -32601},
	} {
		if got, _ := (Input{Method: tt.method, Params: []byte(tt.params)}).Declared([]byte(tt.capabilities)); got != tt.want {
			t.Errorf("%s %s %s: %d, want %d", tt.capabilities, tt.method, tt.params, got, tt.want)
		}
	}
}

func TestInputRoundTrip(t *testing.T) {
	t.Parallel()
	elicit := `{"jsonrpc":"2.0","id":"s 1","method":"elicitation/create","params":{"mode":"url","elicitationId":"e","url":"https://x/<y>","message":"m"}}`
	roots := `{"jsonrpc":"2.0","id":2,"method":"roots/list"}`
	inputs := []Input{ReadInput(scan(t, elicit), []byte(elicit), "a"), ReadInput(scan(t, roots), []byte(roots), "b")}
	const want = `{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"https://x/<y>","message":"srv: m"}},"b":{"method":"roots/list","params":{}}},"requestState":"st"}}`
	if got := string(Required([]byte("7"), inputs, "st", "srv")); got != want || !json.Valid([]byte(got)) {
		t.Errorf("got %s", got)
	}
	got, err := Take(inputs, []byte(`{"b":{"roots":[ {"uri":"file:///a"}]},"c":1}`))
	if err != nil || len(got) != 1 {
		t.Fatalf("%v %v", got, err)
	}
	if answer := string(inputs[1].Answer(got["b"])); answer != `{"jsonrpc":"2.0","id":2,"result":{"roots":[ {"uri":"file:///a"}]}}` {
		t.Errorf("answer %s", answer)
	}
	for _, wrong := range []string{`{"a":12345}`, `{"a":{}}`, `{"a":{"action":"maybe"}}`, `{"b":{}}`, `{"b":null}`} {
		if _, err := Take(inputs, []byte(wrong)); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	raw := `{"code":-32042,"message":"m","data":{"elicitations":[{"elicitationId":"e","url":"https://a","message":"go"},{"mode":"url","url":"https://b"},{"url":5}]}}`
	got, ok := URLs([]byte(raw))
	if !ok || len(got) != 2 || string(got[0].Params) != `{"mode":"url","url":"https://a","message":"go"}` || got[1].Key != "url-2" {
		t.Errorf("%+v %v", got, ok)
	}
	for _, none := range []string{`{"code":-32042}`, `{"data":{"elicitations":[]}}`, `{"data":{"elicitations":{}}}`} {
		if _, ok := URLs([]byte(none)); ok {
			t.Error(none)
		}
	}
}

func TestReadRetry(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]Retry{
		`{}`: {},
		`{"requestState":"s\u0041","inputResponses":{"a":{}}}`: {State: "sA", HasState: true, Responses: []byte(`{"a":{}}`)},
		`{"requestState":5}`:                          {HasState: true, Malformed: true},
		`{"requestState":"s","inputResponses":[]}`:    {State: "s", HasState: true, Responses: []byte(`[]`), Malformed: true},
		`{"requestState":null,"inputResponses":null}`: {},
	} {
		got := ReadRetry([]byte(params))
		if got.State != want.State || got.HasState != want.HasState || string(got.Responses) != string(want.Responses) || got.Malformed != want.Malformed {
			t.Errorf("%s: %+v", params, got)
		}
	}
}
