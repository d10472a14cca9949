package mcpparam

import (
	"fmt"
	"strconv"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// Check returns an error if the Mcp-Param-* headers that the schema asks for do
// not say what the raw arguments say, or if one is missing: who reads the
// arguments must refuse such a call (2026-07-28,
// basic/transports/streamable-http, Server Validation). Other headers, and an
// invalid schema, mean nothing.
func Check(inputSchema, arguments []byte, sent func(name string) []string) error {
	params, err := read(inputSchema)
	if err != nil {
		return nil
	}
	for _, p := range params {
		name := mcp.HeaderParamPrefix + p.header
		want, due := text(find(arguments, p.path), p.integer)
		got := sent(name)
		if !due && len(got) == 0 {
			continue
		}
		if !due || len(got) != 1 {
			return fmt.Errorf("header %s does not stand for one argument", name)
		}
		value, ok := modern.DecodeHeader(nil, []byte(got[0]))
		if !ok || string(value) != string(want) && !(p.integer && sameNumber(value, want)) {
			return fmt.Errorf("header %s has another value than the argument", name)
		}
	}
	return nil
}

func sameNumber(a, b []byte) bool {
	x, err := strconv.ParseFloat(string(a), 64)
	if err != nil {
		return false
	}
	y, err := strconv.ParseFloat(string(b), 64)
	return err == nil && x == y
}
