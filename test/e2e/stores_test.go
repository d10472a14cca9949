package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// keyFiles writes a secret into a file each, and returns their entry of sessions.
func keyFiles(t *testing.T, keys ...string) string {
	t.Helper()
	dir, list := t.TempDir(), make([]string, len(keys))
	for i, key := range keys {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(strings.Repeat(key+" ", 32)), 0o600); err != nil {
			t.Fatal(err)
		}
		list[i] = "{file: " + file + "}"
	}
	return "keys: [" + strings.Join(list, ", ") + "]"
}

// at is the client's session at another gateway.
func at(c *harness.Client, g *harness.Gateway) *harness.Client {
	same := *c
	same.URL = g.URL
	return &same
}

// wantGone checks that a gateway does not know the client's session.
func wantGone(t *testing.T, c *harness.Client) {
	t.Helper()
	wantError(t, c.Post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), http.StatusNotFound, mcp.CodeInvalidRequest, "1")
}

// Gateways that share a key, and nothing else, take each other's sessions.
func TestSessionsInTheirIDs(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, one("a"))
	config := func(keys ...string) harness.Config {
		return harness.Config{Servers: []harness.Server{behind(a, "a")}, Sessions: []string{"store: token", keyFiles(t, keys...)}}
	}
	first, second, stranger := harness.Run(t, config("old")), harness.Run(t, config("new", "old")), harness.Run(t, config("other"))
	c := harness.Connect(t, first.URL)
	before := len(a.Received("initialize"))
	wantTool(t, c, "a_tool", "a", "tool")
	wantTool(t, at(c, second), "a_tool", "a", "tool")
	wantTool(t, c, "a_tool", "a", "tool")
	if got := len(a.Received("initialize")) - before; got != 2 {
		t.Errorf("%d sessions at the server, want one of each gateway", got)
	}
	wantGone(t, at(c, stranger))
	for _, i := range []int{0, len(c.Session()) / 2, len(c.Session()) - 1} {
		forged := []byte(c.Session())
		forged[i] ^= 1
		wantGone(t, c.With(harness.HeaderSession+": "+string(forged)))
	}
	// What the newer key has sealed, who has only the older one does not open.
	wantGone(t, at(harness.Connect(t, second.URL), first))
	// It ends where its end was asked for.
	if r := c.Do(http.MethodDelete, ""); r.Status/100 != 2 {
		t.Fatalf("DELETE: %s", r)
	}
	wantGone(t, c)
}

// The keys that seal what Redis keeps change without the end of a session: add,
// promote, remove. A session of a key that was removed is unknown.
func TestKeysOfSessionsAreRotated(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t)
	a := mcpserver.Start(t, one("a"))
	run := func(keys ...string) *harness.Gateway {
		return harness.Run(t, harness.Config{
			Servers:  []harness.Server{behind(a, "a")},
			Sessions: []string{"store: " + store.URL(), keyFiles(t, keys...)},
		})
	}
	stages := []*harness.Gateway{run("old"), run("old", "new"), run("new", "old"), run("new")}
	before := len(a.Received("initialize"))
	old := harness.Connect(t, stages[0].URL)
	for _, g := range stages[:3] {
		wantTool(t, at(old, g), "a_tool", "a", "tool")
	}
	wantGone(t, at(old, stages[3]))
	fresh := harness.Connect(t, stages[2].URL)
	for _, g := range []*harness.Gateway{stages[2], stages[1], stages[3]} { // the first seals what is at the server
		wantTool(t, at(fresh, g), "a_tool", "a", "tool")
	}
	wantGone(t, at(fresh, stages[0]))
	if got := len(a.Received("initialize")) - before; got != 2 {
		t.Errorf("%d sessions at the server for two clients", got)
	}
}

// When the master of a Redis is lost, the one that the Sentinels name next has the
// sessions.
func TestRedisFailsOver(t *testing.T) {
	t.Parallel()
	master, replica, sentinel := redistest.StartSentinel(t)
	a := mcpserver.Start(t, one("a"))
	g := harness.Run(t, harness.Config{
		Servers:  []harness.Server{behind(a, "a"), behind(mcpserver.Start(t, one("b")), "b")},
		Sessions: []string{"store: " + sentinel.URL() + "/0?master_name=" + redistest.Master},
	})
	c := harness.Connect(t, g.URL)
	wantTool(t, c, "a_tool", "a", "tool")
	if got := master.Command("WAIT", "1", "10000"); got != ":1" {
		t.Fatalf("the replica is behind: %s", got)
	}
	before := len(a.Received("initialize"))
	master.Kill()
	wantTool(t, c, "a_tool", "a", "tool") // warm
	replica.Await(func(info string) bool { return strings.Contains(info, "role:master") }, "INFO", "replication")
	harness.Eventually(t, "first call at a server", func() bool { return ok(c.Post(call("1", "b_tool"))) })
	wantTool(t, c, "a_tool", "a", "tool")
	harness.Connect(t, g.URL)
	if got := len(a.Received("initialize")) - before; got != 0 {
		t.Errorf("%d sessions more at the server", got)
	}
}

// A client's stream is at one replica and its calls are at the other: what servers
// say reaches it, and its answers reach who asked.
func TestReplicasAreOneToTheirClient(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t)
	a, b := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("b"))
	asking(b, "1", `"p"`)
	config := harness.Config{
		Servers: []harness.Server{behind(a, "a"), behind(b, "b")}, Sessions: []string{"store: " + store.URL()},
	}
	first, second := harness.Run(t, config), harness.Run(t, config)
	c := connected(t, first.URL)
	stream := c.Listen()
	elsewhere := at(c, second)
	wantTool(t, elsewhere, "a_tool", "a", "tool")
	a.Wait(harness.Patience, "the stream of the new session, and two of discovery", func() bool { return a.Streams() == 3 })
	a.Notify("notifications/x")
	stream.Until("notifications/x")
	// The call is at the second one, and its answers come by the first.
	asked := elsewhere.Open(http.MethodPost, `{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"b_tool","_meta":{"progressToken":7}}}`)
	asked.Until("elicitation/create")
	id := mark(c.Session(), "b", "1")
	for _, message := range []string{
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"` + mark(c.Session(), "b", `\"p\"`) + `","progress":1}}`,
		`{"jsonrpc":"2.0","id":"` + id + `","result":{"action":"decline"}}`,
	} {
		if r := c.Post(message); r.Status != http.StatusAccepted {
			t.Errorf("%s: %s", message, r)
		}
	}
	asked.Until("decline")
	asked.Until(`"content":[]`)
	asked.End()
	if n := len(b.Received("initialize")); n != 3 {
		t.Errorf("%d sessions at the server, want two of discovery and the client's", n)
	}
}
