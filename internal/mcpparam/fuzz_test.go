package mcpparam_test

import (
	"net/http"
	"testing"

	"mcp-gateway/internal/mcpparam"
)

// FuzzHeaders: the headers that the gateway makes of arguments pass its own check,
// and each of them altered does not.
func FuzzHeaders(f *testing.F) {
	const schema = `{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"A"},"n":{"type":"integer","x-mcp-header":"N"},` +
		`"o":{"type":"object","properties":{"b":{"type":"boolean","x-mcp-header":"B"}}}}}`
	for _, arguments := range []string{
		`{"a":"x","n":1,"o":{"b":true}}`, `{"a":"\u00e9\n","n":1.0e2}`, `{"a":"=?base64?YQ==?=","n":9007199254740993}`,
		`{"a":"x","a":"y"}`, `{"A":"x"}`, `{"\u0061":"x"}`, `{"a":null,"o":{"b":"true"}}`, `{"a":" x "}`, `[]`, ``,
	} {
		f.Add([]byte(schema), []byte(arguments))
	}
	f.Fuzz(func(t *testing.T, schema, arguments []byte) {
		made := mcpparam.Headers(schema, arguments)
		h := http.Header{}
		for name, value := range made {
			h[name] = []string{value}
			for _, c := range []byte(value) {
				if c < ' ' || c > '~' {
					t.Fatalf("%s: %q", name, value)
				}
			}
		}
		if err := mcpparam.Check(schema, arguments, func(name string) []string { return h[name] }); err != nil {
			t.Fatalf("%v for %v", err, made)
		}
		for name, value := range made {
			for _, other := range [][]string{nil, {value, value}, {value + "x"}} {
				h[name] = other
				if mcpparam.Check(schema, arguments, func(name string) []string { return h[name] }) == nil {
					t.Fatalf("%s: %q passes for %q", name, other, value)
				}
			}
			h[name] = []string{value}
		}
	})
}
