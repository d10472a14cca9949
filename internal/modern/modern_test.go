package modern_test

import (
	"testing"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

const (
	version = "2026-07-28"
	meta    = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
)

func call(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `}}`
}

// level is meta with a log level.
func level(raw string) string {
	return meta[:len(meta)-1] + `,"io.modelcontextprotocol/logLevel":` + raw + `}`
}

func TestCheck(t *testing.T) {
	t.Parallel()
	type headers struct{ version, method, name string }
	for _, tt := range []struct {
		name    string
		body    string
		headers headers
		want    int // code; 0 for none
	}{
		{"good", call("tools/call", `"name":"a",`+meta), headers{version, "tools/call", "a"}, 0},
		{"no name needed", call("tools/list", meta), headers{version, "tools/list", ""}, 0},
		{"base64", call("tools/call", `"name":"ä",`+meta), headers{version, "tools/call", "=?base64?w6Q=?="}, 0},
		{"bad base64", call("tools/call", `"name":"ä",`+meta), headers{version, "tools/call", "=?base64?w6Q?="}, mcp.CodeHeaderMismatch},
		{"not encoded", call("tools/call", `"name":"ä",`+meta), headers{version, "tools/call", "ä"}, mcp.CodeHeaderMismatch},
		{"not encoded in Latin-1", call("tools/call", `"name":"ä",`+meta), headers{version, "tools/call", "\xe4"}, mcp.CodeHeaderMismatch},
		{"control character", call("tools/call", `"name":"a\u007f",`+meta), headers{version, "tools/call", "a\x7f"}, mcp.CodeHeaderMismatch},
		{"tab", call("tools/call", `"name":"a\tb",`+meta), headers{version, "tools/call", "a\tb"}, 0},
		{"escaped", call("tools/call", `"name":"\u0061",`+meta), headers{version, "tools/call", "a"}, 0},
		{"uri", call("resources/read", `"uri":"a://b",`+meta), headers{version, "resources/read", "a://b"}, 0},
		{"task", call("tasks/get", `"taskId":"t",`+meta), headers{version, "tasks/get", "t"}, 0},
		{"name is no string", call("tools/call", `"name":1,`+meta), headers{version, "tools/call", "1"}, 0},
		{"other name", call("tools/call", `"name":"a",`+meta), headers{version, "tools/call", "b"}, mcp.CodeHeaderMismatch},
		{"other case", call("tools/call", `"name":"a",`+meta), headers{version, "tools/call", "A"}, mcp.CodeHeaderMismatch},
		{"no name", call("tools/call", `"name":"a",`+meta), headers{version, "tools/call", ""}, mcp.CodeHeaderMismatch},
		{"no method", call("tools/list", meta), headers{version, "", ""}, mcp.CodeHeaderMismatch},
		{"other method", call("tools/list", meta), headers{version, "prompts/list", ""}, mcp.CodeHeaderMismatch},
		{"no version header", call("tools/list", meta), headers{"", "tools/list", ""}, mcp.CodeHeaderMismatch},
		{"no meta", call("tools/list", ``), headers{version, "tools/list", ""}, mcp.CodeInvalidParams},
		{"no capabilities", call("tools/list", `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`), headers{version, "tools/list", ""}, mcp.CodeInvalidParams},
		{"info is no object", call("tools/list", meta[:len(meta)-1]+`,"io.modelcontextprotocol/clientInfo":1}`), headers{version, "tools/list", ""}, mcp.CodeInvalidParams},
		{"level", call("tools/list", level(`"d\u0065bug"`)), headers{version, "tools/list", ""}, 0},
		{"no level", call("tools/list", level(`null`)), headers{version, "tools/list", ""}, 0},
		{"unknown level", call("tools/list", level(`"loud"`)), headers{version, "tools/list", ""}, mcp.CodeInvalidParams},
		{"empty level", call("tools/list", level(`""`)), headers{version, "tools/list", ""}, mcp.CodeInvalidParams},
		{"level is no string", call("tools/list", level(`5`)), headers{version, "tools/list", ""}, mcp.CodeInvalidParams},
		{"unknown version", call("tools/list", `"_meta":{"io.modelcontextprotocol/protocolVersion":"2027-01-01","io.modelcontextprotocol/clientCapabilities":{}}`), headers{"2027-01-01", "tools/list", ""}, mcp.CodeUnsupportedVersion},
	} {
		var m jsonrpc.Message
		if err := m.Scan([]byte(tt.body)); err != nil {
			t.Fatal(err)
		}
		got := modern.Check(&m, []byte(tt.body), of(tt.headers.version, tt.headers.method, tt.headers.name))
		if code := codeOf(got); code != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, code, tt.want)
		}
	}
}

func TestGoodRequestAllocatesNothing(t *testing.T) {
	for name, header := range map[string]string{"get_weather": "get_weather", "wetterä": "=?base64?d2V0dGVyw6Q=?="} {
		body := []byte(call("tools/call", `"name":"`+name+`",`+level(`"warning"`)))
		h := of(version, "tools/call", header)
		var m jsonrpc.Message
		if err := m.Scan(body); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if r := modern.Check(&m, body, h); r != nil {
				t.Errorf("%s: %s", name, r.Message)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func of(version, method, name string) (h modern.Headers) {
	set := func(to *[]byte, value string) {
		if value != "" {
			*to = []byte(value)
		}
	}
	set(&h.Version, version)
	set(&h.Method, method)
	set(&h.Name, name)
	return h
}

func codeOf(r *modern.Refusal) int {
	if r == nil {
		return 0
	}
	return r.Code
}

func TestRepeatedHeaderIsRefused(t *testing.T) {
	t.Parallel()
	body := []byte(call("tools/list", meta))
	var m jsonrpc.Message
	if err := m.Scan(body); err != nil {
		t.Fatal(err)
	}
	h := of(version, "tools/list", "")
	h.Repeated = true
	if got := codeOf(modern.Check(&m, body, h)); got != mcp.CodeHeaderMismatch {
		t.Errorf("%d", got)
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body, version, method string
		want                  bool
	}{
		{call("tools/list", meta), "", "", true},
		{call("tools/list", ""), version, "", true},
		{call("tools/list", ""), "", "tools/list", true},
		{call("tools/list", ""), "2025-11-25", "tools/list", false},
		{call("initialize", ""), "", "", false},
		{call("tools/list", ""), "2025-06-18", "", false},
	} {
		var m jsonrpc.Message
		if err := m.Scan([]byte(tt.body)); err != nil {
			t.Fatal(err)
		}
		if got := modern.Is(&m, of(tt.version, tt.method, "")); got != tt.want {
			t.Errorf("%s, %q, %q: %v", tt.body, tt.version, tt.method, got)
		}
	}
}

func TestHeaderValuesReturn(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "a", " a", "a b", "ä", "a\n", "=?base64?YQ==?=", "=?base64?", "\x7f"} {
		encoded := modern.AppendHeader(nil, []byte(value))
		for _, c := range encoded {
			if c < ' ' || c > '~' {
				t.Errorf("%q becomes %q", value, encoded)
			}
		}
		if got, ok := modern.DecodeHeader(nil, encoded); !ok || string(got) != value {
			t.Errorf("%q returns as %q", value, got)
		}
	}
}
