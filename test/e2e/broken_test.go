package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// watched is a gateway with two servers. What it returns beside is for the end of
// the test: the filter must hold no stream then, and Envoy be the one of the
// beginning.
func watched(t *testing.T, a *mcpserver.Server) (*harness.Gateway, func()) {
	t.Helper()
	admin := harness.FreeAddr(t)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a", "timeout: 3s"), behind(mcpserver.Start(t, one("b")), "b")}}, "--admin", admin)
	envoy := g.Child("envoy")
	return g, func() {
		c := harness.Connect(t, g.URL)
		wantTool(t, c, "b_tool", "b", "tool")
		idle(t, admin)
		if now := g.Child("envoy"); now != envoy {
			t.Errorf("Envoy is %v, was %v", now, envoy)
		}
	}
}

// A server that goes away in an answer of which nothing has left yet gets the
// client an error under its id, in the protocol's form.
func TestServerBreaksOffAHeldBackAnswer(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g, whole := watched(t, a)
	defer whole()
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "a_tool", "a", "tool")
	// The answer's headers and a tenth of its body leave the server.
	half := func(status int, then mcpserver.Fault) mcpserver.Fault {
		return func(x *mcpserver.Exchange) {
			x.Header().Set("Content-Length", "100000")
			x.Respond(status, "application/json", []byte(`{"jsonrpc":"2.0",`+strings.Repeat(" ", 10_000)))
			then(x)
		}
	}
	closed := func(*mcpserver.Exchange) { panic(http.ErrAbortHandler) }
	for name, fault := range map[string]mcpserver.Fault{
		"answer": half(200, closed), "error": half(500, closed), "refusal": half(400, closed), "silence": half(200, mcpserver.Hang),
	} {
		a.Fail(fault, "tools/call")
		for _, id := range []string{`7`, `"x\u0041%REQ(:PATH)% \"\\"`, `1e3`} {
			r := c.Post(call(id, "a_tool"))
			reply := wantError(t, r, 200, mcp.CodeInternalError, id)
			if !strings.Contains(reply.Error.Message, "server a") {
				t.Errorf("%s: message %q does not name the server", name, reply.Error.Message)
			}
		}
		a.Heal()
		wantTool(t, c, "a_tool", "a", "tool")
	}
}

// The client leaves while the broker is asked for its session at a server.
func TestClientLeavesWhileTheBrokerIsAsked(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g, whole := watched(t, a)
	defer whole()
	for _, body := range []string{call("1", "a_tool"), `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a+test://resource"}}`} {
		for range 5 {
			c := harness.Connect(t, g.URL)
			asked, goOn := make(chan bool, 16), make(chan bool)
			a.Fail(func(x *mcpserver.Exchange) {
				asked <- true
				<-goOn
				mcpserver.Reset(x)
			}, "initialize")
			ctx, leave := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				_, err := c.Try(ctx, http.MethodPost, body)
				done <- err
			}()
			<-asked
			leave()
			if err := <-done; err == nil {
				t.Error("answered before the session was there")
			}
			close(goOn)
			a.Heal()
			wantTool(t, c, "b_tool", "b", "tool")
		}
	}
}

// The client leaves while its body arrives, and while an answer does: the server
// sees the latter.
func TestClientLeavesInTheMiddle(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	left := make(chan bool)
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		stream := x.Stream()
		stream.Progress([]byte("1"), 0, 2)
		<-x.Context().Done()
		left <- true
	})
	g, whole := watched(t, a)
	defer whole()
	c := harness.Connect(t, g.URL)
	for range 10 {
		s := c.Open(http.MethodPost, call("1", "a_tool"))
		s.Next()
		s.Close()
		<-left
		for _, sent := range []string{"", call("1", "a_tool"), "x" + strings.Repeat(" ", 100_000)} {
			conn := dial(t, g)
			fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: %s\r\nContent-Length: 200000\r\n\r\n%s", c.Session(), sent)
			_ = conn.SetLinger(0)
			_ = conn.Close()
		}
	}
}

func dial(t *testing.T, g *harness.Gateway) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(harness.Patience))
	return conn.(*net.TCPConn)
}

