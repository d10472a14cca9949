package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Many calls at once, of all sizes and framings, each with its own answer.
func TestConcurrentCallsDoNotMix(t *testing.T) {
	t.Parallel()
	var servers []harness.Server
	for name, framing := range map[string]mcpserver.Framing{"json": mcpserver.JSON, "sse": mcpserver.SSE, "primed": mcpserver.SSEPrimed} {
		script := one(name)
		script.Framing = framing
		s := mcpserver.Start(t, script)
		s.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
			x.Result(`{"content":[{"type":"resource_link","uri":"test://` + name + `","name":"l"}],"structuredContent":` + string(x.Arguments()) + `}`)
		})
		servers = append(servers, behind(s, name))
	}
	g := harness.Run(t, harness.Config{Servers: servers})
	var callers sync.WaitGroup
	for caller := range 24 {
		c := harness.Connect(t, g.URL)
		callers.Go(func() {
			for i := range 40 {
				name := []string{"json", "sse", "primed"}[(caller+i)%3]
				id := fmt.Sprintf(`"%d/%d"`, caller, i)
				arguments := fmt.Sprintf(`{"id":%s,"fill":"%s"}`, id, strings.Repeat("x", []int{0, 100, 20_000, 70_000}[i%4]))
				r, err := c.Try(t.Context(), http.MethodPost,
					`{"jsonrpc":"2.0","id":`+id+`,"method":"tools/call","params":{"name":"`+name+`_tool","arguments":`+arguments+`}}`)
				want := `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[{"type":"resource_link","uri":"` + name + `+test://` + name +
					`","name":"l"}],"structuredContent":` + arguments + `}}`
				if err != nil || r.Message() != want {
					t.Errorf("%s: %v %.300s, want %.300s", id, err, r, want)
				}
			}
		})
	}
	callers.Wait()
}

// A body may come in pieces, without a length, over HTTP/2: what counts is the
// message.
func TestOtherWaysToSendAMessage(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{Limits: []string{"body: 65536"}, Servers: []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")}})
	c := harness.Connect(t, g.URL)
	const want = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a:tool"}]}}`
	send := func(client *http.Client, url string, length int64, pieces ...string) (int, string) {
		t.Helper()
		r, w := io.Pipe()
		go func() {
			for _, piece := range pieces {
				if _, err := io.WriteString(w, piece); err != nil {
					return // refused before its end
				}
			}
			_ = w.Close()
		}()
		defer r.Close() //nolint:errcheck // ends the writer
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, r)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = c.Header.Clone()
		req.ContentLength = length
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	second := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	first := &http.Client{Transport: &http.Transport{}}
	message := call("1", "a_tool")
	for name, client := range map[string]*http.Client{"HTTP/1.1": first, "HTTP/2": second} {
		for _, length := range []int64{-1, int64(len(message))} {
			if status, body := send(client, g.URL, length, message[:1], message[1:30], message[30:40], message[40:]); status != 200 || body != want {
				t.Errorf("%s in pieces, length %d: %d %s", name, length, status, body)
			}
		}
		if status, body := send(client, g.URL+"?x=1", -1, message); status != 200 || body != want {
			t.Errorf("%s with a query: %d %s", name, status, body)
		}
		large := make([]string, 100)
		for i := range large {
			large[i] = strings.Repeat(" ", 1024)
		}
		if status, body := send(client, g.URL, -1, append(large, message)...); status != 413 || !strings.Contains(body, `"code":-32600`) {
			t.Errorf("%s over the limit without a length: %d %s", name, status, body)
		}
		client.CloseIdleConnections()
	}
	if got := string(a.Last("tools/call").Body); got != strings.Replace(message, "a_tool", "tool", 1) {
		t.Errorf("the server received %s", got)
	}
}

func TestHeadersOfTheProtocolAreChecked(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")}})
	c := harness.Connect(t, g.URL)
	twice := c.With()
	twice.Header["Mcp-Session-Id"] = []string{c.Session(), strings.Repeat("A", 43)}
	for name, client := range map[string]*harness.Client{
		"revision before the first": c.With("Mcp-Protocol-Version: 2024-11-05"),
		"revision that never was":   c.With("Mcp-Protocol-Version: 2025-07-01"),
		"revision that is no date":  c.With("Mcp-Protocol-Version: latest"),
		"two sessions":              twice,
	} {
		for kind, body := range map[string]string{"call": call("1", "a_tool"), "list": `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`} {
			r := client.Post(body)
			reply, err := r.Reply()
			if err != nil || reply.Error == nil || reply.Error.Code != mcp.CodeInvalidRequest || r.Status != 400 {
				t.Errorf("%s, %s: %s", name, kind, r)
			}
		}
	}
	if got := a.Received("tools/call"); len(got) > 0 {
		t.Errorf("%d of these calls reached the server", len(got))
	}
}
