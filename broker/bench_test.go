package broker

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
	"mcp-gateway/internal/gatewayconfig"
)

// discard is a ResponseWriter that costs nothing and counts bytes.
type discard struct {
	header http.Header
	bytes  int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.bytes += len(b); return len(b), nil }

// thousand returns a handler with a list of 1000 tools of about 430 bytes, and a
// session to ask for it in.
func thousand(t testing.TB) (handler http.Handler, id session.ID, size int) {
	t.Helper()
	store, err := memory.New(memory.Options{Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	b := New(zap.NewNop(), store, Options{})
	var lists catalog.Lists
	for i := range 1000 {
		lists.Tools = append(lists.Tools, fmt.Appendf(nil, `{"name":"tool_%d","description":%q,"inputSchema":{"type":"object","properties":{"city":{"type":"string","description":%q}},"required":["city"]}}`,
			i, strings.Repeat("what it does ", 10), strings.Repeat("what it is ", 10)))
	}
	v := *b.view.Load()
	v.configured = true
	v.config.Path = "/mcp"
	v.catalog = catalog.Merge([]catalog.Server{{
		Route: gatewayconfig.TableServer{Name: "s"}, Items: catalog.Prepare(lists, gatewayconfig.Server{Prefix: "s_"}, catalog.Limits{Name: 64}),
	}}, catalog.Options{NameLimit: 64, PageSize: 1000})
	b.view.Store(&v)
	b.markReady()
	s := session.Session{ID: session.NewID(), Version: "2025-11-25"}
	if err := store.Create(t.Context(), s, session.Caps{}); err != nil {
		t.Fatal(err)
	}
	return b.Public(), s.ID, len(v.catalog.View("").First(catalog.Tools))
}

func listRequest(id session.ID) *http.Request {
	r := httptest.NewRequest("POST", "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Mcp-Session-Id", string(id))
	return r
}

func statelessListRequest(session.ID) *http.Request {
	r := httptest.NewRequest("POST", "/mcp", strings.NewReader(stateless("1", "tools/list", "")))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
	r.Header.Set("Mcp-Method", "tools/list")
	return r
}

// The list is written from where it lies: what one answer allocates does not
// depend on its size.
func TestListOf1000ToolsIsNotCopied(t *testing.T) {
	handler, id, size := thousand(t)
	const rounds = 100
	for name, request := range map[string]func(session.ID) *http.Request{"legacy": listRequest, "modern": statelessListRequest} {
		requests := make([]*http.Request, rounds)
		for i := range requests {
			requests[i] = request(id)
		}
		w := &discard{header: http.Header{}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, r := range requests {
			handler.ServeHTTP(w, r)
		}
		runtime.ReadMemStats(&after)
		if w.bytes < rounds*size || size < 300<<10 {
			t.Errorf("%s: %d bytes written for %d lists of %d", name, w.bytes, rounds, size)
		}
		if n := (after.TotalAlloc - before.TotalAlloc) / rounds; n > 16<<10 {
			t.Errorf("%s: %d bytes allocated for a list of %d", name, n, size)
		}
	}
}

func BenchmarkToolsList1000Handler(b *testing.B) {
	for name, request := range map[string]func(session.ID) *http.Request{"legacy": listRequest, "modern": statelessListRequest} {
		b.Run(name, func(b *testing.B) {
			handler, id, size := thousand(b)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(&discard{header: http.Header{}}, request(id))
			}
		})
	}
}

// Over a socket: the client's share of the time is in it too.
func BenchmarkToolsList1000Socket(b *testing.B) {
	handler, id, size := thousand(b)
	web := httptest.NewServer(handler)
	defer web.Close()
	buffer := make([]byte, 64<<10)
	b.SetBytes(int64(size))
	for b.Loop() {
		r := listRequest(id)
		r.URL, r.RequestURI = nil, ""
		request, err := http.NewRequest("POST", web.URL, r.Body)
		if err != nil {
			b.Fatal(err)
		}
		request.Header = r.Header
		resp, err := web.Client().Do(request)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(buffer)
		}
		_ = resp.Body.Close()
	}
}

func BenchmarkMerge50ServersOf100Tools(b *testing.B) {
	var servers []catalog.Server
	for s := range 50 {
		var lists catalog.Lists
		for i := range 100 {
			lists.Tools = append(lists.Tools, fmt.Appendf(nil, `{"name":"tool_%d","description":%q}`, i, strings.Repeat("x", 400)))
		}
		servers = append(servers, catalog.Server{Items: catalog.Prepare(lists, gatewayconfig.Server{Prefix: fmt.Sprintf("s%d_", s)}, catalog.Limits{Name: 64})})
	}
	b.ReportAllocs()
	for b.Loop() {
		catalog.Merge(servers, catalog.Options{NameLimit: 64, PageSize: 1000})
	}
}
