package filter

import (
	"strings"
	"testing"
)

// A panic under a lock must not stop every worker that comes to it later.
func TestPanicUnderALockLeavesItFree(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	id := []byte("broken")
	sh := g.sessions.shard(id)
	sh.m = nil // so that a write to it panics
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic: the test tests nothing")
			}
		}()
		g.sessions.put(id, backend{place: "mcp-server-weather", expires: 30 * second})
	}()
	if !sh.mu.TryLock() {
		t.Fatal("the shard is still locked")
	}
	sh.m = map[string][]backend{}
	sh.mu.Unlock()
	g.sessions.put(id, backend{place: "mcp-server-weather", expires: 30 * second})
	if _, ok := g.sessions.get(id, "mcp-server-weather", second); !ok {
		t.Error("the cache does not work on")
	}
}

func TestPanicked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body   string
		status int
		id     string
	}{
		"call":         {`{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"search"}}`, 200, `"x"`},
		"notification": {sealed("s1", `{"jsonrpc":"2.0","id":"docs~7","result":{}}`), 503, "null"},
		"initialize":   {`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`, 503, "1"},
	} {
		s, d := post(newGateway(t), tt.body)
		if d.Action != Pass {
			t.Fatalf("%s: %+v", name, d)
		}
		d = s.Panicked()
		want := `{"jsonrpc":"2.0","id":` + tt.id + `,"error":{"code":-32603,"message":"internal error"}}`
		if d.Action != Reply || d.Status != tt.status || string(d.Body) != want || d.Reason != "panic" || !d.Done {
			t.Errorf("%s: %d %s: %+v", name, d.Status, d.Body, d)
		}
		if d.Reroute || d.Replace || d.Splice.Start != d.Splice.End || len(edits(d)) > 2 {
			t.Errorf("%s: something of the decision before is left: %+v", name, d)
		}
	}
}

// The host ends a request itself while the broker is asked: its words are not
// for clients.
func TestGivenUpWhileTheBrokerIsAsked(t *testing.T) {
	t.Parallel()
	s, d := post(newGateway(t), `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"search"}}`, "mcp-session-id", "cold")
	if d.Action != Ask {
		t.Fatalf("%+v", d)
	}
	d = s.ResponseHeaders([]Header{{Name: ":status", Value: "504"}, {Name: "content-type", Value: "text/plain"}}, false)
	if d.Action != Reply || d.Status != 200 || !strings.Contains(string(d.Body), `"id":3,"error":{"code":-32603`) || !d.Done {
		t.Errorf("%d %s: %+v", d.Status, d.Body, d)
	}
}
