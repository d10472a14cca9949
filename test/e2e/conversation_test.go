package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// asking makes the server's tool ask its client a question under a raw id, and
// report progress of the call and be told of progress of the question, before it
// results in the client's answer.
func asking(s *mcpserver.Server, id, token string) {
	answers, progress := make(chan string, 1), make(chan string, 1)
	s.Handle("", "", func(x *mcpserver.Exchange) {
		answers <- string(x.Body)
		x.Respond(http.StatusAccepted, "", nil)
	})
	s.Handle("notifications/progress", "", func(x *mcpserver.Exchange) {
		progress <- string(x.Body)
		x.Respond(http.StatusAccepted, "", nil)
	})
	s.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		stream := x.Stream()
		stream.Progress(x.ProgressToken(), 1, 2)
		stream.Send(`{"jsonrpc":"2.0","id":` + id + `,"method":"elicitation/create","params":{"message":"sure?","requestedSchema":{"type":"object","properties":{"uri":{"type":"string"}}},"_meta":{"progressToken":` + token + `}}}`)
		for _, from := range []chan string{progress, answers} {
			select {
			case body := <-from:
				stream.Send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%q}}`, body))
			case <-x.Context().Done():
				return
			}
		}
		stream.Send(x.ResultMessage(`{"content":[]}`))
	})
}

// Servers ask their clients in the middle of calls, under ids that are equal; each
// gets the answer to its own question, byte for byte.
func TestServersAskTheirClient(t *testing.T) {
	t.Parallel()
	servers := map[string]*mcpserver.Server{
		"a": mcpserver.Start(t, one("a")), "b": mcpserver.Start(t, tools("b", "tool")),
	}
	asking(servers["a"], `1`, `"p"`)
	asking(servers["b"], `1`, `"p"`)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(servers["a"], "a"), behind(servers["b"], "b")}})
	c := harness.Connect(t, g.URL)
	streams := map[string]*harness.Stream{}
	for name := range servers {
		streams[name] = c.Open(http.MethodPost, `{"jsonrpc":"2.0","id":"`+name+`","method":"tools/call","params":{"name":"`+name+`_tool","_meta":{"progressToken":7}}}`)
		if got, want := streams[name].Next(), `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1,"total":2}}`; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		want := `{"jsonrpc":"2.0","id":"` + mark(c.Session(), name, "1") + `","method":"elicitation/create","params":{"message":"sure?","requestedSchema":{"type":"object","properties":{"uri":{"type":"string"}}},"_meta":{"progressToken":"` + mark(c.Session(), name, `\"p\"`) + `"}}}`
		if got := streams[name].Next(); got != want {
			t.Errorf("%s asks %s, want %s", name, got, want)
		}
	}
	accepted := func(body string) {
		t.Helper()
		if r := c.Post(body); r.Status != http.StatusAccepted || r.Body != "" {
			t.Errorf("%s: %s", body, r)
		}
	}
	for name, stream := range streams {
		accepted(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"` + mark(c.Session(), name, `\"p\"`) + `","progress":1.0}}`)
		accepted(`{"jsonrpc":"2.0","id":"` + mark(c.Session(), name, "1") + `","result":{"action":"accept", "content":{"uri":"` + name + `+x:y"}}}`)
		for _, want := range []string{
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1.0}}`,
			`{"jsonrpc":"2.0","id":1,"result":{"action":"accept", "content":{"uri":"` + name + `+x:y"}}}`,
		} {
			if got, want := stream.Next(), fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%q}}`, want); got != want {
				t.Errorf("%s was told %s, want %s", name, got, want)
			}
		}
		if diff := cmp.Diff([]string{`{"jsonrpc":"2.0","id":"` + name + `","result":{"content":[]}}`}, stream.End()); diff != "" {
			t.Errorf("%s: end of the stream (-want +got):\n%s", name, diff)
		}
	}
	// Nobody's: taken, and not passed on.
	servers["a"].Forget()
	servers["b"].Forget()
	for _, id := range []string{`1`, `"1"`, `"` + mark(c.Session(), "c", "1") + `"`, `"~` + mark(c.Session(), "a", "1") + `"`, `"` + mark(c.Session(), "a", "null") + `"`, `"a~1"`} {
		accepted(`{"jsonrpc":"2.0","id":` + id + `,"result":{}}`)
	}
	for name, s := range servers {
		if got := s.Requests(); len(got) > 0 {
			t.Errorf("%s received %s", name, got[0].Body)
		}
	}
}