// Requests in forms that clients of MCP do not use.
func TestOddFormsOfRequests(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g, whole := watched(t, a)
	defer whole()
	c := harness.Connect(t, g.URL)
	body := call("1", "a_tool")
	head := "Host: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMcp-Session-Id: " + c.Session() + "\r\n"
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	for name, tt := range map[string]struct {
		request, want string
	}{
		"trailers":         {"POST /mcp HTTP/1.1\r\n" + head + "Trailer: x-a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(body) + "0\r\nx-a: 1\r\n\r\n", `"a:tool"`},
		"only trailers":    {"POST /mcp HTTP/1.1\r\n" + head + "Trailer: x-a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-a: 1\r\n\r\n", `"code":-32700`},
		"byte by byte":     {"POST /mcp HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(body[:1]) + chunk(body[1:2]) + chunk(body[2:]) + "0\r\n\r\n", `"a:tool"`},
		"expects continue": {"POST /mcp HTTP/1.1\r\n" + head + "Expect: 100-continue\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body, `"a:tool"`},
		"HEAD":             {"HEAD /mcp HTTP/1.1\r\n" + head + "\r\n", "405 Method Not Allowed"},
		"CONNECT":          {"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", "HTTP/1.1 4"},
		"upgrade":          {"GET /mcp HTTP/1.1\r\n" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 4"},
		"upgrade of POST":  {"POST /mcp HTTP/1.1\r\n" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body, "HTTP/1.1 4"},
		"GET with a body":  {"GET /mcp HTTP/1.1\r\n" + strings.Replace(head, "application/json, text/event-stream", "text/event-stream", 1) + "Last-Event-ID: x\r\nContent-Length: 3\r\n\r\nabc", "200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, g)
			defer conn.Close() //nolint:errcheck // the gateway may have closed it
			if _, err := io.WriteString(conn, tt.request); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for r := bufio.NewReader(conn); !strings.Contains(got.String(), tt.want); {
				b, err := r.ReadByte()
				if err != nil {
					t.Fatalf("%v after %q, want %q", err, got.String(), tt.want)
				}
				got.WriteByte(b)
			}
			wantTool(t, c, "a_tool", "a", "tool")
		})
	}
}

// Many streams on one HTTP/2 connection, a third of which their client resets.
func TestManyStreamsOnOneConnection(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g, whole := watched(t, a)
	defer whole()
	c := harness.Connect(t, g.URL)
	web := &http.Client{Transport: transport("HTTP/2.0")}
	web.Transport.(*http.Transport).DisableKeepAlives = false
	defer web.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%3 == 0 {
					time.AfterFunc(time.Duration(i*j)*time.Microsecond, cancel)
				}
				id := fmt.Sprint(i*100 + j)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL, strings.NewReader(call(id, "a_tool")))
				if err != nil {
					t.Error(err)
				}
				req.Header = c.Header.Clone()
				resp, err := web.Do(req)
				if err == nil {
					var text []byte
					text, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if want := `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[{"type":"text","text":"a:tool"}]}}`; err == nil && string(text) != want {
						t.Errorf("%s, want %s", text, want)
					}
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

// Envoy drains the listener of an old configuration while streams are open.
func TestStreamsOutliveTheirConfiguration(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	next := make(chan bool)
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		stream := x.Stream()
		stream.Progress([]byte("1"), 0, 2)
		<-next
		stream.Send(x.ResultMessage(`{"content":[{"type":"text","text":"a:tool"}]}`))
	})
	config := harness.Config{Servers: []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")}}
	g := harness.Run(t, config)
	envoy := g.Child("envoy")
	c := harness.Connect(t, g.URL)
	s := c.Open(http.MethodPost, call("7", "a_tool"))
	s.Next()
	for i := range 3 {
		config.Limits = []string{fmt.Sprintf("body: %d", 2000+i)}
		g.Reload(config)
		harness.Eventually(t, "the new limit", func() bool {
			fresh := harness.NewClient(t, g.URL)
			r, err := fresh.Try(t.Context(), http.MethodPost, strings.Repeat(" ", 2001+i))
			q, errQ := fresh.Try(t.Context(), http.MethodPost, strings.Repeat(" ", 2000+i))
			return err == nil && errQ == nil && r.Status == http.StatusRequestEntityTooLarge && q.Status == http.StatusBadRequest
		})
	}
	close(next)
	if got := s.End(); len(got) != 1 || !strings.Contains(got[0], `"id":7,"result"`) {
		t.Errorf("the stream ended with %q", got)
	}
	if now := g.Child("envoy"); now != envoy {
		t.Errorf("Envoy is %v, was %v", now, envoy)
	}
}
