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

// The server sends an event only when the client has the one before: whatever
// holds events back makes this test hang.
func TestEventsArriveAsTheyAreSent(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string]int{"one server": 1, "two servers": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const events = 20
			a := mcpserver.Start(t, one("a"))
			seen := make(chan int, events)
			a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
				s := x.Stream()
				for i := range events {
					s.Progress(x.ProgressToken(), i, events)
					select {
					case <-seen:
					case <-x.Context().Done():
						return
					}
				}
				s.Send(x.ResultMessage(`{"content":[{"type":"resource_link","uri":"test://l","name":"l"}]}`))
			})
			config := harness.Config{Servers: []harness.Server{behind(a, "a")}}
			link := "test://l"
			if servers == 2 {
				config.Servers = append(config.Servers, behind(mcpserver.Start(t, one("b")), "b"))
				link = "a+test://l"
			}
			g := harness.Run(t, config)
			c := harness.Connect(t, g.URL)
			s := c.Open(http.MethodPost, `{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{"name":"a_tool","_meta":{"progressToken":"\u0041"}}}`)
			for i := range events {
				want := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"\u0041","progress":%d,"total":%d}}`, i, events)
				if got := s.Next(); got != want {
					t.Errorf("event %d: %s, want %s", i, got, want)
				}
				seen <- i
			}
			want := `{"jsonrpc":"2.0","id":9007199254740993,"result":{"content":[{"type":"resource_link","uri":"` + link + `","name":"l"}]}}`
			if diff := cmp.Diff([]string{want}, s.End()); diff != "" {
				t.Errorf("last events (-want +got):\n%s", diff)
			}
		})
	}
}

// Streams as servers may frame them: all line ends, comments, several data
// lines, events cut anywhere, one as large as a picture.
func TestOddFramingPasses(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("A", 2<<20)
	pieces := func(id, uri string) []string {
		return []string{
			": hello\n", "\n", ":\n\n", "retry: 1000\n\n", "id: 1\r\n", "data: \r\n\r\n",
			"event: mess", "age\r", "\ndata", `: {"jsonrpc":"2.0","method":"notifications/message",`, "\r\ndata:", `"params":{"level":"info","data":"é`, "\xe6\x97", "\xa5\"}}\r\n\r\n",
			"event: prime\ndata:\n\n",
			`data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"` + large + `"}}` + "\n\n",
			`data: {"jsonrpc":"2.0","id":` + id + `,"result":{"content":[{"type":"resource_link","uri":"` + uri, `","name":"l"}`, "]}}\n\n",
		}
	}
	// The same events in the plainest framing, with the server's mark before ids.
	framed := func(session, name, uri string) string {
		last := pieces("1", uri)
		return ": hello\n\n:\n\nretry: 1000\n\nid: " + mark(session, name, "1") + "\ndata: \n\n" +
			"event: message\n" + `data: {"jsonrpc":"2.0","method":"notifications/message",` + "\n" +
			`data: "params":{"level":"info","data":"é日"}}` + "\n\nevent: prime\ndata: \n\n" +
			strings.Join(last[len(last)-4:], "")
	}
	handler := func(x *mcpserver.Exchange) {
		s := x.Stream()
		for _, piece := range pieces(string(x.ID), "test://l") {
			s.Raw(piece)
		}
	}
	a, b := mcpserver.Start(t, tools("a", "tool")), mcpserver.Start(t, one("b"))
	a.Handle("tools/call", "tool", handler)
	b.Handle("tools/call", "tool", handler)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := harness.Connect(t, g.URL)
	for name, want := range map[string]string{
		"a": framed(c.Session(), "a", "test://l"), // a server without resources: its links are not to be read
		"b": framed(c.Session(), "b", "b+test://l"),
	} {
		if r := c.Post(call("1", name+"_tool")); r.Body != want {
			t.Errorf("%s: other events than the server sent:\n%s", name, cmp.Diff(cut(want, large), cut(r.Body, large)))
		}
	}
}

func cut(text, large string) string { return strings.ReplaceAll(text, large, "[large]") }

// A client that goes away ends its call at the server.
func TestClientThatLeavesFreesTheServer(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	left := make(chan struct{})
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Stream().Send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"begun"}}`)
		<-x.Context().Done()
		close(left)
	})
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
	s := harness.Connect(t, g.URL).Open(http.MethodPost, call("1", "a_tool"))
	s.Until("begun")
	s.Close()
	harness.Eventually(t, "the end of the server's stream", func() bool {
		select {
		case <-left:
			return true
		default:
			return false
		}
	})
}

// One GET stream for a session, the last; it begins at once and ends with the
// session.
func TestGetStream(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a")}})
	c := harness.Connect(t, g.URL)
	s := c.Listen()
	if got := s.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	second := c.Listen()
	if rest := s.End(); len(rest) > 0 {
		t.Errorf("events %q on a stream whose place another takes", rest)
	}
	// A client that comes again may have missed something.
	second.Until("notifications/tools/list_changed")
	other := harness.Connect(t, g.URL)
	other.Listen().Close()
	c.Do(http.MethodDelete, "")
	second.End()
}
