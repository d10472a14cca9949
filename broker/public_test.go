package broker

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"mcp-gateway/broker/rawserver"
)

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	const (
		ping    = `{"jsonrpc":"2.0","id":7,"method":"ping"}`
		unknown = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	)
	type headers = map[string]string
	tests := []struct {
		name   string
		verb   string // POST if empty
		body   string
		header headers // Mcp-Session-Id is that of a session unless given
		status int
		want   string // the body, or for errors: id, code, and data if any
	}{
		{name: "ping", body: ping, status: 200, want: `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{name: "content type with charset", body: ping, header: headers{"Content-Type": "Application/JSON; charset=utf-8"}, status: 200, want: `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{name: "no accept", body: ping, header: headers{"Accept": ""}, status: 200, want: `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{name: "accept anything", body: ping, header: headers{"Accept": "*/*;q=0.1"}, status: 200, want: `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{name: "accept ranges", body: ping, header: headers{"Accept": "text/*, application/*"}, status: 200, want: `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{name: "accept streams first", body: ping, header: headers{"Accept": "text/event-stream, application/json"}, status: 200,
			want: "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n"},
		{name: "served revision", body: ping, header: headers{"Mcp-Protocol-Version": "2025-03-26"}, status: 200, want: `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{name: "notification", body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`, status: 202},
		{name: "unknown notification", body: `{"jsonrpc":"2.0","method":"notifications/x","params":{}}`, status: 202},
		{name: "notification named as a request", body: `{"jsonrpc":"2.0","method":"initialize"}`, status: 202},
		{name: "response", body: `{"jsonrpc":"2.0","id":1,"result":{}}`, status: 202},
		{name: "error response", body: `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`, status: 202},
		{name: "escaped method", body: `{"jsonrpc":"2.0","id":7,"method":"\u0070ing"}`, status: 200, want: `{"jsonrpc":"2.0","id":7,"result":{}}`},

		{name: "unknown method", body: `{"jsonrpc":"2.0","id":"x","method":"tools/burn"}`, status: 200, want: `"x" -32601`},
		{name: "not declared", body: `{"jsonrpc":"2.0","id":7,"method":"logging/setLevel","params":{"level":"debug"}}`, status: 200, want: `7 -32601`},
		{name: "call without filter", body: `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"one_a"}}`, status: 200, want: `7 -32603`},
		{name: "prompt without filter", body: `{"jsonrpc":"2.0","id":7,"method":"prompts/get","params":{"name":"one_a"}}`, status: 200, want: `7 -32602`},
		{name: "resource without filter", body: `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"x:y"}}`, status: 200, want: `7 -32603`},
		{name: "foreign cursor", body: `{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"cursor":"abc"}}`, status: 200, want: `7 -32602`},
		{name: "empty cursor", body: `{"jsonrpc":"2.0","id":7,"method":"prompts/list","params":{"cursor":""}}`, status: 200, want: `7 -32602`},
		{name: "cursor of another type", body: `{"jsonrpc":"2.0","id":7,"method":"resources/list","params":{"cursor":1}}`, status: 200, want: `7 -32602`},

		{name: "bad JSON", body: `{"jsonrpc":"2.0","id":7,"method":"ping"`, status: 400, want: `null -32700`},
		{name: "empty body", body: ``, status: 400, want: `null -32700`},
		{name: "invalid UTF-8", body: "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\",\"x\":\"\xff\"}", status: 400, want: `null -32700`},
		{name: "two messages", body: ping + ping, status: 400, want: `null -32700`},
		{name: "duplicate key", body: `{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/list"}`, status: 400, want: `7 -32600`},
		{name: "case variant", body: `{"jsonrpc":"2.0","id":7,"method":"ping","Method":"tools/list"}`, status: 400, want: `7 -32600`},
		{name: "no object", body: `7`, status: 400, want: `null -32600`},
		{name: "batch", body: `[` + ping + `]`, status: 400, want: `null -32600`},
		{name: "null id", body: `{"jsonrpc":"2.0","id":null,"method":"ping"}`, status: 400, want: `null -32600`},
		{name: "unserved revision", body: ping, header: headers{"Mcp-Protocol-Version": "2024-11-05"}, status: 400, want: `7 -32600`},
		{name: "malformed revision", body: ping, header: headers{"Mcp-Protocol-Version": "latest"}, status: 400, want: `7 -32600`},

		{name: "served revision with Mcp-Method", body: ping, header: headers{"Mcp-Protocol-Version": "2025-06-18", "Mcp-Method": "ping", "Mcp-Name": "x"}, status: 200, want: `{"jsonrpc":"2.0","id":7,"result":{}}`},

		{name: "content type", body: ping, header: headers{"Content-Type": "text/plain"}, status: 415, want: `null -32600`},
		{name: "no content type", body: ping, header: headers{"Content-Type": ""}, status: 415, want: `null -32600`},
		{name: "content type like JSON", body: ping, header: headers{"Content-Type": "application/json5"}, status: 415, want: `null -32600`},
		{name: "accept without stream", body: ping, header: headers{"Accept": "application/json"}, status: 406, want: `null -32600`},
		{name: "accept without JSON", body: ping, header: headers{"Accept": "text/event-stream"}, status: 406, want: `null -32600`},
		{name: "accept of a stream", verb: "GET", header: headers{"Accept": "application/json"}, status: 406, want: `null -32600`},
		{name: "PUT", verb: "PUT", status: 405, want: `null -32600`},
		{name: "HEAD", verb: "HEAD", status: 405},
		{name: "OPTIONS", verb: "OPTIONS", status: 405, want: `null -32600`},
		{name: "too large", body: `{"jsonrpc":"2.0","id":7,"method":"ping","x":"` + strings.Repeat("x", 64<<10) + `"}`, status: 413, want: `null -32600`},

		{name: "no session", body: ping, header: headers{"Mcp-Session-Id": ""}, status: 400, want: `7 -32600`},
		{name: "no session, unknown method", body: `{"jsonrpc":"2.0","id":7,"method":"x"}`, header: headers{"Mcp-Session-Id": ""}, status: 400, want: `7 -32600`},
		{name: "no session, notification", body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`, header: headers{"Mcp-Session-Id": ""}, status: 400, want: `null -32600`},
		{name: "no session, stream", verb: "GET", header: headers{"Mcp-Session-Id": ""}, status: 400, want: `null -32600`},
		{name: "no session, delete", verb: "DELETE", header: headers{"Mcp-Session-Id": ""}, status: 400, want: `null -32600`},
		{name: "unknown session", body: ping, header: headers{"Mcp-Session-Id": unknown}, status: 404, want: `7 -32600`},
		{name: "unknown session, list", body: `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`, header: headers{"Mcp-Session-Id": unknown}, status: 404, want: `7 -32600`},
		{name: "unknown session, unknown method", body: `{"jsonrpc":"2.0","id":7,"method":"x"}`, header: headers{"Mcp-Session-Id": unknown}, status: 404, want: `7 -32600`},
		{name: "unknown session, notification", body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`, header: headers{"Mcp-Session-Id": unknown}, status: 404, want: `null -32600`},
		{name: "unknown session, stream", verb: "GET", header: headers{"Mcp-Session-Id": unknown}, status: 404, want: `null -32600`},
		{name: "unknown session, delete", verb: "DELETE", header: headers{"Mcp-Session-Id": "x"}, status: 404, want: `null -32600`},
		{name: "malformed session", body: ping, header: headers{"Mcp-Session-Id": "../../x"}, status: 404, want: `7 -32600`},

		{name: "initialize without revision", body: `{"jsonrpc":"2.0","id":7,"method":"initialize","params":{}}`, header: headers{"Mcp-Session-Id": ""}, status: 200, want: `7 -32602`},
		{name: "initialize without params", body: `{"jsonrpc":"2.0","id":7,"method":"initialize"}`, header: headers{"Mcp-Session-Id": ""}, status: 200, want: `7 -32602`},
		{name: "delete", verb: "DELETE", status: 204},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
				header := headers{"Mcp-Session-Id": g.open()}
				for name, value := range test.header {
					header[name] = value
				}
				verb := test.verb
				if verb == "" {
					verb = "POST"
				}
				got := g.request(verb, test.body, header)
				if got.status != test.status {
					t.Errorf("status %d, want %d; body %s", got.status, test.status, got.body)
				}
				want := test.want
				if brief, isError := describe(got.body); isError {
					got.body = brief
					if ct := got.header.Get("Content-Type"); ct != "application/json" {
						t.Errorf("an error of type %q", ct)
					}
				}
				if got.body != want {
					t.Errorf("body %s\nwant %s", got.body, want)
				}
				if got.status == 405 && got.header.Get("Allow") != "GET, POST, DELETE" {
					t.Errorf("Allow: %q", got.header.Get("Allow"))
				}
			})
		})
	}
}

