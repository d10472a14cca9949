package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// oldClient is an HTTP+SSE client of raw bytes.
type oldClient struct {
	*harness.Client
	*harness.Stream
}

// openOld opens a stream, and makes the client post to where that says; headers are
// sent with both.
func openOld(t *testing.T, url string, headers ...string) oldClient {
	t.Helper()
	c := harness.NewClient(t, url+"/sse").With(append(headers, "Accept:")...)
	s := c.Open(http.MethodGet, "")
	if got := s.Header.Get("Content-Type"); s.Status != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("GET: status %d, content type %q", s.Status, got)
	}
	place := s.Next()
	if !strings.HasPrefix(place, "/mcp/sse/messages?sessionId=") {
		t.Fatalf("first event %q", place)
	}
	c.URL = strings.TrimSuffix(url, "/mcp") + place
	return oldClient{c, s}
}

// tell posts a message, which is accepted at once.
func (c oldClient) tell(t *testing.T, message string) {
	t.Helper()
	if r := c.Post(message); r.Status != http.StatusAccepted || r.Body != "" {
		t.Fatalf("%.200s: %s", message, r)
	}
}

func (c oldClient) initialize(t *testing.T, revision string) string {
	t.Helper()
	c.tell(t, `{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"capabilities":{},"protocolVersion":"`+revision+`","clientInfo":{"name":"old","version":"1"}}}`)
	answer := c.Next()
	c.tell(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return answer
}

// The SDKs' own clients, over HTTP+SSE.
func TestPublicOldClients(t *testing.T) {
	t.Parallel()
	g := public(t)
	t.Run("TypeScript SDK", func(t *testing.T) {
		t.Parallel()
		node := harness.Tool(t, ".tools/node/bin/node")
		// Over HTTP+SSE this SDK drops a notification that comes together with the
		// answer, whatever server it talks to.
		checkProgress(t, command(t, node, "test/clients/ts/client.mjs", g.URL+"/sse", steps, "sse"), harness.Revision, 3)
	})
	for _, mode := range []string{"legacy", "auto"} {
		t.Run("Python SDK "+mode, func(t *testing.T) {
			t.Parallel()
			checkSteps(t, command(t, harness.Tool(t, ".tools/venv/bin/python"), "test/clients/py/client.py", g.URL+"/sse", steps, mode, "sse"))
		})
	}
}

// What a client of 2024-11-05 sees, to the end of its session.
func TestOldClientsSession(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("b"))
	sent := make(chan int)
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		s := x.Stream()
		s.Progress(x.ProgressToken(), 1, 2)
		<-sent // the client has it while the call runs
		s.Send(x.ResultMessage(`{"content":[]}`))
	})
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := openOld(t, g.URL)
	if got := c.initialize(t, "2024-11-05"); !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":"i","result":{"protocolVersion":"2024-11-05",`) {
		t.Errorf("initialize: %s", got)
	}
	c.tell(t, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	if got := c.Next(); !strings.Contains(got, `"name":"a_tool"`) || !strings.Contains(got, `"name":"b_tool"`) {
		t.Errorf("tools/list: %s", got)
	}
	c.tell(t, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a_tool","_meta":{"progressToken":"\u0041"}}}`)
	want := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"\u0041","progress":1,"total":2}}`
	if got := c.Next(); got != want {
		t.Errorf("progress: %s, want %s", got, want)
	}
	// Meanwhile others are answered.
	c.tell(t, call("3", "b_tool"))
	if got, want := c.Next(), `{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"b:tool"}]}}`; got != want {
		t.Errorf("other call: %s, want %s", got, want)
	}
	session := a.Last("tools/call").Header.Get(harness.HeaderSession)
	close(sent)
	if got, want := c.Next(), `{"jsonrpc":"2.0","id":2,"result":{"content":[]}}`; got != want {
		t.Errorf("call: %s, want %s", got, want)
	}
	c.tell(t, call("4", "nope"))
	if got := c.Next(); !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":4,"error":{"code":-32602`) {
		t.Errorf("unknown tool: %s", got)
	}
	// What comes on the session's own stream, too.
	config := harness.Config{Servers: []harness.Server{behind(a, "a")}}
	g.Reload(config)
	c.Until(`"method":"notifications/tools/list_changed"`)

	// The stream's end is the end of the session, here and at the servers.
	c.Close()
	harness.Eventually(t, "the end of the session at the server", func() bool {
		return slices.ContainsFunc(a.Requests(), func(r mcpserver.Request) bool {
			return r.HTTPMethod == http.MethodDelete && r.Header.Get(harness.HeaderSession) == session
		})
	})
	if r := c.Post(`{"jsonrpc":"2.0","id":5,"method":"ping"}`); r.Status != http.StatusNotFound {
		t.Errorf("message after the end: %s", r)
	}
}

