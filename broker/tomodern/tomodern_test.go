package tomodern_test

import (
	"encoding/json"
	"testing"

	"mcp-gateway/broker/tomodern"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

func scan(t *testing.T, body string) *jsonrpc.Message {
	t.Helper()
	var m jsonrpc.Message
	if err := m.Scan([]byte(body)); err != nil {
		t.Fatal(err)
	}
	return &m
}

// The meta of a client that has declared nothing.
const bare = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}`

func TestMessage(t *testing.T) {
	t.Parallel()
	name := func(m *jsonrpc.Message) jsonrpc.Span { return m.Name }
	uri := func(m *jsonrpc.Message) jsonrpc.Span { return m.URI }
	ref := func(m *jsonrpc.Message) jsonrpc.Span { return m.RefName }
	for _, tt := range []struct {
		name             string
		body             string
		at               func(*jsonrpc.Message) jsonrpc.Span
		responses, state string
		want             string
	}{
		{
			"name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x_a","arguments":{"n":1.0e400,"\u0061":[ 1 ]}}}`, name, "", "",
			`{"jsonrpc":"2.0","id":"new","method":"tools/call","params":{"name":"own \"é\"","arguments":{"n":1.0e400,"\u0061":[ 1 ]},"_meta":{` + bare + `}}}`,
		},
		{
			"members in another order", `{ "params" : {"name":"x_a"} , "method":"tools/call", "id" : "c" , "jsonrpc":"2.0", "x":1}`, name, `{"k":1}`, `"s\u0041"`,
			`{ "params" : {"name":"own \"é\"","_meta":{` + bare + `},"inputResponses":{"k":1},"requestState":"s\u0041"} , "method":"tools/call", "id" : "new" , "jsonrpc":"2.0", "x":1}`,
		},
		{
			"own _meta", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"_meta":{"progressToken":7,"io.modelcontextprotocol/logLevel":"debug","io.modelcontextprotocol/clientInfo":{},"v/x":{"a":1}},"uri":"l+a:b"}}`, uri, "", "",
			`{"jsonrpc":"2.0","id":"new","method":"resources/read","params":{"uri":"own \"é\"","_meta":{"progressToken":7,"v/x":{"a":1},` + bare + `}}}`,
		},
		{
			"ref", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt", "name":"x_p"},"argument":{}}}`, ref, "", "",
			`{"jsonrpc":"2.0","id":"new","method":"completion/complete","params":{"ref":{"type":"ref/prompt", "name":"own \"é\""},"argument":{},"_meta":{` + bare + `}}}`,
		},
		{
			"what only a server may have asked for", `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"requestState":"forged","name":"x_p","inputResponse\u0073":{}}}`, name, "", "",
			`{"jsonrpc":"2.0","id":"new","method":"prompts/get","params":{"name":"own \"é\"","_meta":{` + bare + `}}}`,
		},
		{
			"no task", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"task":{"ttl":1},"name":"x_a","arguments":{"task":1}}}`, name, "", "",
			`{"jsonrpc":"2.0","id":"new","method":"tools/call","params":{"name":"own \"é\"","arguments":{"task":1},"_meta":{` + bare + `}}}`,
		},
		{
			"state alone", `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"x_p","_meta":3}}`, name, "", `""`,
			`{"jsonrpc":"2.0","id":"new","method":"prompts/get","params":{"name":"own \"é\"","_meta":{` + bare + `},"requestState":""}}`,
		},
	} {
		m := scan(t, tt.body)
		call := tomodern.NewCall([]byte(tt.body), m, tt.at(m), `own "é"`, tomodern.Client{Declared: tomodern.Declare(mcp.Revision20251125, nil)})
		for range 2 { // a call has many rounds
			if got := string(call.Message([]byte(`"new"`), raw(tt.responses), raw(tt.state))); got != tt.want {
				t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
			}
		}
	}
}

func raw(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func TestMetaSaysWhatTheSessionHasSettled(t *testing.T) {
	t.Parallel()
	const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`
	m := scan(t, body)
	for _, tt := range []struct {
		version      mcp.Revision
		capabilities string
		want         string // capabilities
	}{
		{mcp.Revision20251125, ``, `{}`},
		{mcp.Revision20251125, `{"tasks":{},"experimental":{"x":{}},"extensions":{}}`, `{}`},
		{mcp.Revision20251125, `{"roots":{"listChanged":true},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{"x":1},"url":{}}}`, `{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{"x":1},"url":{}},"roots":{}}`},
		{mcp.Revision20251125, `{"elicitation":{}}`, `{"elicitation":{"form":{}}}`},
		{mcp.Revision20251125, `{"elicitation":{"url":{}}}`, `{"elicitation":{"url":{}}}`},
		{mcp.Revision20250618, `{"elicitation":{"url":{}}}`, `{}`},
		{mcp.Revision20250618, `{"elicitation":{"form":{},"url":{}}}`, `{"elicitation":{"form":{}}}`},
		{mcp.Revision20250618, `{"elicitation":true,"sampling":1,"roots":null}`, `{}`},
	} {
		client := tomodern.Client{Info: json.RawMessage(`{"name":"c"}`), Level: "info", Declared: tomodern.Declare(tt.version, json.RawMessage(tt.capabilities))}
		got := string(tomodern.NewCall([]byte(body), m, m.Name, "a", client).Message([]byte("2"), nil, nil))
		want := `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/clientCapabilities":` + tt.want + `,"io.modelcontextprotocol/logLevel":"info"}}}`
		if got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}
