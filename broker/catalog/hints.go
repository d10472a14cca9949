package catalog

import (
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
)

// hintsOf returns what the annotations of a tool say of it (2025-11-25,
// server/tools, Tool Annotations). One that is there twice, or is neither true nor
// false, counts as not given.
func hintsOf(annotations []byte) gatewayconfig.Hints {
	var hints, seen, faulty gatewayconfig.Hints
	// It was read before: an error means no object.
	_ = jsonrpc.Members(annotations, func(k, v jsonrpc.Span) bool {
		key, _ := jsonrpc.Unquote(nil, k.Of(annotations))
		var bit gatewayconfig.Hints
		standard := "false"
		switch string(key) {
		case "readOnlyHint":
			bit = gatewayconfig.HintReadOnly
		case "idempotentHint":
			bit = gatewayconfig.HintIdempotent
		case "destructiveHint":
			bit, standard = gatewayconfig.HintNotDestructive, "true"
		case "openWorldHint":
			bit, standard = gatewayconfig.HintClosedWorld, "true"
		}
		value := string(v.Of(annotations))
		if seen&bit != 0 || value != "true" && value != "false" {
			faulty |= bit
		} else if value != standard {
			hints |= bit
		}
		seen |= bit
		return true
	})
	return hints &^ faulty
}