// What the client gets for an answer is 202, whatever the server makes of it.
func TestServerThatRefusesAnAnswer(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "a_tool", "a", "tool")
	for name, fault := range map[string]mcpserver.Fault{
		"error": func(x *mcpserver.Exchange) {
			x.Respond(http.StatusBadRequest, "application/json", []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"at 127.0.0.1"}}`))
		},
		"page": mcpserver.Status(500), "result": mcpserver.Body("application/json", `{"jsonrpc":"2.0","id":1,"result":{}}`),
		"reset": mcpserver.Reset, "nothing": mcpserver.Status(204),
	} {
		a.Handle("", "", func(x *mcpserver.Exchange) { x.Fault(fault) })
		if r := c.Post(`{"jsonrpc":"2.0","id":"` + mark(c.Session(), "a", "1") + `","result":{}}`); r.Status != http.StatusAccepted || r.Body != "" {
			t.Errorf("%s: %s", name, r)
		}
	}
	wantTool(t, c, "a_tool", "a", "tool")
}

// A cancellation reaches the server that has the request, and no other.
func TestCancelledReachesItsServer(t *testing.T) {
	t.Parallel()
	servers := map[string]*mcpserver.Server{"a": mcpserver.Start(t, one("a")), "b": mcpserver.Start(t, one("b"))}
	config := harness.Config{}
	for _, name := range []string{"a", "b"} {
		s, cancelled := servers[name], make(chan struct{})
		s.Handle("notifications/cancelled", "", func(x *mcpserver.Exchange) {
			close(cancelled)
			x.Respond(http.StatusAccepted, "", nil)
		})
		s.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
			stream := x.Stream()
			stream.Progress([]byte("1"), 1, 2)
			select {
			case <-cancelled: // and so without an answer
			case <-x.Context().Done():
			}
		})
		config.Servers = append(config.Servers, behind(s, name))
	}
	g := harness.Run(t, config)
	c := harness.Connect(t, g.URL)
	streams := map[string]*harness.Stream{}
	for _, name := range []string{"a", "b"} {
		streams[name] = c.Open(http.MethodPost, call(`"`+name+`"`, name+"_tool"))
		streams[name].Until("progress")
	}
	const cancelled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"b","reason":"é"}}`
	if r := c.Post(cancelled); r.Status != http.StatusAccepted || r.Body != "" {
		t.Errorf("%s", r)
	}
	streams["b"].End()
	if got := string(servers["b"].Last("notifications/cancelled").Body); got != cancelled {
		t.Errorf("b was told %s", got)
	}
	if got := servers["a"].Received("notifications/cancelled"); len(got) > 0 {
		t.Errorf("a was told %s", got[0].Body)
	}
}

// A server that closes its stream early has the client come back for the rest.
func TestStreamIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("b"))
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Stream().Raw("id: call~1\nretry: 1\ndata: \n\n")
	})
	a.Handle("GET", "", func(x *mcpserver.Exchange) {
		switch id := x.Request.Header.Get("Last-Event-ID"); id {
		case "":
			mcpserver.Hang(x)
		case "call~1":
			x.Stream().Raw("id: call~2\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"resource_link\",\"uri\":\"a:b\"}]}}\n\n")
		default:
			x.Respond(http.StatusNotFound, "text/plain", []byte("no event "+id))
		}
	})
	b.Handle("GET", "", func(x *mcpserver.Exchange) { x.Respond(http.StatusMethodNotAllowed, "", nil) })
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := harness.Connect(t, g.URL)
	if r := c.Post(call("1", "a_tool")); r.Body != "id: "+mark(c.Session(), "a", "call~1")+"\nretry: 1\ndata: \n\n" {
		t.Errorf("first part: %q", r.Body)
	}
	again := func(id string) harness.Response {
		return c.With("Accept: text/event-stream", "Last-Event-ID: "+id).Do(http.MethodGet, "")
	}
	want := "id: " + mark(c.Session(), "a", "call~2") + "\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"resource_link\",\"uri\":\"a+a:b\"}]}}\n\n"
	if r := again(mark(c.Session(), "a", "call~1")); r.Status != http.StatusOK || r.Body != want {
		t.Errorf("second part: %s, want %q", r, want)
	}
	for id, status := range map[string]int{mark(c.Session(), "a", "none"): 400, mark(c.Session(), "b", "1"): 405} {
		reply := wantError(t, again(id), status, -32600, "null")
		if name, _, _ := strings.Cut(id, "~"); !strings.Contains(reply.Error.Message, "server "+name) {
			t.Errorf("%s: message %q does not name the server", id, reply.Error.Message)
		}
	}
}

