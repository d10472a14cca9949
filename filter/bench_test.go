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
	g.fetched.Store(second)
	g.sessions.put([]byte("s1"), backend{server: "weather", id: []byte("b-weather"), version: "2025-11-25", expires: 30 * second})
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

// streamed returns a function that treats one answer that comes as an event
// stream, as most servers give it.
func streamed(tb testing.TB, size int) func() {
	g, err := New(testConfig())
	if err != nil {
		tb.Fatal(err)
	}
	g.cfg.ResponseLimit = 4 << 20
	putTable(tb, g, testTable())
	g.fetched.Store(second)
	g.sessions.put([]byte("s1"), backend{server: "weather", id: []byte("b-weather"), version: "2025-11-25", expires: 30 * second})
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
