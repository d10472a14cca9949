package scale

import (
	"bufio"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/filter"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/test/e2e/harness"
)

// table fetches the routing table as the filter does.
func (p *inProcess) table(t testing.TB) []byte {
	t.Helper()
	got := p.ask(http.MethodGet, gatewayconfig.PathTable, "")
	if got.Code != http.StatusOK {
		t.Fatalf("table: %d", got.Code)
	}
	return got.Body.Bytes()
}

// Many tools over many servers: what the first list takes, what a list costs, and
// how long one server's change takes to reach a client.
func TestManyTools(t *testing.T) {
	servers := size(t, "SERVERS", 200, 200)
	tools := size(t, "TOOLS", 10_000, 10_000) / servers
	var all []*server
	var configs []gatewayconfig.Server
	for i := range servers {
		s := serve(t, fmt.Sprintf("server%d", i), tools)
		all = append(all, s)
		configs = append(configs, s.config(true))
	}
	before := memoryInUse()
	began := time.Now()
	p := runBroker(t, configs, 1000)
	want := fmt.Sprintf(`"server%d_tool_%d"`, servers-1, tools-1)
	harness.Eventually(t, "all tools in the table", func() bool {
		body := p.table(t)
		return strings.Contains(string(body), want) && strings.Count(string(body), `_tool_`) == servers*tools
	})
	figure(t, fmt.Sprintf("%d tools, %d servers: first full list after start", servers*tools, servers), "%v", rounded(time.Since(began)))
	figure(t, "  memory of the broker with it", "%.1f MB", float64(memoryInUse()-before)/1e6)
	runtime.KeepAlive(all)

	body := p.table(t)
	figure(t, "  routing table", "%.2f MB", float64(len(body))/1e6)
	g, err := filter.New(gatewayconfig.Filter{Path: "/mcp", BodyLimit: 1 << 20, ResponseLimit: 1 << 20, InternalCluster: "x", AskTimeout: 1})
	if err != nil {
		t.Fatal(err)
	}
	before, began = memoryInUse(), time.Now()
	if err := g.TakeTable(200, body, 0); err != nil {
		t.Fatal(err)
	}
	figure(t, "  to take it in, in the filter", "%v", rounded(time.Since(began)))
	figure(t, "  memory of the filter with it", "%.2f MB", float64(memoryInUse()-before)/1e6)
	figure(t, "  to route a warm call, in the filter", "%v", measureRoute(t, g, servers, tools))
	runtime.KeepAlive(g)
	p.measureLists(t, servers*tools)
	p.measureChange(t, all[servers/2], tools)
}

// measureRoute returns what the filter takes to decide a warm call, of all tools in
// turn.
func measureRoute(t *testing.T, g *filter.Gateway, servers, tools int) time.Duration {
	t.Helper()
	headers := []filter.Header{
		{Name: ":method", Value: "POST"}, {Name: ":path", Value: "/mcp"}, {Name: ":authority", Value: "localhost"},
		{Name: "content-type", Value: "application/json"}, {Name: "accept", Value: "application/json, text/event-stream"},
		{Name: "mcp-session-id", Value: "a-session"}, {Name: "mcp-protocol-version", Value: "2025-11-25"},
	}
	bodies := make([][]byte, 0, servers*tools)
	s := new(filter.Stream)
	const now = int64(time.Hour)
	for server := range servers {
		for tool := range tools {
			bodies = append(bodies, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"server%d_tool_%d","arguments":{"text":"x"}}}`, server, tool))
		}
		s.Reset(g)
		s.RequestHeaders(headers, false, now)
		d := s.RequestBody(bodies[len(bodies)-1], now)
		if d.Action == filter.Ask && d.Question.Path == gatewayconfig.PathTable {
			d = s.Answer(http.StatusNotModified, nil, now) // the first call since the table came
		}
		if d.Action != filter.Ask {
			t.Fatalf("first call at server %d: %+v", server, d)
		}
		if d := s.Answer(200, []byte(`{"session":"x","version":"2025-11-25","ttlMs":3600000}`), now); d.Action != filter.Pass {
			t.Fatalf("server %d: %s", server, d.Body)
		}
	}
	began := time.Now()
	for _, body := range bodies {
		s.Reset(g)
		s.RequestHeaders(headers, false, now)
		if d := s.RequestBody(body, now); d.Action != filter.Pass {
			t.Fatalf("%s: %s", body, d.Body)
		}
	}
	return (time.Since(began) / time.Duration(len(bodies))).Round(10 * time.Nanosecond)
}

// measureLists reads the list of tools as a client does.
func (p *inProcess) measureLists(t *testing.T, want int) {
	t.Helper()
	c := p.dial()
	session := c.begin(t, "lists")
	var first, whole []time.Duration
	for range 20 {
		cursor, began, seen := "", time.Now(), 0
		for page := 0; page == 0 || cursor != ""; page++ {
			params := ""
			if cursor != "" {
				params = `,"params":{"cursor":"` + cursor + `"}`
			}
			body := c.post(t, session, `{"jsonrpc":"2.0","id":1,"method":"tools/list"`+params+`}`)
			if page == 0 {
				first = append(first, time.Since(began))
			}
			seen += strings.Count(body, `"inputSchema"`)
			_, cursor, _ = strings.Cut(body, `"nextCursor":"`)
			cursor, _, _ = strings.Cut(cursor, `"`)
		}
		whole = append(whole, time.Since(began))
		if seen != want {
			t.Fatalf("a list of %d tools, want %d", seen, want)
		}
	}
	figure(t, "  first page of 1000 tools, from the broker", "p50 %v  p99 %v", rounded(quantile(first, .5)), rounded(quantile(first, .99)))
	figure(t, "  all pages, one after the other", "p50 %v  p99 %v", rounded(quantile(whole, .5)), rounded(quantile(whole, .99)))
}

// measureChange has one server change its list, and waits at a client for the
// news, and at the table for what is in it.
func (p *inProcess) measureChange(t *testing.T, s *server, tools int) {
	t.Helper()
	c := p.dial()
	session := c.begin(t, "changes")
	stream := p.dial()
	resp := stream.send(t, http.MethodGet, session, "")
	events := bufio.NewScanner(resp.Body)
	var told, cost []time.Duration
	for round := range 5 {
		mark := fmt.Sprintf(" of round %d", round)
		used, began := cpuTime(t), time.Now()
		s.relist(toolsOf(tools, mark))
		for events.Scan() && !strings.Contains(events.Text(), "tools/list_changed") {
		}
		told = append(told, time.Since(began))
		cost = append(cost, cpuTime(t)-used)
		if body := c.post(t, session, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); !strings.Contains(body, `"result"`) {
			t.Fatalf("list after the change: %.200s", body)
		}
	}
	if err := events.Err(); err != nil {
		t.Fatal(err)
	}
	figure(t, "  one server's change until a client is told", "p50 %v  (0.15 s of it waits)", rounded(quantile(told, .5)))
	figure(t, "  CPU of it, in the broker and that server", "p50 %v", rounded(quantile(cost, .5)))
}

// cpuTime is what this process has used.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
