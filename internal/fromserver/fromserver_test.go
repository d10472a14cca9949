package fromserver_test

import (
	"encoding/json"
	"strings"
	"testing"

	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/tag"
)

var session = []byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")

// rewritten is what becomes of a message of the server "Docs".
func rewritten(dst, message, label string) string {
	marker := tag.NewMarker(session, "Docs")
	return string(fromserver.Rewrite([]byte(dst), []byte(message), &marker, label))
}

// sealed puts the seal into each mark "Docs~".
func sealed(text string) string {
	marker := tag.NewMarker(session, "Docs")
	return strings.ReplaceAll(text, "Docs~", string(marker.AppendEvent(nil, nil)))
}

func TestLabels(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"Contents", `{"result":{"contents":[{"uri":"file:///a","text":"\"uri\": \"x\""}]}}`, `{"result":{"contents":[{"uri":"docs+file:///a","text":"\"uri\": \"x\""}]}}`},
		{"Link", ` {"id":1,"result":{"content":[{"type":"text","text":"t"},{"type":"resource_link","uri":"ui://x/y","n":1e400}]}}`, ` {"id":1,"result":{"content":[{"type":"text","text":"t"},{"type":"resource_link","uri":"ui://docs+x/y","n":1e400}]}}`},
		{"Embedded", `{"result":{"content":[{"type":"resource","resource":{"uri":"a:b"}}]}}`, `{"result":{"content":[{"type":"resource","resource":{"uri":"docs+a:b"}}]}}`},
		{"Prompt", `{"result":{"messages":[{"content":{"resource":{"uri":"a:b"}}},{"content":[{"uri":"c:d"}]}]}}`, `{"result":{"messages":[{"content":{"resource":{"uri":"docs+a:b"}}},{"content":[{"uri":"docs+c:d"}]}]}}`},
		{"Error", `{"error":{"code":-32002,"data":{"uri":"a:b"}}}`, `{"error":{"code":-32002,"data":{"uri":"docs+a:b"}}}`},
		{"EscapedURI", `{"result":{"contents":[{"uri":"a:\u00e4\/"}]}}`, `{"result":{"contents":[{"uri":"docs+a:ä/"}]}}`},
		{"Updated", `{"params":{"uri":"a:b"},"method":"notifications\/resources\/updated"}`, `{"params":{"uri":"docs+a:b"},"method":"notifications\/resources\/updated"}`},
		{"Batch", `[{"result":{"contents":[{"uri":"a:b"}]}},{"error":{"data":{"uri":"c:d"}}}]`, `[{"result":{"contents":[{"uri":"docs+a:b"}]}},{"error":{"data":{"uri":"docs+c:d"}}}]`},
		{"StructuredStays", `{"result":{"structuredContent":{"uri":"a:b","content":[{"uri":"a:b"}]}}}`, ""},
		{"OtherParamsStay", `{"method":"x","params":{"uri":"a:b"}}`, ""},
		{"RootsStay", `{"id":1,"result":{"roots":[{"uri":"file:///home"}]}}`, ""},
		{"NoString", `{"result":{"contents":[{"uri":1}]}}`, ""},
		{"NoJSON", `"uri" {`, ""},
		{"BrokenTail", `{"result":{"contents":[{"uri":"a:b"}]}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := tt.want
			if want == "" {
				want = tt.in
			}
			if got := rewritten("", tt.in, "docs"); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			if got := rewritten("x", tt.in, ""); got != "x"+tt.in {
				t.Errorf("without label: %s", got)
			}
		})
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"Request", `{"jsonrpc":"2.0","id":7,"method":"ping"}`, `{"jsonrpc":"2.0","id":"Docs~7","method":"ping"}`},
		{"StringID", `{"method":"roots/list","id" : "a\u0041" }`, `{"method":"roots/list","id" : "Docs~\"a\\u0041\"" }`},
		{
			"ProgressTokenBeforeMethod",
			`{"params":{"_meta":{"progressToken":-1.0,"x":{"progressToken":2}},"messages":[{"id":3,"content":{"uri":"a:b"}}]},"id":"q","method":"sampling/createMessage"}`,
			`{"params":{"_meta":{"progressToken":"Docs~-1.0","x":{"progressToken":2}},"messages":[{"id":3,"content":{"uri":"a:b"}}]},"id":"Docs~\"q\"","method":"sampling/createMessage"}`,
		},
		{
			"URLOfAnElicitationStays",
			`{"id":1,"method":"elicitation/create","params":{"mode":"url","elicitationId":"e","url":"https:\/\/x","uri":"a:b","progressToken":1,"requestId":1}}`,
			`{"id":"Docs~1","method":"elicitation/create","params":{"mode":"url","elicitationId":"e","url":"https:\/\/x","uri":"a:b","progressToken":1,"requestId":1}}`,
		},
		{"Cancelled", `{"method":"notifications/cancelled","params":{"requestId":7,"reason":"x"}}`, `{"method":"notifications/cancelled","params":{"requestId":"Docs~7","reason":"x"}}`},
		{"TwoIDs", `{"id":1,"id":"b~2","method":"ping"}`, `{"id":"Docs~1","id":"Docs~\"b~2\"","method":"ping"}`},
		{"Batch", ` [{"id":1,"method":"ping"},{"id":1,"result":{}}]`, ` [{"id":"Docs~1","method":"ping"},{"id":1,"result":{}}]`},
		{"ProgressOfTheClientsRequestStays", `{"method":"notifications/progress","params":{"progressToken":1,"_meta":{"progressToken":2}}}`, ""},
		{"ResultStays", `{"id":1,"result":{"content":[{"type":"text","text":"x"}],"structuredContent":{"method":"x","id":2}}}`, ""},
		{"NullIDStays", `{"id":null,"method":"x"}`, ""},
		{"NoMethod", `{"id":1,"method":7}`, ""},
		{"Broken", `{"id":1,"method":"x"`, ""},
		{"ArrayOfNoMessages", `["method",1]`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := sealed(tt.want)
			if want == "" {
				want = tt.in
			}
			if got := rewritten("", tt.in, "docs"); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestConcerns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{
		`{"id":1,"method":"ping"}`:                 {true, true},
		`{"result":{"contents":[{"uri":"a:b"}]}}`:  {true, false},
		`{"result":{"text":"\"uri\" \"method\""}}`: {false, false},
	} {
		if got := [2]bool{fromserver.Concerns([]byte(text), "l"), fromserver.Concerns([]byte(text), "")}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// FuzzRewrite: whatever a server sends, what cannot be read leaves as it is,
// what can stays JSON, and no request leaves with an id that another server's
// mark could be read from.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte(`{"result":{"contents":[{"uri":"file:///a"}],"content":[{"uri":"ui://x"}]}}`))
	f.Add([]byte(`{"error":{"data":{"uri":"a:b"}}}`))
	f.Add([]byte(`{"id":"b~1","method":"ping","params":{"_meta":{"progressToken":"b~2"}}}`))
	f.Add([]byte(sealed(`{"id":"Docs~1","method":"ping"}`)))
	f.Add([]byte(`[{"id":1,"method":"ping"},{"id":1,"result":{}}]`))
	f.Fuzz(func(t *testing.T, message []byte) {
		out := []byte(rewritten("", string(message), "docs"))
		if json.Valid(message) != json.Valid(out) {
			t.Fatalf("%q became %q", message, out)
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(message, &before) != nil || json.Unmarshal(out, &after) != nil || string(before["id"]) == string(after["id"]) {
			return
		}
		server, raw, ok := tag.CutToken(session, after["id"], nil)
		// An id without room for doubt comes back as it was.
		if strings.Count(string(message), `"id"`) == 1 && (!ok || string(server) != "Docs" || string(raw) != string(before["id"])) {
			t.Fatalf("id %s became %s, and comes back as %q from %q", before["id"], after["id"], raw, server)
		}
	})
}
