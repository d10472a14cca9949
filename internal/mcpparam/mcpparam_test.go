package mcpparam_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/mcpparam"
)

// The examples are those of 2026-07-28, basic/transports/streamable-http, and
// what goes by its rules.
func TestHeaders(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","properties":{
		"region":{"type":"string","x-mcp-header":"Region"},
		"n":{"type":"integer","x-mcp-header":"N"},
		"on":{"x-mcp-\u0068eader":"On","type":"boolean"},
		"in":{"type":"object","properties":{"deep er":{"type":"string","x-mcp-header":"Deep"}}},
		"x-mcp-header":{"type":"string"},
		"data":{"default":{"x-mcp-header":"no annotation"},"enum":[{"x-mcp-header":""}],"unknown":{"x-mcp-header":""}}
	}}`
	for _, tt := range []struct {
		arguments string
		want      map[string]string
	}{
		{`{"region":"us-west1","n":42,"on":true}`, map[string]string{"mcp-param-Region": "us-west1", "mcp-param-N": "42", "mcp-param-On": "true"}},
		{`{"on":false,"n":-7}`, map[string]string{"mcp-param-N": "-7", "mcp-param-On": "false"}},
		{`{"region":"Hello, 世界"}`, map[string]string{"mcp-param-Region": "=?base64?SGVsbG8sIOS4lueVjA==?="}},
		{`{"region":" padded "}`, map[string]string{"mcp-param-Region": "=?base64?IHBhZGRlZCA=?="}},
		{`{"region":"line1\nline2"}`, map[string]string{"mcp-param-Region": "=?base64?bGluZTEKbGluZTI=?="}},
		{`{"region":"=?base64?literal?="}`, map[string]string{"mcp-param-Region": "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="}},
		{`{"region":""}`, map[string]string{"mcp-param-Region": ""}},
		{`{"region":"\u0061b","region":"last"}`, map[string]string{"mcp-param-Region": "last"}},
		{`{"in":{"deep er":"x"}}`, map[string]string{"mcp-param-Deep": "x"}},
		{`{"in":{"deep\u0020er":"x"}}`, map[string]string{"mcp-param-Deep": "x"}},
		{`{"n":42.0}`, map[string]string{"mcp-param-N": "42"}},
		{`{"n":4.2e1}`, map[string]string{"mcp-param-N": "42"}},
		{`{"n":1.5}`, map[string]string{"mcp-param-N": "1.5"}},
		{`{"n":9007199254740993}`, map[string]string{"mcp-param-N": "9007199254740993"}},
		{`{"region":1.50}`, map[string]string{"mcp-param-Region": "1.50"}},
		{`{"region":null,"n":[1],"on":{},"in":"x"}`, nil},
		{`{"in":{}}`, nil},
		{`{}`, nil},
		{``, nil},
		{`[]`, nil},
	} {
		if diff := cmp.Diff(tt.want, mcpparam.Headers([]byte(schema), []byte(tt.arguments))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.arguments, diff)
		}
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	property := func(p string) string { return `{"properties":{"a":` + p + `}}` }
	for _, tt := range []struct {
		schema string
		valid  bool
	}{
		{``, true},
		{`true`, true},
		{`{"type":"object"}`, true},
		{property(`{"type":"string","x-mcp-header":"A-b.c"}`), true},
		{property(`{"properties":{"b":{"type":"integer","x-mcp-header":"A"}}}`), true},
		{`{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"B"}}}`, true},
		{property(`{"const":{"x-mcp-header":1}}`), true},

		{property(`{"type":"string","x-mcp-header":""}`), false},
		{property(`{"type":"string","x-mcp-header":"a b"}`), false},
		{property(`{"type":"string","x-mcp-header":"a:"}`), false},
		{property(`{"type":"string","x-mcp-header":"ä"}`), false},
		{property(`{"type":"string","x-mcp-header":"a\r\nb"}`), false},
		{property(`{"type":"string","x-mcp-header":1}`), false},
		{property(`{"type":"string","x-mcp-\u0068eader":""}`), false},
		{property(`{"type":"number","x-mcp-header":"A"}`), false},
		{property(`{"type":"object","x-mcp-header":"A"}`), false},
		{property(`{"type":["string"],"x-mcp-header":"A"}`), false},
		{property(`{"x-mcp-header":"A"}`), false},
		{`{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}`, false},
		{`{"x-mcp-header":"A","type":"string"}`, false},
		{`{"properties":{"a":{"type":"string","x-mcp-header":"A"}},"x`, false},
	} {
		if err := mcpparam.Valid([]byte(tt.schema)); (err == nil) != tt.valid {
			t.Errorf("%s: %v", tt.schema, err)
		}
		if !tt.valid && mcpparam.Headers([]byte(tt.schema), []byte(`{"a":"x"}`)) != nil {
			t.Errorf("%s asks for a header", tt.schema)
		}
	}
	const good = `{"type":"string","x-mcp-header":"A"}`
	for keyword, value := range map[string]string{
		"items": good, "not": good, "if": good, "then": good, "else": good, "additionalProperties": good, "contains": good,
		"allOf": `[` + good + `]`, "anyOf": `[true,` + good + `]`, "oneOf": `[` + good + `]`, "prefixItems": `[` + good + `]`,
		"$defs": `{"d":` + good + `}`, "patternProperties": `{"d":` + good + `}`, "dependentSchemas": `{"d":` + property(good) + `}`,
	} {
		for _, schema := range []string{`{"` + keyword + `":` + value + `}`, property(`{"` + keyword + `":` + value + `}`)} {
			if mcpparam.Valid([]byte(schema)) == nil {
				t.Errorf("%s is valid", schema)
			}
		}
	}
	if deep := strings.Repeat(`{"properties":{"a":`, 200) + good + strings.Repeat(`}}`, 200); mcpparam.Valid([]byte(deep)) == nil {
		t.Error("a schema that is too deep is valid")
	}
}
