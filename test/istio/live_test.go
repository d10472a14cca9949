package istio

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// soon is within what an added server's tools are to be called.
const soon = 2 * time.Second

// serversCome adds servers while calls go on and streams are open: none of these
// notices, and no listener is replaced.
func (w *world) serversCome() {
	release := make(chan struct{})
	s := w.serve("long", tools("long", "stream"))
	s.Handle("tools/call", "stream", func(x *mcpserver.Exchange) {
		stream := x.Stream()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				stream.Send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%d}}`, n))
			case <-release:
				stream.Send(x.ResultMessage(fmt.Sprintf(`{"content":[],"_meta":{"sent":%d}}`, n)))
				return
			case <-x.Context().Done():
				return
			}
		}
	})
	w.Apply(route("long", "long.mcp.local", "{backendRefs: [{name: long, port: 9000}]}"))
	w.Apply(server("long"))
	w.want(server("long"), "Ready=True/Listed")
	c := harness.Connect(w.t, endpoint)
	listener := c.Listen()
	stream := harness.Connect(w.t, endpoint).Open(http.MethodPost, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"long_stream","arguments":{}}}`)
	counters := []string{"listener_manager.listener_added", "listener_manager.listener_modified", "listener_manager.listener_removed", "listener_manager.listener_in_place_updated", "listener_manager.total_listeners_draining"}
	before := map[string]int{}
	for _, name := range counters {
		before[name] = w.stat(name)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	var calls atomic.Int64
	done := make(chan error, 1)
	go func() { done <- callOn(ctx, harness.Connect(w.t, endpoint), "weather_now", &calls) }()

	const servers = 5
	var took []time.Duration
	for n := range servers {
		name := fmt.Sprintf("new-%d", n)
		w.serve(name, tools(name, "tool"))
		began := time.Now()
		w.Apply(route(name, name+".mcp.local", "{backendRefs: [{name: "+name+", port: 9000}]}"))
		w.Apply(server(name))
		harness.Eventually(w.t, "a call of the added server", func() bool {
			r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `_tool","arguments":{}}}`)
			return strings.Contains(r.Message(), `"result"`)
		})
		took = append(took, time.Since(began))
		listener.Until("notifications/tools/list_changed")
	}
	slices.Sort(took)
	w.t.Logf("servers added, with their routes: %v until the first call", took)
	if middle := took[servers/2]; middle > soon {
		w.t.Errorf("an added server was called after %v, want %v", middle, soon)
	}
	// A setting is another configuration of the filter, under the same streams.
	w.Apply(strings.Replace(w.gateway(), "hostnames:", "limits: {body: 1Mi}, hostnames:", 1))
	large := harness.Connect(w.t, endpoint)
	harness.Eventually(w.t, "the new limit", func() bool {
		r := large.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_now","arguments":{"a":"` + strings.Repeat("a", 2<<20) + `"}}}`)
		return r.Status == http.StatusRequestEntityTooLarge
	})
	stop()
	if err := <-done; err != nil || calls.Load() < 20 {
		w.t.Errorf("of the calls meanwhile %d were answered, then: %v", calls.Load(), err)
	}
	close(release)
	events := stream.End()
	if len(events) < 10 || !strings.Contains(events[len(events)-1], fmt.Sprintf(`"sent":%d`, len(events)-1)) {
		w.t.Errorf("of the long call's events %d came, the last of them %s", len(events), events[len(events)-1])
	}
	w.t.Logf("meanwhile %d calls were answered, and a stream had %d events", calls.Load(), len(events))
	for _, name := range counters {
		if got := w.stat(name); got != before[name] {
			w.t.Errorf("Envoy's %s is %d, it was %d", name, got, before[name])
		}
	}
}

// callOn calls a tool until ctx ends, and reports the first call that is not answered.
func callOn(ctx context.Context, c *harness.Client, tool string, calls *atomic.Int64) error {
	for ctx.Err() == nil {
		r, err := c.Try(context.WithoutCancel(ctx), http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":{}}}`)
		if err != nil || !strings.Contains(r.Message(), `"result"`) {
			return fmt.Errorf("call %d: %v %s", calls.Load(), err, r)
		}
		calls.Add(1)
	}
	return nil
}
