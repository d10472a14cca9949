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
	a := mcpserver.Start(t, tools("a", "plain", "linked"))
	b := mcpserver.Start(t, one("b"))
	large := strings.Repeat("A", 2<<20)
	pieces := func(x *mcpserver.Exchange, link string) []string {
		return []string{
			": hello\n", "\n", ":\n\n", "retry: 1000\n\n", "id: 1\r\n", "data: \r\n\r\n",
			"event: mess", "age\r", "\ndata", `: {"jsonrpc":"2.0","method":"notifications/message",`, "\r\ndata:", `"params":{"level":"info","data":"é`, "\xe6\x97", "\xa5\"}}\r\n\r\n",
			"event: prime\ndata:\n\n",
			`data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"` + large + `"}}` + "\n\n",
			`data: {"jsonrpc":"2.0","id":` + string(x.ID) + `,"result":{"content":[` + link, "]}}\n\n",
		}
	}
	for name, link := range map[string]string{
		"plain": `{"type":"text","text":"x"}`, "linked": `{"type":"resource_link","uri":"test://l","name":"l"}`,
	} {
		a.Handle("tools/call", name, func(x *mcpserver.Exchange) {
			s := x.Stream()
			for _, piece := range pieces(x, link) {
				s.Raw(piece)
			}
		})
	}
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := harness.Connect(t, g.URL)
	x := &mcpserver.Exchange{Request: mcpserver.Request{ID: []byte("1")}}
	want := strings.Join(pieces(x, `{"type":"text","text":"x"}`), "")
	if r := c.Post(call("1", "a_plain")); r.Body != want {
		t.Errorf("plain: other bytes than the server sent:\n%s", cmp.Diff(cut(want, large), cut(r.Body, large)))
	}
	r := c.Post(call("1", "a_linked"))
	if !strings.Contains(r.Body, large) || !strings.Contains(r.Body, `é日`) {
		t.Errorf("linked: events are missing: %s", cut(r.Body, large))
	}
	if got, want := r.Message(), `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"`; !strings.HasPrefix(got, want) {
		t.Errorf("linked: %s", got)
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

// One GET stream for a session; it begins at once and ends with the session.
func TestGetStream(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a")}})
	c := harness.Connect(t, g.URL)
	s := c.Listen()
	if got := s.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	if r := c.Do(http.MethodGet, ""); r.Status != http.StatusConflict {
		t.Errorf("second stream: %s, want 409", r)
	}
	other := harness.Connect(t, g.URL)
	other.Listen().Close()
	c.Do(http.MethodDelete, "")
	if rest := s.End(); len(rest) > 0 {
		t.Errorf("events %q on a stream of which nothing was to be told", rest)
	}
}
