package scale

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/test/e2e/harness"
)

// inProcess is a broker in the test's own process, behind a socket.
type inProcess struct {
	t        testing.TB
	broker   *broker.Broker
	addr     string
	internal http.Handler
}

func runBroker(t testing.TB, servers []gatewayconfig.Server, pageSize int) *inProcess {
	t.Helper()
	store, err := memory.New(memory.Options{Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	b := broker.New(zap.NewNop(), store, broker.Options{})
	if err := b.Apply(gatewayconfig.Broker{Name: "gw", Version: "1", Path: "/mcp", NameLimit: 64, PageSize: pageSize, Servers: servers}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: b.Public(), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 128 << 10}
	go func() { _ = h.Serve(l) }()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() { cancel(); _ = h.Close(); <-done })
	p := &inProcess{t: t, broker: b, addr: l.Addr().String(), internal: b.Internal()}
	harness.Eventually(t, "readiness", func() bool { return p.ask(http.MethodGet, "/readyz", "").Code == http.StatusOK })
	return p
}

// ask sends a request to the internal API.
func (p *inProcess) ask(method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.internal.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

// raw is a client's connection that costs the test almost nothing.
type raw struct{ net.Conn }

func (p *inProcess) dial() raw {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	return raw{c}
}

// headers are about what Envoy sends on behalf of a client.
const headers = "Host: mcp.example.com\r\nUser-Agent: an-agent/1.2.3\r\nAccept: application/json, text/event-stream\r\n" +
	"Content-Type: application/json\r\nMcp-Protocol-Version: 2025-11-25\r\nX-Forwarded-Proto: http\r\nX-Request-Id: 2f3c7a44-5b0f-4e2f-9a7e-0b8f0c9f3b11\r\n"

// send writes a request and reads the answer's head.
func (r raw) send(t testing.TB, method, session, body string) *http.Response {
	t.Helper()
	head := method + " /mcp HTTP/1.1\r\n" + headers
	if session != "" {
		head += "Mcp-Session-Id: " + session + "\r\n"
	}
	if method == http.MethodPost {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if _, err := io.WriteString(r, head+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(r, 1024), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// post sends a message and returns the whole answer.
func (r raw) post(t testing.TB, session, body string) string {
	t.Helper()
	resp := r.send(t, http.MethodPost, session, body)
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%.80s: %s %v", body, resp.Status, err)
	}
	return string(answer)
}

// begin opens a session.
func (r raw) begin(t testing.TB, client string) (session string) {
	t.Helper()
	resp := r.send(t, http.MethodPost, "", initializeOf(client))
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("initialize: %s %v", resp.Status, err)
	}
	return resp.Header.Get("Mcp-Session-Id")
}

func initializeOf(client string) string {
	return `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{}},"clientInfo":{"name":"` + client + `","version":"1.0.0"}}}`
}

// memoryInUse is what the process has in heap and stacks, garbage left out.
func memoryInUse() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// What a session with an open stream costs the broker, and that all of it is free
// again when the session has ended.
func TestStreamMemory(t *testing.T) {
	const streams = 1000
	for _, n := range []int{0, 1, 3} {
		t.Run(fmt.Sprintf("servers=%d", n), func(t *testing.T) {
			var servers []gatewayconfig.Server
			var all []*server
			for i := range max(1, n) {
				s := serve(t, fmt.Sprintf("s%d", i), 10)
				all = append(all, s)
				servers = append(servers, s.config(true))
			}
			p := runBroker(t, servers, 0)
			opener, empty := p.dial(), memoryInUse()
			ids, conns := make([]string, streams), make([]raw, streams)
			for i := range ids {
				ids[i] = opener.begin(t, fmt.Sprint("client-", i))
				for _, s := range all[:n] {
					if got := p.ask(http.MethodPost, gatewayconfig.PathResolve, `{"session":"`+ids[i]+`","server":"`+s.name+`"}`); got.Code != 200 {
						t.Fatalf("resolve: %d %s", got.Code, got.Body)
					}
				}
			}
			idle := memoryInUse()
			for i := range conns {
				conns[i] = p.dial()
				if resp := conns[i].send(t, http.MethodGet, ids[i], ""); resp.StatusCode != 200 {
					t.Fatalf("GET: %s", resp.Status)
				}
			}
			harness.Eventually(t, "streams at the servers", func() bool {
				for _, s := range all[:n] {
					if s.streams.Load() < streams {
						return false
					}
				}
				return true
			})
			open := memoryInUse()
			figure(t, fmt.Sprintf("heap and stacks of a stream, %d servers, and of these", n), "%.1f kB", float64(open-idle)/streams/1000)
			if got, most := (open-idle)/streams, mostPerStream[n]; got > most {
				t.Errorf("a stream takes %d bytes, want at most %d", got, most)
			}
			for i := range conns {
				_ = conns[i].Close()
				if resp := opener.send(t, http.MethodDelete, ids[i], ""); resp.StatusCode != http.StatusNoContent {
					t.Fatalf("DELETE: %s", resp.Status)
				}
			}
			harness.Eventually(t, "end of all streams", func() bool {
				for _, s := range all[:n] {
					if s.streams.Load() > 1 || s.ended() < streams { // the broker's own stays
						return false
					}
				}
				return strings.Contains(p.ask(http.MethodGet, "/status", "").Body.String(), `"streams":0`)
			})
			left := memoryInUse() - empty
			figure(t, fmt.Sprintf("left of a session that has ended, %d servers", n), "%.2f kB", float64(left)/streams/1000)
			// Go keeps what describes a goroutine for the next one.
			if left > (open-empty)/3 {
				t.Errorf("%d bytes are left of each of %d sessions that have ended", left/streams, streams)
			}
		})
	}
}
