package mcpparam

import (
	"bytes"
	"fmt"
	"math"
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

// sameNumber reports whether two decimals are one number, and one that all
// parsers read alike: whoever decides by the header must not see another one.
func sameNumber(a, b []byte) bool {
	x, okX := decimal(a)
	y, okY := decimal(b)
	return okX && okY && x == y && math.Abs(x) <= largestSafe
}

func decimal(text []byte) (float64, bool) {
	if len(text) == 0 || len(bytes.Trim(text, "-+.0123456789eE")) > 0 || text[0] == '+' {
		return 0, false
	}
	x, err := strconv.ParseFloat(string(text), 64)
	return x, err == nil
}
