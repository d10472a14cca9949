package security

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// resident is what a process holds of memory, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// A server that sends without an end, or without sense, costs its own callers their
// answer, and nobody else anything.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	w := worldOf(t, harness.Config{Limits: []string{"event: 65536", "response: 1MiB"}}, script("a"), script("b"))
	c := harness.Connect(t, w.URL)
	c.Tool("a_tool", "")
	c.Tool("b_tool", "")
	var zip bytes.Buffer
	z := gzip.NewWriter(&zip)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 50<<20)) // a buffer takes all
	_ = z.Close()
	events := func(send func(say func(string) bool)) mcpserver.Handler {
		return func(x *mcpserver.Exchange) {
			stream := x.Stream()
			send(func(text string) bool {
				stream.Raw(text)
				return x.Context().Err() == nil
			})
		}
	}
	forever := func(first, text string, most int) mcpserver.Handler {
		text = strings.Repeat(text, max(1, 8192/len(text)))
		return events(func(say func(string) bool) {
			for more := say(first); more && most > 0; most -= len(text) {
				more = say(text)
			}
		})
	}
	const endless = 32 << 20
	answers := map[string]mcpserver.Handler{
		"a line without an end":         forever("data: ", "x", endless),
		"a name of a field without end": forever("", "x", endless),
		"an event without an end":       forever("", "data: x\n", endless),
		"ids without an end":            forever("", "id: x\n", endless),
		"an id without an end":          forever("id: ", "x", endless),
		"a comment without an end":      forever(": ", "x", endless),
		"line ends in all forms":        forever("data: x\r", "\r\n\r", 4<<20),
		"a hundred thousand events":     forever("", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n", 8<<20),
		"answers to others":             forever("", "data: {\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}\n\n", 4<<20),
		"comments alone":                forever("", ":\n\n", 4<<20),
		"deep JSON in an event":         forever("data: "+strings.Repeat("[", 60_000)+"\n\n", ":\n", 1),
		"deep JSON":                     func(x *mcpserver.Exchange) { x.Respond(200, "application/json", bytes.Repeat([]byte("["), 900_000)) },
		"deep JSON, closed": func(x *mcpserver.Exchange) {
			x.Result(strings.Repeat(`{"content":`, 50_000) + "1" + strings.Repeat("}", 50_000))
		},
		"many keys": func(x *mcpserver.Exchange) { x.Result(`{` + strings.Repeat(`"content":[],`, 60_000) + `"x":1}`) },
		"packed though nobody asked": func(x *mcpserver.Exchange) {
			x.Header().Set("Content-Encoding", "gzip")
			x.Respond(200, "application/json", zip.Bytes())
		},
		"packed events": func(x *mcpserver.Exchange) {
			x.Header().Set("Content-Encoding", "gzip")
			x.Respond(200, "text/event-stream", zip.Bytes())
		},
		"a large header":                func(x *mcpserver.Exchange) { x.Header().Set("X-Large", strings.Repeat("x", 200_000)); x.Result("{}") },
		"many headers":                  manyHeaders,
		"a large error":                 func(x *mcpserver.Exchange) { x.Respond(500, "application/json", bytes.Repeat([]byte(" "), 32<<20)) },
		"a large 404":                   func(x *mcpserver.Exchange) { x.Respond(404, "text/plain", bytes.Repeat([]byte(" "), 32<<20)) },
		"a status that is none":         func(x *mcpserver.Exchange) { x.Respond(599, "application/json", nil) },
		"an interim answer without end": func(x *mcpserver.Exchange) { x.Respond(204, "", nil) },
		"two answers": func(x *mcpserver.Exchange) {
			x.Stream().Raw("data: " + x.ResultMessage(`{"content":[]}`) + "\n\ndata: " + x.ResultMessage(`{"content":[1]}`) + "\n\n")
		},
		"a byte order mark and a return": func(x *mcpserver.Exchange) { x.Stream().Raw("\xef\xbb\xbfdata: " + x.ResultMessage(`{}`) + "\r\r") },
	}
	envoy := w.Child("envoy").PID
	before := resident(t, envoy)
	for name, answer := range answers {
		w.a.Handle("tools/call", "tool", answer)
		r, err := c.Try(t.Context(), http.MethodPost, call("1", "a_tool"))
		if err == nil && r.Status != http.StatusOK {
			t.Errorf("%s: %.300s", name, r)
		}
		for header := range r.Header {
			if header == "Content-Encoding" || strings.HasPrefix(header, "X-Many") && len(r.Header) > 120 {
				t.Errorf("%s: the client got %s", name, header)
			}
		}
		if r := c.Post(call("1", "b_tool")); !served(r) {
			t.Errorf("behind %s: %.300s", name, r)
		}
	}
	if after := resident(t, envoy); after > before+200<<20 {
		t.Errorf("Envoy has grown from %d to %d MiB", before>>20, after>>20)
	}
	if w.Child("envoy").PID != envoy {
		t.Error("it is another Envoy")
	}
}

func manyHeaders(x *mcpserver.Exchange) {
	for i := range 2000 {
		x.Header().Set(fmt.Sprintf("X-Many-%d", i), "x")
	}
	x.Result("{}")
}

