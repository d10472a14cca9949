package broker

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// oldServer gives a server the transport of 2024-11-05: its answers come on an
// event stream.
type oldServer struct {
	*rawserver.Server

	mu      sync.Mutex
	streams map[string]chan string
	ended   int
}

func newOldServer(s *rawserver.Server) *oldServer {
	return &oldServer{Server: s, streams: map[string]chan string{}}
}

func (l *oldServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		l.mu.Lock()
		out := l.streams[r.URL.Query().Get("stream")]
		l.mu.Unlock()
		answer := httptest.NewRecorder()
		l.Server.ServeHTTP(answer, r)
		w.WriteHeader(http.StatusAccepted)
		if answer.Body.Len() > 0 {
			out <- answer.Body.String()
		}
		return
	}
	out := make(chan string, 10)
	l.mu.Lock()
	name := fmt.Sprint(len(l.streams))
	l.streams[name] = out
	l.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "event: endpoint\ndata: /post?stream="+name+"\n\n")
	for {
		_ = http.NewResponseController(w).Flush()
		select {
		case message := <-out:
			_, _ = io.WriteString(w, "data: "+message+"\n\n")
		case <-r.Context().Done():
			l.mu.Lock()
			l.ended++
			l.mu.Unlock()
			return
		}
	}
}

// counts are the streams that were opened and that have ended.
func (l *oldServer) counts() (opened, ended int) {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.streams), l.ended
}

func bridgedConfig(names ...string) gatewayconfig.Broker {
	c := config(names...)
	c.Servers[0].Bridge = &gatewayconfig.Bridge{}
	c.Servers[0].Headers = map[string]string{"Authorization": "Bearer x"}
	return c
}

// atBridge sends a request as Envoy does once the filter has routed it.
func (g *gateway) atBridge(host, name, session, body string) answer {
	g.t.Helper()
	r, err := http.NewRequest("POST", "http://broker"+gatewayconfig.PathBridge+name, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Mcp-Session-Id", session)
	resp, err := g.public.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

func TestBridgedServerIsOneLikeAnyOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := newOldServer(raw("a"))
		old.Results["tools/call"] = `{"content":[]}`
		g := newGateway(t, setup{config: bridgedConfig("one", "two")}, map[string]http.Handler{"one": old, "two": raw("b")})
		synctest.Wait()
		id := g.open()
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "two_b") {
			t.Errorf("tools %s", got)
		}
		table := g.inside("GET", gatewayconfig.PathTable, "", nil).body
		if !strings.Contains(table, `"name":"one","cluster":"","authority":"bridge.invalid","path":"/bridge/one"`) {
			t.Errorf("table %s", table)
		}
		r, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, id))
		if status != 200 || len(r.Session) != 43 {
			t.Fatalf("resolve: %d %+v", status, r)
		}
		call := `{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"a"}}`
		if got := g.atBridge("bridge.invalid", "one", r.Session, call); got.status != 200 || got.body != `{"jsonrpc":"2.0","id":"c","result":{"content":[]}}` {
			t.Errorf("call: %+v", got)
		}
		for _, seen := range old.Seen() {
			if seen.Header.Get("Authorization") != "Bearer x" || seen.Header.Get("Mcp-Session-Id") != "" {
				t.Errorf("%s with headers %v", seen.Method, seen.Header)
			}
		}
		if got := g.atBridge("gateway", "one", r.Session, call); got.status != 421 {
			t.Errorf("another host: %+v", got)
		}
		for _, name := range []string{"two", "three", "one/", ""} {
			if got := g.atBridge("bridge.invalid", name, r.Session, call); got.status != 404 {
				t.Errorf("%q: %+v", name, got)
			}
		}
		// The client's end is the connection's.
		if opened, ended := old.counts(); opened != 2 || ended != 0 {
			t.Errorf("%d streams, %d ended, want discovery and the client", opened, ended)
		}
		g.request("DELETE", "", map[string]string{"Mcp-Session-Id": id})
		if opened, ended := old.counts(); opened != 2 || ended != 1 {
			t.Errorf("%d streams, %d ended after DELETE", opened, ended)
		}
		g.stop()
		if opened, ended := old.counts(); opened != ended {
			t.Errorf("%d of %d streams outlive the broker", opened-ended, opened)
		}
	})
}

func TestChangedBridgeLetsCallsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := newOldServer(raw("a"))
		old.Results["tools/call"] = `{}`
		c := bridgedConfig("one")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": old})
		synctest.Wait()
		r, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, g.open()))
		if status != 200 {
			t.Fatal(status)
		}
		g.apply(c)
		if opened, ended := old.counts(); opened != 2 || ended != 0 {
			t.Errorf("the same again: %d streams, %d ended", opened, ended)
		}
		old.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method == "tools/call" {
				time.Sleep(20 * time.Second)
			}
			return false
		}
		done := make(chan answer, 1)
		go func() {
			done <- g.atBridge("bridge.invalid", "one", r.Session, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`)
		}()
		time.Sleep(time.Second)
		changed := bridgedConfig("one")
		changed.Servers[0].Bridge.ResponseLimit = 1 << 20
		g.apply(changed)
		time.Sleep(time.Second)
		if got := g.atBridge("bridge.invalid", "one", r.Session, `{"jsonrpc":"2.0","id":1,"method":"ping"}`); got.status != 404 {
			t.Errorf("an old session at the new bridge: %+v", got)
		}
		if got := <-done; !strings.Contains(got.body, `"result":{}`) {
			t.Errorf("the call in flight: %+v", got)
		}
		time.Sleep(time.Second)
		if opened, ended := old.counts(); opened != 3 || ended != 2 {
			t.Errorf("%d streams, %d ended, want the new discovery alone", opened, ended)
		}
		if got := g.ask(g.open(), "tools/list"); got != toolList("a") && got != toolList("one_a") {
			t.Errorf("tools %s", got)
		}
	})
}

func TestBridgesThatDifferAreNotEqual(t *testing.T) {
	t.Parallel()
	base := func() *gatewayconfig.Bridge {
		return &gatewayconfig.Bridge{Command: []string{"a", "b"}, Env: map[string]string{"A": "1"}}
	}
	changes := []func(*gatewayconfig.Bridge){
		func(b *gatewayconfig.Bridge) { b.Command = slices.Clone(b.Command[:1]) },
		func(b *gatewayconfig.Bridge) { b.Env["A"] = "2" },
		func(b *gatewayconfig.Bridge) { b.Dir = "/" },
		func(b *gatewayconfig.Bridge) { b.Shared = true },
		func(b *gatewayconfig.Bridge) { b.MaxProcesses = 1 },
		func(b *gatewayconfig.Bridge) { b.ConnectTimeout = 1 },
		func(b *gatewayconfig.Bridge) { b.ResponseLimit = 1 },
	}
	for i, change := range changes {
		other := base()
		change(other)
		if base().Equal(other) || other.Equal(nil) || (*gatewayconfig.Bridge)(nil).Equal(other) {
			t.Errorf("change %d is not seen", i)
		}
	}
	if !base().Equal(base()) || !(*gatewayconfig.Bridge)(nil).Equal(nil) {
		t.Error("equal bridges differ")
	}
}
