package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// A server that fails costs its own calls, each with one attempt: a tool may
// have run.
func TestFailingServerIsNamedAndOthersGoOn(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		fail mcpserver.Fault
		sent int // requests that reach the server
	}{
		"reset":                {mcpserver.Reset, 1},
		"timeout":              {mcpserver.Hang, 1},
		"status 500":           {mcpserver.Status(500), 1},
		"status 502":           {mcpserver.Status(502), 1},
		"status 503":           {mcpserver.Status(503), 1},
		"refused":              {nil, 0},
		"status 429":           {mcpserver.Status(429), 1},
		"status 401":           {mcpserver.Status(401), 1},
		"redirect":             {mcpserver.Status(307), 1},
		"page instead of JSON": {mcpserver.Body("text/html", "<html>login</html>"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := mcpserver.Start(t, one("bad"))
			good := mcpserver.Start(t, one("good"))
			g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(bad, "bad", "timeout: 1s"), behind(good, "good")}})
			c := harness.Connect(t, g.URL)
			wantTool(t, c, "bad_tool", "bad", "tool")
			bad.Forget()
			if fault.fail == nil {
				bad.Down()
			} else {
				bad.Fail(fault.fail, "tools/call", "prompts/get", "resources/read")
			}
			for _, id := range []string{`1`, `"\u0041"`, `1e3`} {
				for method, params := range map[string]string{
					"tools/call": `{"name":"bad_tool"}`, "prompts/get": `{"name":"bad_prompt"}`, "resources/read": `{"uri":"bad+test://resource"}`,
				} {
					r := c.Post(`{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":` + params + `}`)
					reply := wantError(t, r, 200, mcp.CodeInternalError, id)
					if !strings.Contains(reply.Error.Message, "bad") {
						t.Errorf("%s: message %q does not name the server", method, reply.Error.Message)
					}
					if strings.Contains(r.Body, bad.Addr()) || strings.Contains(r.Body, "html") {
						t.Errorf("%s: the answer tells too much: %s", method, r.Body)
					}
				}
				wantTool(t, c, "good_tool", "good", "tool")
			}
			if got, want := len(bad.Received("tools/call")), 3*fault.sent; got != want {
				t.Errorf("the server received %d calls, want %d", got, want)
			}
			want := []string{"bad_tool", "good_tool"}
			if diff := cmp.Diff(want, c.Names("tools/list")); diff != "" && fault.fail != nil {
				t.Errorf("tools (-want +got):\n%s", diff)
			}
			bad.Heal()
			bad.Up()
			harness.Eventually(t, "call after the failure", func() bool { return ok(c.Post(call("1", "bad_tool"))) })
		})
	}
}

// One server that hangs at initialize must not delay the others' sessions.
func TestServerThatHangsAtInitialize(t *testing.T) {
	t.Parallel()
	bad := mcpserver.Start(t, one("bad"))
	good := mcpserver.Start(t, one("good"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(bad, "bad", "listTimeout: 2s"), behind(good, "good")}})
	harness.Connect(t, g.URL)
	bad.Fail(mcpserver.Hang, "initialize")
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "good_tool", "good", "tool")
	reply := wantError(t, c.Post(call(`"x"`, "bad_tool")), 200, mcp.CodeInternalError, `"x"`)
	if !strings.Contains(reply.Error.Message, "bad") {
		t.Errorf("message %q does not name the server", reply.Error.Message)
	}
	bad.Heal()
	harness.Eventually(t, "call after the failure", func() bool { return ok(c.Post(call("1", "bad_tool"))) })
}

// A server that is not there when the gateway starts delays nothing, and its
// tools appear when it comes.
func TestServerThatComesLater(t *testing.T) {
	t.Parallel()
	late := mcpserver.NewDown(t, one("late"))
	good := mcpserver.Start(t, one("good"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(late, "late"), behind(good, "good")}})
	c := harness.Connect(t, g.URL)
	if diff := cmp.Diff([]string{"good_tool"}, c.Names("tools/list")); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	wantTool(t, c, "good_tool", "good", "tool")
	reply := wantError(t, c.Post(call("1", "late_tool")), 200, mcp.CodeInternalError, "1")
	if !strings.Contains(reply.Error.Message, "late") {
		t.Errorf("message %q does not name the server", reply.Error.Message)
	}
	stream := c.Listen()
	late.Up()
	stream.Until("notifications/tools/list_changed")
	harness.Eventually(t, "the late server's tools", func() bool {
		return cmp.Equal([]string{"late_tool", "good_tool"}, c.Names("tools/list"))
	})
	wantTool(t, c, "late_tool", "late", "tool")
}

// The tools of a server change: clients hear of it once, and the list is new.
func TestServerThatChangesItsTools(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	b := mcpserver.Start(t, one("b"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(b, "b")}})
	c := harness.Connect(t, g.URL)
	stream := c.Listen()
	a.Wait(harness.Patience, "the broker's stream", func() bool { return a.Streams() > 0 })
	a.SetPages(mcpserver.ToolsList, `{"name":"tool"}`, `{"name":"new"}`)
	a.Notify("notifications/tools/list_changed")
	stream.Until("notifications/tools/list_changed")
	if diff := cmp.Diff([]string{"a_tool", "a_new", "b_tool"}, c.Names("tools/list")); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	wantTool(t, c, "a_new", "a", "new")
	a.SetPages(mcpserver.ToolsList, `{"name":"tool"}`)
	a.Notify("notifications/tools/list_changed")
	stream.Until("notifications/tools/list_changed")
	harness.Eventually(t, "the end of the tool", func() bool {
		r := c.Post(call("1", "a_new"))
		reply, err := r.Reply()
		return r.Status == http.StatusOK && err == nil && reply.Error != nil && reply.Error.Code == mcp.CodeInvalidParams
	})
}

// Sessions at the servers are opened when needed, one for each client, and end
// with the client's.
func TestServerSessionsAreLazyAndEnd(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")}})
	before := len(a.Received("initialize"))
	first, second := harness.Connect(t, g.URL), harness.Connect(t, g.URL)
	first.Names("tools/list")
	if got := len(a.Received("initialize")); got != before {
		t.Errorf("%d sessions opened before a call needed one", got-before)
	}
	done := make(chan harness.Response)
	for range 8 {
		go func() {
			r, err := first.Try(t.Context(), http.MethodPost, call("1", "a_tool"))
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
	}
	for range 8 {
		if r := <-done; !ok(r) {
			t.Error(r)
		}
	}
	wantTool(t, second, "a_tool", "a", "tool")
	if got := len(a.Received("initialize")) - before; got != 2 {
		t.Errorf("%d sessions for two clients", got)
	}
	open := a.Sessions()
	first.Do(http.MethodDelete, "")
	a.Wait(harness.Patience, "the end of the server's session", func() bool { return a.Sessions() == open-1 })
	wantTool(t, second, "a_tool", "a", "tool")
}

// Nothing that the gateway waits for at its start may take as long as a server
// that hangs.
func TestStartIsNotDelayedByAServerThatHangs(t *testing.T) {
	t.Parallel()
	bad := mcpserver.Start(t, one("bad"))
	bad.Fail(mcpserver.Hang)
	good := mcpserver.Start(t, one("good"))
	began := time.Now()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(bad, "bad", "listTimeout: 60s"), behind(good, "good")}})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("ready after %v", took)
	}
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "good_tool", "good", "tool")
}
