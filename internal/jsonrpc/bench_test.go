package jsonrpc_test

import (
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/internal/jsonrpc"
)

// call returns a tools/call whose arguments hold about size bytes of rows, as a
// table that a model passes on.
func call(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":4711,"method":"tools/call","params":{"name":"weather_get_weather","arguments":{"rows":[`)
	for i, end := 0, b.Len()+size; b.Len() < end; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"city":"Z\u00fcrich","note":"line\none","temp":%d.5e-1,"ok":true,"tags":["a","bc"],"next":null}`, i, i%400)
	}
	b.WriteString(`]},"_meta":{"progressToken":"p-1"}}}`)
	return []byte(b.String())
}

// callText returns a tools/call with one argument, a string of size bytes.
func callText(unit string, size int) []byte {
	return []byte(`{"jsonrpc":"2.0","id":4711,"method":"tools/call","params":{"name":"files_write","arguments":{"text":"` +
		strings.Repeat(unit, max(1, size/len(unit))) + `"}}}`)
}

func BenchmarkScan(b *testing.B) {
	bodies := []struct {
		name string
		body []byte
	}{
		{"arguments=64B", call(64)},
		{"arguments=1KB", call(1 << 10)},
		{"arguments=16KB", call(16 << 10)},
		{"arguments=100KB", call(100 << 10)},
		{"arguments=1MB", call(1 << 20)},
		{"ascii=1MB", callText("the quick brown fox ", 1<<20)},
		{"escaped=1MB", callText(`{\"key\": \"value\"}\n`, 1<<20)},
		{"log=16KB", callText(`12:00:07 INFO \"worker 7\" caf\u00e9 naïve: 42 rows, ok\n`, 16<<10)},
		{"chinese=1MB", callText("多云转晴", 1<<20)},
		{"keys=1MB", []byte(`{"jsonrpc":"2.0","method":"x",` + longKeys(62, 1<<20) + "}")},
		{"spaces=1MB", []byte(`{"jsonrpc":"2.0","method":"x","params":{"a":[` + strings.Repeat("\n        1,", 1<<20/11) + "\n2]}}")},
	}
	for _, bb := range bodies {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.body)))
			var m jsonrpc.Message
			for b.Loop() {
				if err := m.Scan(bb.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// longKeys returns n members whose escaped keys differ at the end only, about
// size bytes together: the worst case of looking for duplicates.
func longKeys(n, size int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = `"` + strings.Repeat(`\u0061`, size/n/6) + fmt.Sprint(i) + `":0`
	}
	return strings.Join(members, ",")
}
