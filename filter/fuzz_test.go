package filter

import (
	"encoding/json"
	"testing"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
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
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"weather_brief"}}}`,
		`{"jsonrpc":"2.0","id":"docs~1","result":{}}`, `{"jsonrpc":"2.0","id":"docs~\"a\"","ID":1,"result":{}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"docs~1"}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `[{}]`, ``,
	} {
		f.Add([]byte(body))
		f.Add([]byte(sealed("s1", body)))
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
			ID     json.RawMessage
			Params struct {
				Name, URI     string
				Ref           struct{ Name, URI string }
				ProgressToken json.RawMessage
			}
		}
		if err := json.Unmarshal(out, &seen); err != nil && d.Reroute {
			t.Fatalf("forwarded what encoding/json refuses: %v: %q", err, out)
		}
		if !d.Reroute {
			// Without id it is a notification, which nobody answers.
			if s.msg.Kind != jsonrpc.Request {
				return
			}
			if seen.Method == "tools/call" || seen.Method == "completion/complete" || seen.Method == "prompts/get" || seen.Method == "resources/read" {
				t.Fatalf("a call goes to the broker: %q", out)
			}
			return
		}
		if s.oneWay {
			// The place of the mark holds one token, and nothing new came with it.
			token := seen.ID
			if seen.Method != "" {
				token = seen.Params.ProgressToken
			}
			if s.target.token != nil && string(token) != string(s.target.token) {
				t.Fatalf("routed by %s, but the server sees %s", s.target.token, token)
			}
			return
		}
		if s.target.token == nil {
			t.Fatalf("a name of %q goes to a server as it is", out)
		}
		var want string
		if err := json.Unmarshal(s.target.token, &want); err != nil {
			t.Fatal(err)
		}
		p := seen.Params
		got := p.Name + p.URI
		if s.method == mcp.MethodComplete {
			p.Name, p.URI = p.Ref.Name, p.Ref.URI
		}
		if seen.Method != s.method || p.Name != want && p.URI != want {
			t.Fatalf("routed %s %q, but the server sees %s %q", s.method, want, seen.Method, got)
		}
	})
}
