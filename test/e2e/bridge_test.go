package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Servers over stdio and HTTP+SSE are, to clients, servers like any other.
func TestPublicClientsReachServersOfEveryTransport(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		{Name: "weather", URL: harness.Demo(t, "weather"), Prefix: "weather_"},
		{Name: "cal", URL: harness.Demo(t, "cal"), Prefix: "cal_"},
		harness.EverythingStdio(t, "everything"),
		harness.EverythingStdio(t, "shared", "process: server"),
		{Name: "old", URL: harness.EverythingSSE(t), Prefix: "old_", Extra: []string{"transport: sse"}},
	}})
	node := harness.Tool(t, ".tools/node/bin/node")
	python := harness.Tool(t, ".tools/venv/bin/python")
	for _, client := range [][]string{
		{node, "test/clients/ts/client.mjs", g.URL, steps},
		{python, "test/clients/py/client.py", g.URL, steps, "legacy"},
		// The same steps at the server over HTTP+SSE, and at the shared process.
		{node, "test/clients/ts/client.mjs", g.URL, elsewhere(steps, "old")},
		{python, "test/clients/py/client.py", g.URL, elsewhere(steps, "shared"), "legacy"},
		// And by clients over HTTP+SSE at the same time.
		{python, "test/clients/py/client.py", g.URL + "/sse", steps, "legacy", "sse"},
		{python, "test/clients/py/client.py", g.URL + "/sse", elsewhere(steps, "old"), "legacy", "sse"},
	} {
		t.Run(client[1], func(t *testing.T) {
			t.Parallel()
			out := command(t, client[0], client[1:]...)
			for _, server := range []string{"old", "shared"} {
				if strings.Contains(client[3], server+"_") {
					out = strings.ReplaceAll(out, everythingOf(server), everything)
				}
			}
			checkSteps(t, out)
		})
	}
}

// everythingOf is the resource of the reference server under another name.
func everythingOf(server string) string { return server + strings.TrimPrefix(everything, "everything") }

// elsewhere has the steps go to another one of the reference servers.
func elsewhere(steps, server string) string {
	return strings.NewReplacer(everything, everythingOf(server), `"everything_`, `"`+server+"_").Replace(steps)
}

func TestKilledProcessHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	other := mcpserver.Start(t, one("other"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		harness.EverythingStdio(t, "local"), behind(other, "other"),
	}})
	before := members(g, "node")
	c := harness.Connect(t, g.URL)
	sum := func() harness.Response {
		return c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"local_get-sum","arguments":{"a":2,"b":40}}}`)
	}
	if r := sum(); !strings.Contains(r.Body, "42") {
		t.Fatalf("before: %s", r)
	}
	// One more process: the session's own.
	own := map[int]bool{}
	for pid := range members(g, "node") {
		if !before[pid] {
			own[pid] = true
		}
	}
	if len(own) != 1 {
		t.Fatalf("%d processes of its own for a session, want 1", len(own))
	}
	s := c.Open(http.MethodPost, `{"jsonrpc":"2.0","id":"long","method":"tools/call","params":{"name":"local_trigger-long-running-operation",`+
		`"arguments":{"duration":60,"steps":60},"_meta":{"progressToken":"p"}}}`)
	s.Until(`"progressToken":"p"`)
	for pid := range own {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Until(`"id":"long"`); !strings.Contains(got, fmt.Sprint(mcp.CodeInternalError)) || !strings.Contains(got, "server local ended") {
		t.Errorf("the call in flight: %s", got)
	}
	wantTool(t, c, "other_tool", "other", "tool")
	harness.Eventually(t, "call after the end of the process", func() bool { return strings.Contains(sum().Body, "42") })
	wantTool(t, c, "other_tool", "other", "tool")

	// A client that leaves takes its process along.
	c.Do(http.MethodDelete, "")
	harness.Eventually(t, "end of the session's process", func() bool {
		for pid := range members(g, "node") {
			if !before[pid] {
				return false
			}
		}
		return true
	})
}

// members are the ids of the processes that the gateway runs under a name.
func members(g *harness.Gateway, name string) map[int]bool {
	found := map[int]bool{}
	for _, m := range g.Family() {
		if m.Name == name {
			found[m.PID] = true
		}
	}
	return found
}

// What the broker serves for Envoy is not for clients.
func TestClientsCannotNameABridge(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{harness.EverythingStdio(t, "local")}})
	c := harness.Connect(t, g.URL)
	const body = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e","version":"1"}}}`
	for _, path := range []string{"/bridge/local", "/bridge/local?x=/mcp", "/mcp/../bridge/local", "/bridge%2flocal", "//bridge/local"} {
		at := *c
		at.URL = "http://" + g.Addr() + path
		for _, verb := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			for _, header := range []string{"Accept: application/json, text/event-stream", "X-Mcp-Cluster: mcp-server-local@broker"} {
				r := at.With(header).Do(verb, body)
				if r.Status != http.StatusNotFound && r.Status != http.StatusForbidden {
					t.Errorf("%s %s, %s: %s", verb, path, header, r)
				}
			}
		}
	}
}

