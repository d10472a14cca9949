package mcpserver

import (
	"fmt"
	"strings"
)

// Tools is a server with these tools, which take whatever they are called with.
func Tools(name string, names ...string) Script {
	items := make([]string, len(names))
	for i, n := range names {
		items[i] = fmt.Sprintf(`{"name":%q,"inputSchema":{"type":"object"}}`, n)
	}
	return Script{Name: name, Pages: map[string][]string{ToolsList: {strings.Join(items, ",")}}}
}
