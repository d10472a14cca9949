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
