package jsonrpc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"mcp-gateway/internal/jsonrpc"
)

// The scanner takes eight bytes at a time: every byte has to be judged the same
// wherever it stands.
func TestStringByteAtEveryOffset(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for offset := range 18 {
			for _, tail := range []string{"", "z", "zzzzzzzzzzzzzzzzz"} {
				text := []byte(`"` + strings.Repeat("a", offset) + string([]byte{byte(c)}) + tail + `"`)
				want := json.Valid(text) && utf8.Valid(text)
				if got := jsonrpc.Valid(text) == nil; got != want {
					t.Errorf("Valid(%q) = %v, want %v", text, got, want)
				}
			}
		}
	}
}

// Every two byte sequence, and the limits of the longer ones, against the
// standard library.
func TestStringUTF8(t *testing.T) {
	t.Parallel()
	edges := []byte{0x00, 0x22, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE2, 0xF0, 0xFF}
	check := func(char ...byte) {
		text := append(append([]byte(`"`), char...), '"')
		want := json.Valid(text) && utf8.Valid(text)
		if got := jsonrpc.Valid(text) == nil; got != want {
			t.Errorf("Valid(%x) = %v, want %v", text, got, want)
		}
	}
	for a := 0x80; a < 256; a++ {
		for b := range 256 {
			check(byte(a), byte(b))
			for _, c := range edges {
				check(byte(a), byte(b), c)
				for _, d := range edges {
					check(byte(a), byte(b), c, d)
				}
			}
		}
	}
}

func TestUnquote(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		token, want string
		ok          bool
	}{
		{`""`, "", true},
		{`"get_weather"`, "get_weather", true},
		{`"tools\/call"`, "tools/call", true},
		{`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t", true},
		{`"Z\u00FCrich\u0000"`, "Zürich\x00", true},
		{`"a\ud83d\ude00b"`, "a😀b", true},
		{`"😀"`, "😀", true},
		{`"\ufffd"`, "\ufffd", true},
		{``, "", false},
		{`"`, "", false},
		{`a`, "", false},
		{`7`, "", false},
		{`null`, "", false},
		{`"a`, "", false},
		{`"a"b"`, "", false},
		{` "a"`, "", false},
		{`"a" `, "", false},
		{`"\"`, "", false},
		{`"\ud83d"`, "", false},
		{"\"\xff\"", "", false},
		{"\"\n\"", "", false},
	} {
		got, ok := jsonrpc.Unquote(nil, []byte(tt.token))
		if string(got) != tt.want || ok != tt.ok {
			t.Errorf("Unquote(%s) = %q, %v, want %q, %v", tt.token, got, ok, tt.want, tt.ok)
		}
	}
}

func TestUnquoteSharesOrUsesTheBuffer(t *testing.T) {
	t.Parallel()
	token := []byte(`"plain"`)
	if got, _ := jsonrpc.Unquote(make([]byte, 8), token); &got[0] != &token[1] {
		t.Error("a token without escapes was copied")
	} else if _ = append(got, 'X'); token[6] != '"' {
		t.Error("appending to the answer wrote over the token")
	}
	buf := append(make([]byte, 0, 16), "old"...)
	if got, _ := jsonrpc.Unquote(buf, []byte(`"a\/b"`)); string(got) != "a/b" || &got[0] != &buf[0] {
		t.Errorf("answer %q does not stand at the start of the buffer", got)
	}
}

func TestAppendQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                   `""`,
		"get_weather":        `"get_weather"`,
		"a\"b\\c/d":          `"a\"b\\c/d"`,
		"\n\r\t\b\f\x00\x1f": `"\n\r\t\u0008\u000c\u0000\u001f"`,
		"Zürich 😀\u2028\x7f": "\"Zürich 😀\u2028\x7f\"",
		"\xff\xe2\x82":       "\"\ufffd\ufffd\ufffd\"",
	} {
		if got := jsonrpc.AppendQuote([]byte("x"), []byte(in)); string(got) != "x"+want {
			t.Errorf("AppendQuote(%q) = %s, want x%s", in, got, want)
		}
	}
}

func TestReplaceSpan(t *testing.T) {
	t.Parallel()
	body := []byte(`{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{"arguments":{"n":1e400} ,"name" : "w\u005fx"}}`)
	var m jsonrpc.Message
	if err := m.Scan(body); err != nil {
		t.Fatal(err)
	}
	got := jsonrpc.ReplaceSpan([]byte("_"), body, m.Name, []byte(`"x"`))
	want := `_{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{"arguments":{"n":1e400} ,"name" : "x"}}`
	if string(got) != want {
		t.Errorf("ReplaceSpan = %s, want %s", got, want)
	}
}

func TestAppendError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		id, message, data, want string
	}{
		{"", "no \"such\"\n", "", `{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"no \"such\"\n"}}`},
		{"1.0", "m", `{"uri":"u"}`, `{"jsonrpc":"2.0","id":1.0,"error":{"code":-32602,"message":"m","data":{"uri":"u"}}}`},
		{`"\u0061"`, "", "", `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32602,"message":""}}`},
	} {
		got := jsonrpc.AppendError(nil, []byte(tt.id), -32602, tt.message, []byte(tt.data))
		if string(got) != tt.want {
			t.Errorf("AppendError = %s, want %s", got, tt.want)
		}
		var m jsonrpc.Message
		if err := m.Scan(got); err != nil || m.Kind != jsonrpc.Response {
			t.Errorf("%s is no response: %v", got, err)
		}
	}
}

func ExampleMessage_Scan() {
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_get","arguments":{}}}`)
	var m jsonrpc.Message
	if err := m.Scan(body); err != nil {
		fmt.Println(err.Code, err)
		return
	}
	fmt.Printf("%s\n", jsonrpc.ReplaceSpan(nil, body, m.Name, []byte(`"get"`)))
	// Output: {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get","arguments":{}}}
}
