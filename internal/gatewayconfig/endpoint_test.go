package gatewayconfig

import (
	"strings"
	"testing"
)

func TestViewName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		base, path, name string
		ok               bool
	}{
		{"/mcp", "/mcp", "", true},
		{"/mcp", "/mcp/team", "team", true},
		{"/mcp", "/mcp/a.b-c_1", "a.b-c_1", true},
		{"/mcp", "/mcp/", "", false},
		{"/mcp", "/mcp/sse", "", false},
		{"/mcp", "/mcp/messages", "", false},
		{"/mcp", "/mcp/team/", "", false},
		{"/mcp", "/mcp/a/b", "", false},
		{"/mcp", "/mcp/..", "", false},
		{"/mcp", "/mcp/.a", "", false},
		{"/mcp", "/mcp/%61", "", false},
		{"/mcp", "/mcp/" + strings.Repeat("a", 63), strings.Repeat("a", 63), true},
		{"/mcp", "/mcp/" + strings.Repeat("a", 64), "", false},
		{"/mcp", "/mcpteam", "", false},
		{"/mcp", "/mc", "", false},
		{"/mcp", "/", "", false},
		{"/mcp", "", "", false},
		{"/", "/", "", true},
		{"/", "/team", "team", true},
		{"/", "//team", "", false},
		{"", "/mcp", "mcp", true}, // of a gateway that has no path, and so no such view
	} {
		name, ok := ViewName(test.base, []byte(test.path))
		if string(name) != test.name || ok != test.ok {
			t.Errorf("ViewName(%q, %q) = %q, %v", test.base, test.path, name, ok)
		}
	}
}

func TestTableNamesItsServers(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]Table{
		"tool":   {Servers: make([]TableServer, 1), Tools: map[string]Target{"a": {Server: 1}}},
		"prompt": {Servers: make([]TableServer, 1), Prompts: map[string]Target{"a": {Server: -1}}},
		"view":   {Servers: make([]TableServer, 1), Views: []TableView{{Name: "v", Servers: []int{0, 1}}}},
	} {
		if table.Validate() == nil {
			t.Errorf("%s: a server that is not there is valid", name)
		}
	}
	good := Table{Servers: make([]TableServer, 1), Views: []TableView{{Name: "v", Servers: []int{0}}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
