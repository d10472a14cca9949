package k8s

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// soon is within what an added server's tools are to be called, as a rule: on a busy
// machine one of several may take longer.
const soon = 2 * time.Second

// Servers come and go while calls go on and streams are open: none of these notices,
// and no listener is replaced.
func TestServersComeWhileCallsGoOn(t *testing.T) {
	w := newWorld(t, "")
	old := "old-" + unique()
	s := w.serve("default", old, tools(old, "tool", "long"))
	release := make(chan struct{})
	s.Handle("tools/call", "long", func(x *mcpserver.Exchange) {
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
	w.Apply(route("default", old, old))
	first := server("default", old, "targetRef: {name: "+old+"}, prefix: "+old+"_")
	w.Apply(first)
	w.want(first, "Ready=True/Listed")

	c := harness.Connect(t, w.URL)
	listener := c.Listen()
	long := harness.Connect(t, w.URL).Open(http.MethodPost, fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"%s_long","arguments":{}}}`, old))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var calls atomic.Int64
	done := make(chan error, 1)
	go func() { done <- callOn(ctx, harness.Connect(t, w.URL), old+"_tool", &calls) }()

	const servers = 5
	var took []time.Duration
	for range servers {
		name := "new-" + unique()
		w.serve("default", name, tools(name, "tool"))
		w.Apply(route("default", name, name))
		a := server("default", name, "targetRef: {name: "+name+"}, prefix: "+name+"_")
		began := time.Now()
		w.Apply(a)
		harness.Eventually(t, "a call of the added server", func() bool {
			r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `_tool","arguments":{}}}`)
			return strings.Contains(r.Message(), `"result"`)
		})
		took = append(took, time.Since(began))
		listener.Until("notifications/tools/list_changed")
		w.Delete(a)
		harness.Eventually(t, "the server's end", func() bool { return !slices.Contains(c.Names("tools/list"), name+"_tool") })
	}
	slices.Sort(took)
	t.Logf("servers added: %v until the first call", took)
	if middle := took[servers/2]; middle > soon {
		t.Errorf("an added server was called after %v, want %v", middle, soon)
	}

	stop()
	if err := <-done; err != nil || calls.Load() < 20 {
		t.Errorf("of the calls meanwhile %d were answered, then: %v", calls.Load(), err)
	}
	close(release)
	events := long.End()
	if len(events) < 10 || !strings.Contains(events[len(events)-1], fmt.Sprintf(`"sent":%d`, len(events)-1)) {
		t.Errorf("of the long call's events %d came, the last of them %s", len(events), events[len(events)-1])
	}
	for name, want := range map[string]string{
		"listener_manager.listener_added": "1", "listener_manager.listener_modified": "0",
		"listener_manager.listener_removed": "0", "listener_manager.total_listeners_draining": "0",
	} {
		if got := w.stat(name); got != want {
			t.Errorf("Envoy's %s is %s, want %s", name, got, want)
		}
	}
}

// callOn calls a tool until ctx ends, and reports the first call that is not
// answered.
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
