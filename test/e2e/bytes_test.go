package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

var ids = []string{
	`1`, `0`, `-7`, `-0`, `1.5`, `1e3`, `1E+2`, `9007199254740993`, `123456789012345678901234567890`,
	`"a"`, `""`, `"1"`, `"\u0041\n\"\\\/"`, `"日本"`, `"\ud83d\ude00"`,
}

const oddArguments = `{ "n":9007199254740993,"f":1.0,"e":1e400,"z":-0,"s":"\u00e9\/é","name":"alpha_echo","o":{"id":1,"method":"x"},"":[] , "d":{"a":1,"a":2} }`

// pair is two servers with clashing names; what alpha is asked comes back.
func pair(t *testing.T, framing mcpserver.Framing) (g *harness.Gateway, alpha *mcpserver.Server) {
	t.Helper()
	alpha = mcpserver.Start(t, odd("alpha", framing))
	beta := mcpserver.Start(t, odd("beta", framing))
	alpha.Handle("tools/call", "echo", func(x *mcpserver.Exchange) {
		x.Result(`{"content":[],"structuredContent":` + string(x.Arguments()) + `,"later":1.0,"_meta":{"n":1e400} }`)
	})
	return harness.Run(t, harness.Config{Servers: []harness.Server{behind(alpha, "alpha"), behind(beta, "beta")}}), alpha
}

func TestCallsPassByteForByte(t *testing.T) {
	t.Parallel()
	g, alpha := pair(t, mcpserver.JSON)
	c := harness.Connect(t, g.URL)
	for _, id := range ids {
		for name, body := range map[string]string{
			"usual":   `{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":NAME,"arguments":ARGS}}`,
			"turned":  `{"params":{"arguments":ARGS,"later":[1.0],"name":NAME,"_meta":{"progressToken":ID,"x":1e400}},"method":"tools/call","id":ID,"jsonrpc":"2.0"}`,
			"spaced":  "\n{ \"jsonrpc\" : \"2.0\",\r\n\t\"id\" : ID , \"method\" : \"tools/call\" , \"params\" : { \"name\" : NAME , \"arguments\" : ARGS } } \n",
			"escaped": `{"jsonrpc":"2.0","id":ID,"method":"tools\/call","params":{"name":NAME,"arguments":ARGS}}`,
		} {
			body = strings.NewReplacer("ID", id, "ARGS", oddArguments).Replace(body)
			sent := strings.Replace(body, "NAME", `"alpha_echo"`, 1)
			r := c.Post(sent)
			want := `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[],"structuredContent":` + oddArguments + `,"later":1.0,"_meta":{"n":1e400} }}`
			if r.Status != http.StatusOK || r.Body != want {
				t.Errorf("%s, id %s: %s\nwant %s", name, id, r, want)
			}
			received := alpha.Last("tools/call")
			if diff := cmp.Diff(strings.Replace(body, "NAME", `"echo"`, 1), string(received.Body)); diff != "" {
				t.Errorf("%s, id %s: the server received (-want +got):\n%s", name, id, diff)
			}
		}
	}
}

func TestStreamedAnswersPassByteForByte(t *testing.T) {
	t.Parallel()
	for name, framing := range map[string]mcpserver.Framing{"plain": mcpserver.SSE, "primed": mcpserver.SSEPrimed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, _ := pair(t, framing)
			c := harness.Connect(t, g.URL)
			for _, id := range ids {
				r := c.Post(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"alpha_echo","arguments":` + oddArguments + `}}`)
				want := "data: " + `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[],"structuredContent":` + oddArguments + `,"later":1.0,"_meta":{"n":1e400} }}` + "\n\n"
				if framing == mcpserver.SSE {
					want = "event: message\n" + want
				} else {
					want = "id: " + mark(c.Session(), "alpha", "prime-1") + "\ndata: \n\n: a comment\n\nevent: message\nid: " + mark(c.Session(), "alpha", "e-2") + "\n" + want
				}
				if r.Status != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" {
					t.Errorf("id %s: %s", id, r)
				}
				if diff := cmp.Diff(want, r.Body); diff != "" {
					t.Errorf("id %s (-want +got):\n%s", id, diff)
				}
			}
		})
	}
}

func TestErrorsOfServersPassByteForByte(t *testing.T) {
	t.Parallel()
	g, alpha := pair(t, mcpserver.JSON)
	const object = `{"code":-32602,"message":"no \u00fc","data":{"n":9007199254740993,"e":1e400},"later":1}`
	alpha.Handle("tools/call", "list", func(x *mcpserver.Exchange) { x.Error(object) })
	alpha.Handle("prompts/get", "echo", func(x *mcpserver.Exchange) { x.Error(object) })
	c := harness.Connect(t, g.URL)
	for _, method := range []string{"tools/call", "prompts/get"} {
		name := map[string]string{"tools/call": "alpha_list", "prompts/get": "alpha_echo"}[method]
		for _, id := range ids {
			r := c.Post(`{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":{"name":"` + name + `"}}`)
			want := `{"jsonrpc":"2.0","id":` + id + `,"error":` + object + `}`
			if r.Status != http.StatusOK || r.Body != want {
				t.Errorf("%s, id %s: %s\nwant %s", method, id, r, want)
			}
		}
	}
}

