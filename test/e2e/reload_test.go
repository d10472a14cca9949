package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Servers come, change and go while others are called and stream.
func TestReloadDisturbsNobody(t *testing.T) {
	t.Parallel()
	a := mcpserver.Start(t, tools("a", "tool", "stream"))
	b := mcpserver.Start(t, one("b"))
	tick := make(chan struct{})
	a.Handle("tools/call", "stream", func(x *mcpserver.Exchange) {
		s := x.Stream()
		for i := 0; ; i++ {
			s.Progress(x.ProgressToken(), i, 1000)
			if _, more := <-tick; !more {
				break
			}
		}
		s.Send(x.ResultMessage(`{"content":[]}`))
	})
	first := behind(a, "a")
	g := harness.Run(t, harness.Config{Servers: []harness.Server{first}})
	watcher := harness.Connect(t, g.URL)
	changes := watcher.Listen()

	long := harness.Connect(t, g.URL).Open(http.MethodPost,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_stream","_meta":{"progressToken":"p"}}}`)
	long.Until(`"progress":0,`)
	events := 1
	step := func() {
		t.Helper()
		tick <- struct{}{}
		long.Until(fmt.Sprintf(`"progress":%d,`, events))
		events++
	}

	var calls, failed atomic.Int64
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 16 {
		c := harness.Connect(t, g.URL)
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := c.Try(t.Context(), http.MethodPost, call("1", "a_tool"))
				calls.Add(1)
				if err != nil || !ok(r) || !strings.Contains(r.Body, "a:tool") {
					if failed.Add(1) < 10 {
						t.Errorf("call: %v %s", err, r)
					}
				}
			}
		})
	}
	for round := range 3 {
		for _, change := range []struct {
			name    string
			servers []harness.Server
			want    []string
		}{
			{"added", []harness.Server{first, behind(b, "b")}, []string{"a_tool", "a_stream", "b_tool"}},
			{"prefix changed", []harness.Server{first, {Name: "b", URL: b.URL(), Prefix: "other_"}}, []string{"a_tool", "a_stream", "other_tool"}},
			{"moved to the front", []harness.Server{{Name: "b", URL: b.URL(), Prefix: "other_"}, first}, []string{"other_tool", "a_tool", "a_stream"}},
			{"removed", []harness.Server{first}, []string{"a_tool", "a_stream"}},
		} {
			before := calls.Load()
			g.Reload(harness.Config{Servers: change.servers})
			changes.Until("notifications/tools/list_changed")
			harness.Eventually(t, fmt.Sprintf("round %d: server %s", round, change.name), func() bool {
				return cmp.Equal(change.want, watcher.Names("tools/list"))
			})
			if i := slices.IndexFunc(change.want, func(n string) bool { return strings.HasSuffix(n, "r_tool") || n == "b_tool" }); i >= 0 {
				wantTool(t, watcher, change.want[i], "b", "tool")
			}
			step()
			harness.Eventually(t, "calls after the change", func() bool { return calls.Load() > before+100 })
		}
	}
	close(stop)
	callers.Wait()
	close(tick)
	if rest := long.End(); len(rest) != 1 || !strings.Contains(rest[0], `"result"`) {
		t.Errorf("the stream ended with %q", rest)
	}
	t.Logf("%d calls, %d failed, %d events", calls.Load(), failed.Load(), events)
}

// A file with mistakes changes nothing, is told with every mistake, and can be
// mended.
func TestBadFileKeepsTheOldConfiguration(t *testing.T) {
	t.Parallel()
	a, b := mcpserver.Start(t, one("a")), mcpserver.Start(t, one("b"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(a, "a")}})
	c := harness.Connect(t, g.URL)
	stream := c.Listen()
	g.Write("servers:\n  - name: b\n    url: nonsense\n    colour: red\n")
	g.WaitLine(g.Stderr(), "colour")
	g.WaitLine(g.Stderr(), "url")
	wantTool(t, c, "a_tool", "a", "tool")
	g.Reload(harness.Config{Servers: []harness.Server{behind(b, "b")}})
	stream.Until("notifications/tools/list_changed")
	harness.Eventually(t, "the mended file", func() bool { return cmp.Equal([]string{"b_tool"}, c.Names("tools/list")) })
	wantTool(t, c, "b_tool", "b", "tool")
}