// The two paths are guarded as the endpoint is.
func TestOldClientsAreChecked(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a")},
		Limits:  []string{"body: 4096"},
	})
	c := openOld(t, g.URL)
	ping := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	stream := *c.Client
	stream.URL = g.URL + "/sse"
	unknown := *c.Client
	unknown.URL = g.URL + "/sse/messages?sessionId=x"
	for _, test := range []struct {
		name   string
		client *harness.Client
		method string
		body   string
		status int
	}{
		{"stream for another host", stream.With("Host: evil.example"), http.MethodGet, "", 403},
		{"stream for another origin", stream.With("Origin: http://evil.example"), http.MethodGet, "", 403},
		{"stream as JSON", stream.With("Accept: application/json"), http.MethodGet, "", 406},
		{"stream by POST", &stream, http.MethodPost, ping, 405},
		{"message for another host", c.With("Host: evil.example"), http.MethodPost, ping, 403},
		{"message for another origin", c.With("Origin: http://evil.example"), http.MethodPost, ping, 403},
		{"message as text", c.With("Content-Type: text/plain"), http.MethodPost, ping, 415},
		{"message by GET", c.Client, http.MethodGet, "", 405},
		{"message too large", c.Client, http.MethodPost, strings.Repeat(" ", 4096) + ping, 413},
		{"message that is broken", c.Client, http.MethodPost, ping[1:], 400},
		{"batch", c.Client, http.MethodPost, "[" + ping + "]", 400},
		{"message to nobody", &unknown, http.MethodPost, ping, 404},
		{"message of any revision", c.With("Mcp-Protocol-Version: 2024-11-05"), http.MethodPost, ping, 202},
	} {
		r := test.client.Do(test.method, test.body)
		if r.Status != test.status {
			t.Errorf("%s: %s, want status %d", test.name, r, test.status)
		}
		discreet(t, r)
	}
}

func TestOldClientsCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a")},
		Gateway: []string{"ssePath: \"off\""},
	})
	c := harness.NewClient(t, g.URL+"/sse")
	if r := c.Do(http.MethodGet, ""); r.Status != http.StatusNotFound {
		t.Errorf("GET: %s", r)
	}
}

// connectAt is a session of a given revision.
func connectAt(t *testing.T, url, revision string, headers ...string) *harness.Client {
	t.Helper()
	c := harness.NewClient(t, url).With(headers...)
	r := c.Post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + revision + `","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`)
	if r.Status != http.StatusOK || !strings.Contains(r.Body, `"protocolVersion":"`+revision+`"`) {
		t.Fatalf("initialize: %s", r)
	}
	c.Header.Set(harness.HeaderSession, r.Header.Get(harness.HeaderSession))
	return c
}

func TestBatches(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("b"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := connectAt(t, g.URL, "2025-03-26")
	initialized := `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	batch := func(messages ...string) string { return "[" + strings.Join(messages, " , ") + "]" }
	list := `{"jsonrpc":"2.0","id":"l","method":"tools/list"}`

	t.Run("a list, two calls and a notification", func(t *testing.T) {
		r := c.Post(batch(initialized, list, call("1", "b_tool"), call("2", "a_tool"), call("3", "nope")))
		var answers []json.RawMessage
		if err := json.Unmarshal([]byte(r.Body), &answers); err != nil || r.Status != http.StatusOK || len(answers) != 4 {
			t.Fatalf("%v: %s", err, r)
		}
		if got := string(answers[0]); !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":"l","result":{"tools":[{"name":"a_tool"`) {
			t.Errorf("list: %s", got)
		}
		for i, server := range map[int]string{1: "b", 2: "a"} {
			want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"%s:tool"}]}}`, i, server)
			if diff := cmp.Diff(want, string(answers[i])); diff != "" {
				t.Errorf("call (-want +got):\n%s", diff)
			}
		}
		if got := string(answers[3]); !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":3,"error":{"code":-32602`) {
			t.Errorf("unknown tool: %s", got)
		}
	})
	t.Run("notifications alone", func(t *testing.T) {
		if r := c.Post(batch(initialized, initialized)); r.Status != http.StatusAccepted || r.Body != "" {
			t.Errorf("%s", r)
		}
	})
	t.Run("a server that reports progress", func(t *testing.T) {
		told := make(chan struct{})
		a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
			s := x.Stream()
			s.Progress(x.ProgressToken(), 1, 2)
			<-told
			s.Send(x.ResultMessage(`{"content":[]}`))
		})
		s := c.Open(http.MethodPost, batch(
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_tool","_meta":{"progressToken":7}}}`, call("2", "b_tool")))
		s.Until(`"progressToken":7`) // while the call runs
		close(told)
		rest := strings.Join(s.End(), "\n")
		if !strings.Contains(rest, `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`) {
			t.Errorf("events %s", rest)
		}
	})
	t.Run("refused", func(t *testing.T) {
		initialize := `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`
		other := connectAt(t, g.URL, "2025-06-18")
		for name, r := range map[string]harness.Response{
			"empty":                     c.Post("[]"),
			"with initialize":           c.Post(batch(list, initialize)),
			"too many":                  c.Post(batch(strings.Split(strings.Repeat(list+"\n", 101), "\n")[:101]...)),
			"header of 2025-06-18":      c.With("Mcp-Protocol-Version: 2025-06-18").Post(batch(list)),
			"session of 2025-06-18":     other.Post(batch(list)),
			"no session":                harness.NewClient(t, g.URL).Post(batch(list)),
			"a header of the gateway's": other.With("Mcp-Protocol-Version: 2025-06-18", "X-Mcp-Batch: 1").Post(batch(list)),
		} {
			t.Run(name, func(t *testing.T) { wantError(t, r, http.StatusBadRequest, -32600, "null") })
		}
		if r := c.With("Mcp-Session-Id: nope").Post(batch(list)); r.Status != http.StatusNotFound {
			t.Errorf("unknown session: %s", r)
		}
	})
}