// A server that comes, changes and goes with the file starts and ends processes
// and disturbs no other.
func TestReloadStartsAndEndsProcesses(t *testing.T) {
	t.Parallel()
	other := mcpserver.Start(t, one("other"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(other, "other")}})
	c := harness.Connect(t, g.URL)
	g.Reload(harness.Config{Servers: []harness.Server{behind(other, "other"), harness.EverythingStdio(t, "local")}})
	harness.Eventually(t, "tool of the new server", func() bool {
		return strings.Contains(c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"local_echo","arguments":{"message":"hi"}}}`).Body, "hi")
	})
	g.Reload(harness.Config{Servers: []harness.Server{behind(other, "other")}})
	harness.Eventually(t, "end of the removed server's processes", func() bool { return len(members(g, "node")) == 0 })
	wantTool(t, c, "other_tool", "other", "tool")
}

// A process that ignores every request to end, with a child of its own, ends
// with the gateway; the harness checks that nothing is left.
func TestStubbornProcessEndsWithTheGateway(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		harness.Wrap(harness.EverythingStdio(t, "local"), `trap "" TERM; "$@"; sleep 1000; :`),
	}})
	c := harness.Connect(t, g.URL)
	harness.Eventually(t, "call", func() bool {
		return strings.Contains(c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"local_echo","arguments":{"message":"hi"}}}`).Body, "hi")
	})
	if len(members(g, "sh")) < 2 || len(members(g, "node")) < 2 {
		t.Errorf("processes %v, want two of each", g.Family())
	}
	g.Stop(5 * time.Second)
}

// Envoy from a static file and a broker on its own: who runs a process is the
// broker, whose end is also the process's, however it comes.
func TestStaticEnvoyAndLocalServers(t *testing.T) {
	t.Parallel()
	p := harness.RunStatic(t, harness.Config{Servers: []harness.Server{harness.EverythingStdio(t, "local")}})
	c := harness.Connect(t, p.URL)
	echo := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"local_echo","arguments":{"message":"hi"}}}`
	harness.Eventually(t, "call", func() bool { return strings.Contains(c.Post(echo).Body, "hi") })
	if n := len(p.Broker.Family()); n < 2 {
		t.Errorf("%d processes of the broker, want one for its own session and one for the client's", n)
	}
	p.Broker.Signal(syscall.SIGKILL)
	<-p.Broker.Ended()
	harness.Eventually(t, "end of the processes", func() bool { return len(p.Broker.Family()) == 0 })
	p.StartBroker()
	c = harness.NewClient(t, p.URL)
	harness.Eventually(t, "new session", func() bool {
		r, err := c.Try(t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e","version":"1"}}}`)
		return err == nil && r.Status == http.StatusOK
	})
	c.Initialize()
	harness.Eventually(t, "call", func() bool { return strings.Contains(c.Post(echo).Body, "hi") })
	p.Broker.Stop(5 * time.Second)
}

// localAsker is a server over stdio that asks its client during a call, after a line
// that is no message, and results in the client's answer.
const localAsker = `
import json, sys
def send(m): print(m, flush=True)
print("a banner")
for line in sys.stdin:
    m = json.loads(line)
    method = m.get("method")
    if method == "initialize":
        send('{"jsonrpc":"2.0","id":%d,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"asker","version":"1"}}}' % m["id"])
    elif method == "tools/list":
        send('{"jsonrpc":"2.0","id":%d,"result":{"tools":[{"name":"ask","inputSchema":{"type":"object"}}]}}' % m["id"])
    elif method == "tools/call":
        call = m
        send('{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%d,"progress":1.0}}' % m["params"]["_meta"]["progressToken"])
        send('{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"sure?"}}')
    elif m.get("id") == "q":
        send('{"jsonrpc":"2.0","id":%d,"result":{"content":[],"_meta":{"told":%s}}}' % (call["id"], json.dumps(line)))
`

func TestLocalServerAsksItsClient(t *testing.T) {
	t.Parallel()
	other := mcpserver.Start(t, one("other"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		{Name: "local", Prefix: "local_", Extra: []string{
			fmt.Sprintf("command: [%q, -c, %q]", harness.Tool(t, ".tools/venv/bin/python"), localAsker),
		}},
		behind(other, "other"),
	}})
	c := harness.Connect(t, g.URL)
	s := c.Open(http.MethodPost, "{\"jsonrpc\":\"2.0\",\r\n\"id\":\"c\",\"method\":\"tools/call\",\"params\":{\"name\":\"local_ask\",\"_meta\":{\"progressToken\":\"t\"}}}")
	for _, want := range []string{
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1.0}}`,
		`{"jsonrpc":"2.0","id":"` + mark(c.Session(), "local", `\"q\"`) + `","method":"elicitation/create","params":{"message":"sure?"}}`,
	} {
		if got := s.Next(); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	if r := c.Post(`{"jsonrpc":"2.0","id":"` + mark(c.Session(), "local", `\"q\"`) + `","result":{ "action":"accept","n":1e400}}`); r.Status != http.StatusAccepted {
		t.Errorf("answer: %s", r)
	}
	const want = `{"jsonrpc":"2.0","id":"c","result":{"content":[],"_meta":{"told":"{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":{ \"action\":\"accept\",\"n\":1e400}}\n"}}}`
	if got := s.Next(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	s.End()
}
