package k8s

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/traffic"
	"mcp-gateway/test/mcpserver"
)

// Servers come and go while calls go on and streams are open: none of these notices,
// and no listener is replaced.
func TestServersComeWhileCallsGoOn(t *testing.T) {
	w := newWorld(t, "")
	old := "old-" + unique()
	s := w.serve("default", old, mcpserver.Tools(old, "tool", "long"))
	w.Apply(route("default", old, old))
	first := server("default", old, "targetRef: {name: "+old+"}, prefix: "+old+"_")
	w.Apply(first)
	w.Want(first, "Ready=True/Listed")

	c := harness.Connect(t, w.URL)
	listener := c.Listen()
	connect := func() *harness.Client { return harness.Connect(t, w.URL) }
	meanwhile := traffic.Begin(t, connect, s, "long", old+"_long", old+"_tool")

	const servers = 5
	var took []time.Duration
	for range servers {
		name := "new-" + unique()
		w.serve("default", name, mcpserver.Tools(name, "tool"))
		w.Apply(route("default", name, name))
		a := server("default", name, "targetRef: {name: "+name+"}, prefix: "+name+"_")
		began := time.Now()
		w.Apply(a)
		traffic.Called(t, c, name+"_tool")
		took = append(took, time.Since(began))
		listener.Until("notifications/tools/list_changed")
		w.Delete(a)
		harness.Eventually(t, "the server's end", func() bool { return !slices.Contains(c.Names("tools/list"), name+"_tool") })
	}
	traffic.CheckSoon(t, took)
	meanwhile.End()
	for name, want := range map[string]string{
		"listener_manager.listener_added": "1", "listener_manager.listener_modified": "0",
		"listener_manager.listener_removed": "0", "listener_manager.total_listeners_draining": "0",
	} {
		if got := w.stat(name); got != want {
			t.Errorf("Envoy's %s is %s, want %s", name, got, want)
		}
	}
}

// stat is one of Envoy's statistics.
func (w *world) stat(name string) string {
	w.t.Helper()
	resp, err := http.Get("http://" + w.Admin + "/stats?filter=^" + regexp.QuoteMeta(name) + "$")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(text), name+":"))
}
