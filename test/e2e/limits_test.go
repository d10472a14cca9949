package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// What is over a limit of a request or an answer gets an error of the protocol and
// counts in Envoy; what comes after it is served.
func TestLimitsOfMessages(t *testing.T) {
	t.Parallel()
	script := one("a")
	script.Framing = mcpserver.SSE
	a := mcpserver.Start(t, script)
	a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Result(`{"content":[{"type":"text","text":"` + strings.Repeat("x", len(x.Arguments())*8) + `"}]}`)
	})
	admin := harness.FreeAddr(t)
	g := harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")},
		Limits:  []string{"body: 8192", "event: 4096", "depth: 8", "headerSize: 8KiB", "headers: 30"},
	}, "--admin", admin)
	c := harness.Connect(t, g.URL)
	tool := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"a_tool","arguments":` + arguments + `}}`
	}
	nested := func(levels int) string { // around a 1
		return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
	}
	serve := func() {
		t.Helper()
		if r := c.Post(tool(nested(6))); !ok(r) || !strings.Contains(r.Message(), "xxx") {
			t.Errorf("within all limits: %s", r)
		}
	}
	serve()
	counted := func(line string, want int) {
		t.Helper()
		harness.Eventually(t, line, func() bool { return harness.Stats(t, admin)[line] == want })
	}

	checkError(t, c.Post(tool(`"`+strings.Repeat("x", 8192)+`"`)), 413, mcp.CodeInvalidRequest, "null")
	counted(`mcp_gateway_errors{reason="body_limit",server="-"}`, 1)
	serve()

	checkError(t, c.Post(tool(nested(7))), 400, mcp.CodeInvalidRequest, "null")
	counted(`mcp_gateway_errors{reason="depth",server="-"}`, 1)
	serve()

	// The answer is too large for an event, and cannot become one.
	r, err := c.Try(t.Context(), http.MethodPost, tool(`"`+strings.Repeat("x", 600)+`"`))
	if err == nil && ok(r) {
		t.Errorf("event over the limit: %s", r)
	}
	counted(`mcp_gateway_errors{reason="event_limit",server="-"}`, 1)
	serve()

	large := c.With("X-Large: " + strings.Repeat("x", 9<<10))
	many := *c
	many.Header = c.Header.Clone()
	for range 31 {
		many.Header.Add("X-Many", "x")
	}
	for name, client := range map[string]*harness.Client{"large headers": large, "many headers": &many} {
		r := client.Post(tool("1"))
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %s", name, r)
		}
		checkError(t, r, 431, mcp.CodeInvalidRequest, "null")
	}
	serve()
}

// Sessions and streams are counted for whoever opens them, by stores of both
// kinds; nobody counts for somebody else by what he sends.
func TestLimitsOfSessionsAndStreams(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(t *testing.T) []string{
		"memory": func(*testing.T) []string { return nil },
		"redis":  func(t *testing.T) []string { return []string{"store: " + redistest.Start(t).URL() + "/0"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := harness.Run(t, harness.Config{
				Servers:  []harness.Server{behind(mcpserver.Start(t, one("a")), "a")},
				Sessions: store(t),
				Limits:   []string{"sessionsPerPrincipal: 2", "sessionsPerAddress: 3", "streamsPerPrincipal: 1"},
			})
			begin := func(headers ...string) *harness.Client {
				t.Helper()
				c := harness.NewClient(t, g.URL).With(headers...)
				c.Initialize()
				return c
			}
			refused := func(limit string, headers ...string) {
				t.Helper()
				r := harness.NewClient(t, g.URL).With(headers...).Post(`{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`)
				checkError(t, r, 429, mcp.CodeInternalError, "7")
				if r.Header.Get("Retry-After") == "" || r.Header.Get(harness.HeaderSession) != "" {
					t.Errorf("headers of a refusal: %v", r.Header)
				}
				if line := `mcp_broker_refused_total{limit="` + limit + `"} `; strings.Contains(g.Metrics(), line+"0\n") {
					t.Errorf("the metrics do not count %s", limit)
				}
			}
			const ada, bob = "Authorization: Bearer ada", "Authorization: Bearer bob"
			first, second := begin(ada), begin(ada)
			refused("sessionsPerPrincipal", ada)
			begin(bob)

			stream := first.Listen()
			r := second.With("Accept: text/event-stream").Do(http.MethodGet, "")
			checkError(t, r, 429, mcp.CodeInternalError, "null")
			stream.Close()
			harness.Eventually(t, "a place for another stream", func() bool {
				s := second.With("Accept: text/event-stream").Open(http.MethodGet, "")
				defer s.Close()
				return s.Status == http.StatusOK
			})

			if r := first.Do(http.MethodDelete, ""); r.Status != http.StatusNoContent {
				t.Fatalf("DELETE: %s", r)
			}
			begin(ada)
			refused("sessionsPerPrincipal", ada)

			for range 3 {
				begin()
			}
			refused("sessionsPerAddress")
			// The address is what Envoy sees, whatever the client says of it.
			refused("sessionsPerAddress", "X-Forwarded-For: 10.1.2.3")
			refused("sessionsPerAddress", "X-Mcp-Address: 10.1.2.3")
			refused("sessionsPerAddress", "X-Envoy-External-Address: 10.1.2.3")
		})
	}
}

// While the broker hangs so many calls wait for it, and the next ones learn at
// once that they cannot.
func TestLimitOfQuestions(t *testing.T) {
	t.Parallel()
	const limit = 64
	p := harness.RunParts(t, harness.Config{
		Servers: []harness.Server{behind(mcpserver.Start(t, one("a")), "a"), behind(mcpserver.Start(t, one("b")), "b")},
		Limits:  []string{"questions: 64"},
	})
	c := harness.Connect(t, p.URL)
	warm := harness.Connect(t, p.URL)
	wantTool(t, warm, "a_tool", "a", "tool")
	p.Broker.Signal(syscall.SIGSTOP)
	answers := make(chan harness.Response)
	const callers = limit + 20
	for range callers {
		go func() {
			r, err := c.Try(t.Context(), http.MethodPost, call("1", "b_tool"))
			if err != nil {
				r.Body = err.Error()
			}
			answers <- r
		}()
	}
	for range callers - limit {
		r := <-answers
		checkError(t, r, 503, mcp.CodeInternalError, "1")
		if r.Header.Get("Retry-After") == "" {
			t.Errorf("headers of a refusal: %v", r.Header)
		}
	}
	wantTool(t, warm, "a_tool", "a", "tool")
	p.Broker.Signal(syscall.SIGCONT)
	for range limit {
		if r := <-answers; !ok(r) {
			t.Errorf("a call that has waited: %s", r)
		}
	}
	wantTool(t, c, "b_tool", "b", "tool")
}
