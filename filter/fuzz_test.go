package filter

import (
	"encoding/json"
	"testing"

	"mcp-gateway/internal/jsonrpc"
)

// FuzzRequestBody holds the decision against what servers make of the same
// bytes: whoever reads the forwarded body with encoding/json, which folds case
// and takes the last duplicate, must see the name that was routed by.
func FuzzRequestBody(f *testing.F) {
	for _, body := range []string{
		call("weather_get_weather"), call(`weather_get\u005fweather`), call("search"),
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","Name":"weather_get_weather"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"},"Params":{"name":"weather_get_weather"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"docs+file:///a"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `[{}]`, ``,
	} {
		f.Add([]byte(body))
	}
	g := newGateway(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		s, d := post(g, string(body))
		if d.Action == Reply {
			if !json.Valid(d.Body) {
				t.Fatalf("answer is no JSON: %q", d.Body)
			}
			return
		}
		out := body
		if d.Splice.Start != d.Splice.End {
			out = []byte(spliced(string(body), d))
		}
		var seen struct {
			Method string
			Params struct{ Name, URI string }
		}
		if err := json.Unmarshal(out, &seen); err != nil && d.Reroute {
			t.Fatalf("forwarded what encoding/json refuses: %v: %q", err, out)
		}
		if !d.Reroute {
			// Without id it is a notification, which nobody answers.
			if s.msg.Kind != jsonrpc.Request {
				return
			}
			if seen.Method == "tools/call" || seen.Method == "prompts/get" || seen.Method == "resources/read" {
				t.Fatalf("a call goes to the broker: %q", out)
			}
			return
		}
		var want string
		if err := json.Unmarshal(s.target.token, &want); err != nil {
			t.Fatal(err)
		}
		if got := seen.Params.Name + seen.Params.URI; seen.Method != s.method || got != want && seen.Params.Name != want && seen.Params.URI != want {
			t.Fatalf("routed %s %q, but the server sees %s %q", s.method, want, seen.Method, got)
		}
	})
}
