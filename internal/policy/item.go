package policy

import (
	"cel.dev/cel-go/common/types"

	"mcp-gateway/internal/gatewayconfig"
)

// Item is what somebody wants to use, or may see in a list.
type Item struct {
	Kind Kind
	// Endpoint is the name of the virtual server; empty for the gateway's own.
	Endpoint []byte
	Server   string
	// Name is that of a tool or prompt, as exposed.
	Name []byte
	// URI is that of a resource, or its template, as clients know it; Own as its
	// server does.
	URI, Own []byte
	// Hints are a tool's.
	Hints gatewayconfig.Hints
}

// variable returns the value of a variable about the item.
func (it *Item) variable(name string) (any, bool) {
	switch name {
	case "server":
		return types.String(it.Server), true
	case "kind":
		return types.String(it.Kind.String()), true
	case "name":
		return types.String(it.Name), true
	case "uri":
		return types.String(it.URI), true
	case "endpoint":
		return types.String(it.Endpoint), true
	case "annotations.readOnlyHint":
		return types.Bool(it.Hints&gatewayconfig.HintReadOnly != 0), true
	case "annotations.destructiveHint":
		return types.Bool(it.Hints&gatewayconfig.HintNotDestructive == 0), true
	case "annotations.idempotentHint":
		return types.Bool(it.Hints&gatewayconfig.HintIdempotent != 0), true
	case "annotations.openWorldHint":
		return types.Bool(it.Hints&gatewayconfig.HintClosedWorld == 0), true
	}
	return nil, false
}
