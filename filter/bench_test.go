package filter

import (
	"fmt"
	"strings"
	"testing"
)

// warm returns a function that decides one warm tools/call with size bytes of
// arguments, as a host does it.
func warm(tb testing.TB, size int) func() {
	cfg := testConfig()
	cfg.BodyLimit = 4 << 20
	g, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	putTable(tb, g, testTable())
	justFetched(g)
	g.sessions.put([]byte("s1"), backend{place: "mcp-server-weather", id: []byte("b-weather"), version: "2025-11-25", expires: 30 * second})
	headers := postHeaders("content-length", "123", "user-agent", "x", "accept-encoding", "gzip")
	body := []byte(strings.Replace(call("weather_get_weather"), "1e400", `"`+strings.Repeat("x", size)+`"`, 1))
	s := new(Stream)
	return func() {
		s.Reset(g)
		s.RequestHeaders(headers, false, second)
		if d := s.RequestBody(body, second); d.Action != Pass || !d.Reroute {
			tb.Fatalf("not forwarded: %s", d.Body)
		}
	}
}

func TestWarmCallAllocatesNothing(t *testing.T) {
	for _, size := range []int{64, 16 << 10} {
		if n := testing.AllocsPerRun(1000, warm(t, size)); n != 0 {
			t.Errorf("%d bytes of arguments: %v allocations", size, n)
		}
	}
}

// warmStateless is warm for a client of a stateless revision. Its answer is looked
// into, for tasks, if tasks is set.
func warmStateless(tb testing.TB, name, header string, tasks bool) func() {
	g := erasGateway(tb)
	headers := postHeaders(statelessHeaders("tools/call", header, "content-length", "123", "accept-encoding", "gzip", "mcp-param-city", "x")...)
	body := []byte(stateless("tools/call", `"name":"`+name+`","arguments":{"x":"`+strings.Repeat("x", 64)+`"}`))
	if tasks {
		body = []byte(strings.Replace(string(body), `"io.modelcontextprotocol/clientCapabilities":{}`, tasksCapability, 1))
	}
	s := new(Stream)
	return func() {
		s.Reset(g)
		s.RequestHeaders(headers, false, second)
		if d := s.RequestBody(body, second); d.Action != Pass || s.phase != phaseServer {
			tb.Fatalf("not forwarded: %s", d.Body)
		}
	}
}

func TestWarmStatelessCallAllocatesNothing(t *testing.T) {
	for name, f := range map[string]func(){
		"plain":  warmStateless(t, "now_add", "now_add", false),
		"tasks":  warmStateless(t, "now_add", "now_add", true),
		"base64": warmStateless(t, "now_größe", "=?base64?bm93X2dyw7bDn2U=?=", false),
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkWarmStatelessCall(b *testing.B) {
	call := warmStateless(b, "now_add", "now_add", false)
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}

// streamed returns a function that treats one answer that comes as an event
// stream, as most servers give it.
func streamed(tb testing.TB, size int) func() {
	g, err := New(testConfig())
	if err != nil {
		tb.Fatal(err)
	}
	g.cfg.ResponseLimit, g.cfg.EventLimit = 4<<20, 4<<20
	putTable(tb, g, testTable())
	justFetched(g)
	g.sessions.put([]byte("s1"), backend{place: "mcp-server-weather", id: []byte("b-weather"), version: "2025-11-25", expires: 30 * second})
	request, body := postHeaders(), []byte(call("weather_get_weather"))
	headers := headersOf("200", "text/event-stream")
	event := []byte("event: message\nid: 7\ndata: {\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"" + strings.Repeat("x", size) + "\"}]},\"jsonrpc\":\"2.0\",\"id\":1}\n\n")
	mark := sealed("s1", "weather~")
	s := new(Stream)
	return func() {
		s.Reset(g)
		s.RequestHeaders(request, false, second)
		s.RequestBody(body, second)
		s.ResponseHeaders(headers, false)
		if d := s.ResponseBody(event, true); !d.Replace || !d.Done || len(d.Body) != len(event)+len(mark) {
			tb.Fatalf("%+v", d)
		}
	}
}

func TestStreamedAnswerAllocatesNothing(t *testing.T) {
	for _, size := range []int{64, 16 << 10} {
		if n := testing.AllocsPerRun(1000, streamed(t, size)); n != 0 {
			t.Errorf("%d bytes of text: %v allocations", size, n)
		}
	}
}

func BenchmarkStreamedAnswer(b *testing.B) {
	for _, size := range []int{64, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			call := streamed(b, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}

func BenchmarkWarmCall(b *testing.B) {
	for _, size := range []int{64, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			call := warm(b, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
