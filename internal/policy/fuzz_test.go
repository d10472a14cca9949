package policy

import (
	"encoding/json"
	"strings"
	"testing"

	"mcp-gateway/internal/jsonrpc"
)

// FuzzArguments: what a rule is sure of, encoding/json sees as well, which folds case
// and takes the last of equal keys, and so does a reader that does neither.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"A":1}`, `{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"\u0061":1}`, `{"a":1.0}`, `{"a":10e-1}`, `{"a":null}`,
		`{"a":9007199254740993}`, `{"a":1.0000000000000000001}`, `{"b":{"a":1},"a":1}`, `{"a":"1"}`, `{"a":[1]}`, `{"K":1,"k":1,"a":1}`,
	} {
		f.Add([]byte(seed))
	}
	rules := map[string]*rule{}
	for _, when := range []string{`has(arguments.a)`, `!has(arguments.a)`, `arguments.a == 1`, `arguments.a != 1`, `arguments.a < 1.5`, `"a" in arguments`} {
		e, err := compileExpression(when)
		if err != nil {
			f.Fatal(err)
		}
		rules[when] = &rule{when: e}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if jsonrpc.Valid(raw) != nil || strings.TrimSpace(string(raw)) == "" || strings.TrimSpace(string(raw))[0] != '{' {
			return
		}
		raw = []byte(strings.TrimSpace(string(raw)))
		var folded struct {
			A json.RawMessage `json:"a"`
		}
		exact := map[string]json.RawMessage{}
		if json.Unmarshal(raw, &folded) != nil || json.Unmarshal(raw, &exact) != nil {
			return // no such server sees it
		}
		readers := map[string]json.RawMessage{"encoding/json": folded.A, "an exact reader": exact["a"]}
		for when, r := range rules {
			if r.evaluate(&question{item: tool("a"), arguments: raw}) != yes {
				continue
			}
			for name, value := range readers {
				var n float64
				isNumber := json.Unmarshal(value, &n) == nil && string(value) != "null"
				agrees := map[string]bool{
					`has(arguments.a)`: value != nil, `"a" in arguments`: value != nil, `!has(arguments.a)`: value == nil,
					`arguments.a == 1`: isNumber && n == 1, `arguments.a != 1`: value != nil && !(isNumber && n == 1), `arguments.a < 1.5`: isNumber && n < 1.5,
				}[when]
				if !agrees {
					t.Errorf("%s of %s: not to %s, who sees %s", when, raw, name, value)
				}
			}
		}
	})
}

// FuzzAsked: where no name is found, no key is one, as far as fold goes.
func FuzzAsked(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"task":1}`, `{"TASK":1}`, `{"ta\u0073k":1}`, `{"ta\u017fk":1}`, `{"taſk":1}`, `{"tasK":1}`, `{"tas\u212A":1}`,
		`{"\\task":1}`, `{"İd":1}`, `{"\u0131D":1}`, `{"x":"\ud83d\ude00 caf\u00e9"}`, `{"ta":{"sk":1}}`,
	} {
		f.Add([]byte(seed))
	}
	a := asked{names: []string{"task", "id"}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var members map[string]json.RawMessage
		if jsonrpc.Valid(raw) != nil || !a.noneIn(raw) || json.Unmarshal(raw, &members) != nil {
			return
		}
		for key := range members {
			for _, name := range a.names {
				if fold([]byte(key)) == fold([]byte(name)) || strings.EqualFold(key, name) {
					t.Errorf("%q of %s was not found", key, raw)
				}
			}
		}
	})
}
