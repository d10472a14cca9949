package tag_test

import (
	"encoding/json"
	"testing"

	"mcp-gateway/internal/tag"
)

func TestToken(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`1`, `-1.0`, `9007199254740993`, `"a"`, `"a~b\"\\\u00e9"`, `""`} {
		token := tag.AppendToken(nil, "my.server-1", []byte(raw))
		if !json.Valid(token) {
			t.Errorf("%s: %s is no JSON", raw, token)
		}
		server, back, ok := tag.CutToken(token, nil)
		if string(server) != "my.server-1" || string(back) != raw || !ok {
			t.Errorf("CutToken(%s) = %q, %q, %v, want %s", token, server, back, ok, raw)
		}
	}
}

// What a client made up must not become part of a message to a server.
func TestForgedToken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{
		`1`, `null`, `"x"`, `"~1"`, `"a~"`, `"a~null"`, `"a~{}"`, `"a~1,\"method\":\"x\""`, `"a~ 1"`, `"a~1 "`, `"a~01"`, `"a~\"b"`, `"a~1}"`, `"a~tru"`,
	} {
		if server, raw, ok := tag.CutToken([]byte(token), nil); ok {
			t.Errorf("CutToken(%s) = %q, %q, want none", token, server, raw)
		}
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, server, id string
		merged, ok       bool
	}{
		{string(tag.AppendEvent(nil, "a", []byte("x~1"))), "a", "x~1", false, true},
		{string(tag.AppendMerged(nil, "a", []byte(""))), "a", "", true, true},
		{"", "", "", false, false},
		{"x", "", "", false, false},
		{"~", "", "", false, false},
		{"~~x", "", "", false, false},
	} {
		server, id, merged, ok := tag.CutEvent(tt.text)
		if server != tt.server || id != tt.id || merged != tt.merged || ok != tt.ok {
			t.Errorf("CutEvent(%q) = %q, %q, %v, %v", tt.text, server, id, merged, ok)
		}
	}
}
