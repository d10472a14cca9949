package modern_test

import (
	"testing"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

func TestDeclares(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"extensions":{"x":1,"io.modelcontextprotocol/tasks":{}}}`: true,
		`{"extensions":{"io.modelcontextprotocol\/tasks":{}}}`:      true,
		`{"extensions":{"io.modelcontextprotocol/task":{}}}`:        false,
		`{"io.modelcontextprotocol/tasks":{}}`:                      false,
		`{"extensions":"io.modelcontextprotocol/tasks"}`:            false,
		`{"extensions":[]}`: false,
		`{}`:                false,
		`null`:              false,
		``:                  false,
	} {
		if got := modern.Declares([]byte(text), mcp.ExtensionTasks); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