// A server that forgot its sessions, as after a restart, costs its clients no
// call: each is sent again, once, in a session opened for it.
func TestServerThatForgotItsSessions(t *testing.T) {
	t.Parallel()
	for name, framing := range map[string]mcpserver.Framing{"JSON": mcpserver.JSON, "events": mcpserver.SSEPrimed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := one("a")
			script.Framing = framing
			a := mcpserver.Start(t, script)
			g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")}})
			clients := make([]*harness.Client, 4)
			for i := range clients {
				clients[i] = harness.Connect(t, g.URL)
				wantTool(t, clients[i], "a_tool", "a", "tool")
			}
			large := `{"x":"` + strings.Repeat("A", 1<<20) + `"}`
			for range 3 {
				a.ForgetSessions()
				for _, c := range clients {
					a.Forget()
					if got, want := c.Request("resources/read", `{"uri":"a+test://resource", "_meta":{"x":1e400}}`), `{"contents":[{"uri":"a+test://resource","text":"a:test://resource"}]}`; got != want {
						t.Errorf("%s, want %s", got, want)
					}
					got := a.Received("resources/read")
					want := `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"test://resource", "_meta":{"x":1e400}}}`
					if len(got) != 2 || string(got[1].Body) != want || string(got[0].Body) != want {
						t.Errorf("the server received %d requests, the last %s", len(got), got[len(got)-1].Body)
					}
					wantTool(t, c, "a_tool", "a", "tool")
					wantTool(t, c, "b_tool", "b", "tool")
					if got := len(a.Received("initialize")); got > 1 {
						t.Errorf("%d sessions opened for one", got)
					}
				}
			}
			// Of what is too large no copy is kept: the call fails, the next one works.
			a.ForgetSessions()
			reply := wantError(t, clients[0].Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_tool","arguments":`+large+`}}`), 200, -32603, "1")
			if want := "server a has lost its session"; !strings.Contains(reply.Error.Message, want) {
				t.Errorf("message %q, want %q", reply.Error.Message, want)
			}
			wantTool(t, clients[0], "a_tool", "a", "tool")
		})
	}
}

// However a server says that it has lost a session: with nothing else, with a
// page, or with one that never ends.
func TestLostSessionsOfOddServers(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]mcpserver.Fault{
		"no body": func(x *mcpserver.Exchange) { x.Respond(http.StatusNotFound, "", nil) },
		"page":    mcpserver.Status(http.StatusNotFound),
		"endless": func(x *mcpserver.Exchange) {
			x.Respond(http.StatusNotFound, "application/json", []byte(strings.Repeat("[", 64<<10)))
			mcpserver.Hang(x)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := mcpserver.Start(t, tools("a", "tool"))
			g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
			c := harness.Connect(t, g.URL)
			wantTool(t, c, "a_tool", "a", "tool")
			first := a.Last("tools/call").Header.Get(harness.HeaderSession)
			a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
				if x.Session == first {
					x.Fault(lost)
					return
				}
				x.Result(`{"content":[{"type":"text","text":"a:tool"}]}`)
			})
			for range 2 {
				wantTool(t, c, "a_tool", "a", "tool")
			}
			if got := len(a.Received("tools/call")); got != 4 {
				t.Errorf("the server received %d calls, want 4", got)
			}
		})
	}
}
