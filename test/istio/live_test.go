package istio

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/traffic"
)

// serversCome adds servers while calls go on and streams are open: none of these
// notices, and no listener is replaced.
func (w *world) serversCome() {
	s := w.serve("long", tools("long", "stream"))
	w.Apply(route("long", "long.mcp.local", "{backendRefs: [{name: long, port: 9000}]}"))
	w.Apply(server("long"))
	w.Want(server("long"), "Ready=True/Listed")
	c := harness.Connect(w.t, endpoint)
	listener := c.Listen()
	counters := []string{"listener_manager.listener_added", "listener_manager.listener_modified", "listener_manager.listener_removed", "listener_manager.listener_in_place_updated", "listener_manager.total_listeners_draining"}
	before := map[string]int{}
	for _, name := range counters {
		before[name] = w.stat(name)
	}
	connect := func() *harness.Client { return harness.Connect(w.t, endpoint) }
	meanwhile := traffic.Begin(w.t, connect, s, "stream", "long_stream", "weather_now")

	const servers = 5
	var took []time.Duration
	for n := range servers {
		name := fmt.Sprintf("new-%d", n)
		w.serve(name, tools(name, "tool"))
		began := time.Now()
		w.Apply(route(name, name+".mcp.local", "{backendRefs: [{name: "+name+", port: 9000}]}"))
		w.Apply(server(name))
		traffic.Called(w.t, c, name+"_tool")
		took = append(took, time.Since(began))
		listener.Until("notifications/tools/list_changed")
	}
	traffic.CheckSoon(w.t, took)
	// A setting is another configuration of the filter, under the same streams.
	w.Apply(strings.Replace(w.gateway(), "hostnames:", "limits: {body: 1Mi}, hostnames:", 1))
	large := harness.Connect(w.t, endpoint)
	harness.Eventually(w.t, "the new limit", func() bool {
		r := large.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_now","arguments":{"a":"` + strings.Repeat("a", 2<<20) + `"}}}`)
		return r.Status == http.StatusRequestEntityTooLarge
	})
	meanwhile.End()
	for _, name := range counters {
		if got := w.stat(name); got != before[name] {
			w.t.Errorf("Envoy's %s is %d, it was %d", name, got, before[name])
		}
	}
}