// describe returns the raw id, the code and the raw data of a JSON-RPC error.
func describe(body string) (string, bool) {
	var m struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   *struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(body), &m) != nil || m.Error == nil || m.Version != "2.0" || m.Error.Message == "" {
		return "", false
	}
	return strings.TrimSpace(fmt.Sprintf("%s %d %s", m.ID, m.Error.Code, m.Error.Data)), true
}

func TestSessionThatWasDeletedIsNotFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		id := map[string]string{"Mcp-Session-Id": g.open()}
		for i, want := range []int{204, 404} {
			if got := g.request("DELETE", "", id); got.status != want {
				t.Errorf("DELETE %d: status %d, want %d", i+1, got.status, want)
			}
		}
		if got := g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, id); got.status != 404 {
			t.Errorf("ping after DELETE: status %d", got.status)
		}
		if got := g.request("GET", "", id); got.status != 404 {
			t.Errorf("GET after DELETE: status %d", got.status)
		}
	})
}

func TestIDsReturnByteForByte(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		header := map[string]string{"Mcp-Session-Id": g.open()}
		for _, id := range []string{`0`, `-1`, `9007199254740993`, `18446744073709551615`, `1.0`, `1e400`, `-0.0`, `""`, `"1"`, `"\u0061\/<&>é"`} {
			for _, method := range []string{"ping", "tools/list", "no/such", "tools/call"} {
				got := g.request("POST", `{"id": `+id+` ,"method":"`+method+`","jsonrpc":"2.0"}`, header)
				if !strings.HasPrefix(got.body, `{"jsonrpc":"2.0","id":`+id+`,"`) || !json.Valid([]byte(got.body)) {
					t.Errorf("id %s, %s: %s", id, method, got.body)
				}
			}
			got := g.request("POST", strings.Replace(initializeRequest, `"id":0`, `"id":`+id, 1), nil)
			if !strings.HasPrefix(got.body, `{"jsonrpc":"2.0","id":`+id+`,"result":`) {
				t.Errorf("id %s, initialize: %s", id, got.body)
			}
		}
	})
}

func TestListsShowEveryByteOfTheServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		odd := `{ "x":9007199254740993, "name":"NAME","inputSchema":{"$defs":{"a":true},"type":["object"],"minimum":1.0,"maximum":1e400},
  "execution":{"taskSupport":"optional"},"icons":[{"src":"https://a/b","?":[]}],"_meta":{"ui":{"resourceUri":"URI"}} , "ü":"\u00fc<&>" }`
		item := func(name, uri string) string { return strings.NewReplacer("NAME", name, "URI", uri).Replace(odd) }
		one, two := raw(), raw()
		for _, s := range []*rawserver.Server{one, two} {
			s.Results["tools/list"] = `{"tools":[` + item("t", "ui://v") + `],"nextCursor":"2"}`
			s.Results[`tools/list "2"`] = `{"tools":[{"title":"nameless"},{"name":"u"}]}`
			s.Results["prompts/list"] = `{"prompts":[{"name":"p","arguments":[{"name":"p"}]}]}`
			s.Results["resources/list"] = `{"resources":[{"name":"r","uri":"file:///r","size":1.0}]}`
			s.Results["resources/templates/list"] = `{"resourceTemplates":[{"uriTemplate":"file:///{x}"}]}`
		}
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": one, "two": two})
		id := g.open()
		for method, want := range map[string]string{
			"tools/list":               `{"tools":[` + item("one_t", "ui://one+v") + `,{"name":"one_u"},` + item("two_t", "ui://two+v") + `,{"name":"two_u"}]}`,
			"prompts/list":             `{"prompts":[{"name":"one_p","arguments":[{"name":"p"}]},{"name":"two_p","arguments":[{"name":"p"}]}]}`,
			"resources/list":           `{"resources":[{"name":"r","uri":"one+file:///r","size":1.0},{"name":"r","uri":"two+file:///r","size":1.0}]}`,
			"resources/templates/list": `{"resourceTemplates":[{"uriTemplate":"one+file:///{x}"},{"uriTemplate":"two+file:///{x}"}]}`,
		} {
			if got := g.ask(id, method); got != want {
				t.Errorf("%s:\n got %s\nwant %s", method, got, want)
			}
		}
		got := g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"prompts/list","params":{"cursor":null}}`, map[string]string{"Mcp-Session-Id": id})
		if !strings.Contains(got.body, `"one_p"`) {
			t.Errorf("null cursor: %s", got.body)
		}
	})
}

func TestPanicBecomesAnInternalError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		header := map[string]string{"Mcp-Session-Id": g.open()}
		g.broker.methods["panic/early"] = func(*call) { panic("boom at " + address) }
		got := g.request("POST", `{"jsonrpc":"2.0","id":"p","method":"panic/early"}`, header)
		if brief, _ := describe(got.body); got.status != 200 || brief != `"p" -32603` || strings.Contains(got.body, address) {
			t.Errorf("%d %s", got.status, got.body)
		}
		g.broker.methods["panic/late"] = func(c *call) {
			c.w.Header().Set("Content-Length", "100")
			_, _ = c.w.Write([]byte(`{"jsonrpc":"2.0",`))
			panic("boom")
		}
		r, _ := http.NewRequest("POST", "http://gateway/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":"p","method":"panic/late"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Mcp-Session-Id", header["Mcp-Session-Id"])
		if resp, err := g.public.Do(r); err == nil {
			buf := make([]byte, 200)
			n, err := resp.Body.Read(buf)
			for err == nil {
				_, err = resp.Body.Read(buf)
			}
			if err.Error() == "EOF" {
				t.Errorf("an answer that was cut off looks complete: %s", buf[:n])
			}
			_ = resp.Body.Close()
		}
	})
}

func TestDefaultBodyLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config("one")
		c.Limits.Body = 0
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a")})
		header := map[string]string{"Mcp-Session-Id": g.open()}
		body := func(n int) string {
			return `{"jsonrpc":"2.0","id":7,"method":"ping","x":"` + strings.Repeat("x", n) + `"}`
		}
		if got := g.request("POST", body(4<<20-100), header); got.status != 200 {
			t.Errorf("below 4 MiB: %d", got.status)
		}
		if got := g.request("POST", body(4<<20), header); got.status != 413 {
			t.Errorf("above 4 MiB: %d", got.status)
		}
		chunked, err := http.NewRequest("POST", "http://gateway/mcp", io.MultiReader(strings.NewReader(body(4<<20))))
		if err != nil {
			t.Fatal(err)
		}
		chunked.Header.Set("Content-Type", "application/json")
		chunked.Header.Set("Mcp-Session-Id", header["Mcp-Session-Id"])
		resp, err := g.public.Do(chunked)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Errorf("above 4 MiB, length not told: %d", resp.StatusCode)
		}
	})
}
