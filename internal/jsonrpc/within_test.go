package jsonrpc_test

import (
	"strconv"
	"strings"
	"testing"

	"mcp-gateway/internal/jsonrpc"
)

func TestScanWithin(t *testing.T) {
	t.Parallel()
	nested := func(levels int) []byte { // the message and params are two
		n := levels - 2
		return []byte(`{"jsonrpc":"2.0","method":"m","params":{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}}")
	}
	batch := func(levels int) []byte { return []byte(strings.Repeat("[", levels) + strings.Repeat("]", levels)) }
	for _, depth := range []int{0, 4, 8, 127, 128, 1000} {
		most := depth
		if most == 0 || most > jsonrpc.MaxDepth {
			most = jsonrpc.MaxDepth
		}
		for _, text := range []func(int) []byte{nested, batch} {
			var m jsonrpc.Message
			if err := m.ScanWithin(text(most), depth); err != nil {
				t.Errorf("%d levels within %d: %v", most, depth, err)
			}
			err := m.ScanWithin(text(most+1), depth)
			if err == nil || !err.TooDeep || err.Code != -32600 || !strings.Contains(err.Reason, "more than "+strconv.Itoa(most)+" levels") {
				t.Errorf("%d levels within %d: %+v", most+1, depth, err)
			}
		}
	}
	var m jsonrpc.Message
	if err := m.ScanWithin([]byte(`{"x":`), 8); err == nil || err.TooDeep {
		t.Errorf("broken JSON: %+v", err)
	}
}