// Lists without an end do not keep the others from being listed.
func TestHostileLists(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, script("a")), mcpserver.Start(t, script("b"))
	var page atomic.Int64
	a.Handle(mcpserver.ToolsList, "", func(x *mcpserver.Exchange) {
		n := page.Add(1)
		x.Result(fmt.Sprintf(`{"tools":[{"name":"t%d","inputSchema":{"type":"object"}}],"nextCursor":"%d"}`, n, n))
	})
	a.Handle(mcpserver.PromptsList, "", func(x *mcpserver.Exchange) { x.Result(`{"prompts":[],"nextCursor":"same"}`) })
	a.Handle(mcpserver.ResourcesList, "", func(x *mcpserver.Exchange) {
		x.Result(`{"resources":[{"uri":"x:` + strings.Repeat("[", 1000) + `","name":"r","_meta":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000) + `}]}`)
	})
	a.Handle(mcpserver.TemplatesList, "", func(x *mcpserver.Exchange) {
		x.Respond(200, "application/json", bytes.Repeat([]byte(" "), 80<<20))
	})
	g := harness.Run(t, harness.Config{Limits: []string{"itemsPerServer: 50"}, Servers: []harness.Server{
		{Name: "a", URL: a.URL(), Prefix: "a_"}, {Name: "b", URL: b.URL(), Prefix: "b_"},
	}})
	c := harness.Connect(t, g.URL)
	harness.Eventually(t, "the list of the other", func() bool {
		return strings.Contains(c.Request("tools/list", ""), `"b_tool"`)
	})
	for method, params := range map[string]string{"prompts/list": "b_prompt", "resources/list": "test://resource", "resources/templates/list": "resourceTemplates"} {
		if list := c.Request(method, ""); !strings.Contains(list, params) {
			t.Errorf("%s: %s", method, list)
		}
	}
	c.Tool("b_tool", "")
	a.Wait(harness.Patience, "the first pages", func() bool { return len(a.Received(mcpserver.ToolsList)) > 0 })
	if got := len(a.Received(mcpserver.ToolsList)); got > 2000 {
		t.Errorf("%d pages were asked for", got)
	}
}

// What a client makes up for what the gateway gave out is unknown, and reaches no
// server.
func TestMadeUpHandles(t *testing.T) {
	t.Parallel()
	w := worldOf(t, harness.Config{Limits: nil, Virtual: []string{"{name: part, servers: [a]}"}}, script("a"), script("b"))
	c := harness.Connect(t, w.URL)
	part := *c
	part.URL += "/part"
	other := harness.Connect(t, part.URL)
	c.Tool("a_tool", "")
	w.forget()
	// A session of one endpoint is unknown at another, however it is written.
	for _, id := range []string{other.Session(), c.Session() + "\t", c.Session() + "part", c.Session() + " part", c.Session()[:42], c.Session() + "A", strings.ToLower(c.Session()), "\"" + c.Session() + "\""} {
		r := c.With(harness.HeaderSession + ": " + id).Post(call("1", "a_tool"))
		if id == c.Session()+"\t" {
			continue // space around a value is none (RFC 9110 section 5.5)
		}
		if r.Status != http.StatusNotFound && r.Status != http.StatusBadRequest {
			t.Errorf("session %q: %s", id, r)
		}
	}
	if r := part.With(harness.HeaderSession + ": " + c.Session()).Post(call("1", "a_tool")); r.Status != http.StatusNotFound {
		t.Errorf("at another endpoint: %s", r)
	}
	w.a.Forget()
	for _, cursor := range []string{`"1"`, `""`, `"AAAA"`, `1`, `{}`, `"../../etc"`, `"` + strings.Repeat("a", 32) + `"`, `"` + strings.Repeat("x", 100_000) + `"`} {
		for _, method := range []string{"tools/list", "prompts/list", "resources/list", "resources/templates/list"} {
			r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"cursor":` + cursor + `}}`)
			if reply, err := r.Reply(); err != nil || reply.Error == nil || reply.Error.Code != -32602 {
				t.Errorf("%s with the cursor %.50s: %.300s", method, cursor, r)
			}
		}
	}
	for _, id := range []string{"b~1", "b~AAAAAAAAAAAA~1", "~b~AAAAAAAAAAAA~1", "b~~1", "~~", "b~" + strings.Repeat("A", 12) + "~{}"} {
		// The id in notifications/cancelled is the client's own, and goes to all servers of
		// the session.
		for _, body := range []string{
			`{"jsonrpc":"2.0","id":"` + id + `","result":{}}`, `{"jsonrpc":"2.0","id":"` + id + `","error":{"code":1,"message":"x"}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"` + id + `","progress":1}}`,
		} {
			if r := c.Post(body); r.Status != http.StatusAccepted {
				t.Errorf("%s: %s", body, r)
			}
		}
		stream := c.With("Accept: text/event-stream", "Last-Event-ID: "+id).Open(http.MethodGet, "")
		stream.Close()
	}
	for _, s := range []*mcpserver.Server{w.a, w.b} {
		for _, r := range s.Requests() {
			text := string(r.Body) + fmt.Sprint(r.Header)
			if strings.Contains(text, `"result":{}`) || strings.Contains(text, "progressToken") || strings.Contains(text, `~`) || r.Method == "tools/call" {
				t.Errorf("a server has received %v %s", r.Header, r.Body)
			}
		}
	}
}