// Every place of an answer that holds a URI that a client may read gets the
// label, nothing else does, and what the client then reads reaches the server as
// its own.
func TestURIsInAnswersCanBeRead(t *testing.T) {
	t.Parallel()
	for name, framing := range map[string]mcpserver.Framing{"json": mcpserver.JSON, "sse": mcpserver.SSE, "primed": mcpserver.SSEPrimed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, alpha := pair(t, framing)
			const content = `{"type":"text","text":"{\"uri\":\"file:///kept\"} file:///kept"},{"uri":"file:///l","type":"resource_link","n":1.0,"name":"l","_meta":{"uri":"file:///kept"}},` +
				`{"type":"resource","resource":{"text":"t","uri":"file:///e","_meta":{"uri":"file:///kept"}}},{"type":"resource_link","uri":"ui://v","name":"v"}`
			labelled := strings.NewReplacer(`"file:///l"`, `"alpha+file:///l"`, `"file:///e"`, `"alpha+file:///e"`, `"ui://v"`, `"ui://alpha+v"`).Replace(content)
			const rest = `,"structuredContent":{"uri":"file:///kept","content":[{"type":"resource_link","uri":"file:///kept"}]},"n":1e400`
			alpha.Handle("tools/call", "list", func(x *mcpserver.Exchange) { x.Result(`{"content":[` + content + `]` + rest + `}`) })
			alpha.Handle("prompts/get", "echo", func(x *mcpserver.Exchange) {
				x.Result(`{"description":"file:///kept","messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"file:///p","text":"t"}}}]}`)
			})
			alpha.Handle("resources/read", "", func(x *mcpserver.Exchange) {
				x.Result(`{"contents":[{"text":"file:///kept","uri":"` + x.Name + `","_meta":{"n":1e400}},{"uri":"ui://other","blob":""}]}`)
			})
			c := harness.Connect(t, g.URL)
			for _, ask := range []struct{ method, params, want string }{
				{"tools/call", `{"name":"alpha_list"}`, `{"content":[` + labelled + `]` + rest + `}`},
				{"prompts/get", `{"name":"alpha_echo"}`, `{"description":"file:///kept","messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"alpha+file:///p","text":"t"}}}]}`},
				{"resources/read", `{"uri":"alpha+file:///l"}`, `{"contents":[{"text":"file:///kept","uri":"alpha+file:///l","_meta":{"n":1e400}},{"uri":"ui://alpha+other","blob":""}]}`},
				{"resources/read", `{"uri":"ui://alpha+v"}`, `{"contents":[{"text":"file:///kept","uri":"ui://alpha+v","_meta":{"n":1e400}},{"uri":"ui://alpha+other","blob":""}]}`},
			} {
				if diff := cmp.Diff(ask.want, c.Request(ask.method, ask.params)); diff != "" {
					t.Errorf("%s %s (-want +got):\n%s", ask.method, ask.params, diff)
				}
			}
			reads := alpha.Received("resources/read")
			if len(reads) != 2 || reads[0].Name != "file:///l" || reads[1].Name != "ui://v" {
				t.Errorf("the server was asked for %+v", reads)
			}
		})
	}
}

// Bodies of the size of the limit, and those that arrive without a length, are
// no different.
func TestLargeArgumentsPass(t *testing.T) {
	t.Parallel()
	g, alpha := pair(t, mcpserver.JSON)
	c := harness.Connect(t, g.URL)
	for _, size := range []int{64, 16 << 10, 1 << 20, 3 << 20} {
		arguments := `{"text":"` + strings.Repeat("ä\\n", size/4) + `"}`
		want := `{"content":[],"structuredContent":` + arguments + `,"later":1.0,"_meta":{"n":1e400} }`
		if got := c.Tool("alpha_echo", arguments); got != want {
			t.Errorf("%d bytes: an answer of %d bytes, want %d", size, len(got), len(want))
		}
		if got := string(alpha.Last("tools/call").Body); !strings.Contains(got, arguments) {
			t.Errorf("%d bytes: the server received other bytes", size)
		}
	}
}
