package jsonrpc_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"mcp-gateway/internal/jsonrpc"
)

// addMessages seeds f with every message of the tables.
func addMessages(f *testing.F) {
	for _, tt := range accepted {
		f.Add([]byte(tt.body))
	}
	for _, tt := range refused {
		if len(tt.body) < 4096 {
			f.Add([]byte(tt.body))
		}
	}
}

func FuzzScan(f *testing.F) {
	addMessages(f)
	f.Fuzz(checkScan)
}

// pieces are what messages are made of. Each byte of FuzzScanPieces chooses
// one, so that the fuzzer need not find quotes and names by itself.
var pieces = []string{
	`{`, `}`, `[`, `]`, `:`, `,`, ` `, "\n",
	`"jsonrpc":"2.0"`, `"id":`, `"method":"m"`, `"params":{`, `"result":`, `"error":`,
	`"name":`, `"uri":`, `"cursor":`, `"ref":{`, `"_meta":{`, `"protocolVersion":`, `"arguments":{`, `"type":`,
	`"io.modelcontextprotocol/protocolVersion":`, `"progressToken":`, `"requestId":`, `"requestid":`,
	`"ID":`, `"Method":`, `"PARAMS":{`, `"param` + "\u017f" + `":{`, `"Name":`, `"\u006eame":`, `"progressTo` + "\u212a" + `en":`,
	`"progressto\u212Aen":`, `"i\u0064":`, `"_Meta":{`, `"REF":{`, `"x":`, `"\u0078":`, `"y\/":`, `"y/":`, `"":`,
	`1`, `-0.5e+3`, `1e400`, `9007199254740993`, `null`, `true`, `false`, `"a"`, `"a\/\"b\\"`, `"\ud83d\ude00"`, `"\ud83d"`,
	"\"\u00e9\u4e91\U0001F600\"", "\"\xff\"", `"`, `\`, `01`, `{}`, `[]`, `"2.0"`, `{"a":[`, `]}`,
	`{"jsonrpc":"2.0","id":1,"method":"m","params":{`, `},"id":1,"method":"m","jsonrpc":"2.0"}`, `"k":0,`,
	`"taskId":`, `"taskid":`, `"io.modelcontextprotocol\/protocolVersion":`, `"io.modelcontextprotocol/clientCapabilities":`,
	`"io.modelcontextprotocol\/clientCapabilities":`, `"io.modelcontextprotocol/clientinfo":`, `"io.modelcontextprotocol\/logLevel":`, `"io.modelcontextprotocol\/loglevel":`,
}

func FuzzScanPieces(f *testing.F) {
	f.Add([]byte{61, 14, 47, 1, 1})
	f.Add([]byte{0, 8, 5, 11, 14, 47, 5, 18, 23, 40, 1, 62})
	f.Add(bytes.Repeat([]byte{59}, 70))
	f.Fuzz(func(t *testing.T, choice []byte) {
		if len(choice) > 400 {
			return
		}
		var body []byte
		for _, c := range choice {
			body = append(body, pieces[int(c)%len(pieces)]...)
		}
		checkScan(t, body)
	})
}

// A fixed walk through the same pieces in plain test runs: messages that are
// whole except for a few pieces changed.
func TestScanAgainstReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		body := []byte(accepted[random.IntN(len(accepted))].body)
		for range random.IntN(3) {
			at, piece := random.IntN(len(body)+1), pieces[random.IntN(len(pieces))]
			end := at
			if random.IntN(2) == 0 {
				end = min(len(body), at+random.IntN(8))
			}
			body = slices.Replace(body, at, end, []byte(piece)...)
		}
		checkScan(t, body)
	}
}

// FuzzSplice replaces the name: nothing else may change, and the result must be
// the same message with the new name.
func FuzzSplice(f *testing.F) {
	for _, tt := range accepted {
		f.Add([]byte(tt.body), "get_weather")
	}
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a\u0062","x":"name"}}`), "\"\\\n\u2028\xff")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		var m jsonrpc.Message
		if m.Scan(body) != nil || !m.NameIsString {
			return
		}
		token := jsonrpc.AppendQuote(nil, []byte(name))
		out := jsonrpc.ReplaceSpan(nil, body, m.Name, token)
		var again jsonrpc.Message
		if err := again.Scan(out); err != nil {
			t.Fatalf("result is refused: %v\n%s", err, out)
		}
		if got, want := out[:again.Name.Start], body[:m.Name.Start]; !bytes.Equal(got, want) {
			t.Errorf("bytes before the name changed: %q, want %q", got, want)
		}
		if got, want := out[again.Name.End:], body[m.Name.End:]; !bytes.Equal(got, want) {
			t.Errorf("bytes behind the name changed: %q, want %q", got, want)
		}
		want := partsOf(&m, string(body))
		want.Name = string(token)
		want.Params = string(body[m.Params.Start:m.Name.Start]) + want.Name + string(body[m.Name.End:m.Params.End])
		if got := partsOf(&again, string(out)); got != want {
			t.Errorf("message differs\n got %+v\nwant %+v", got, want)
		}
		// Converting to runes and back makes each stray byte U+FFFD.
		if got, ok := jsonrpc.Unquote(nil, again.Name.Of(out)); !ok || string(got) != string([]rune(name)) {
			t.Errorf("name = %q, %v, want %q", got, ok, name)
		}
	})
}

// FuzzUnquote takes text as characters to quote and as a token to unquote.
func FuzzUnquote(f *testing.F) {
	for _, s := range []string{"", "a", `"a"`, `"\u00e9\n"`, `"\ud83d\ude00"`, `"\ud83d"`, "\x00\x1f\"\\/", "é云😀", "\xff\xed\xa0\x80", `"a" `, "7"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		quoted := jsonrpc.AppendQuote(nil, text)
		plain := string([]rune(string(text)))
		if got, ok := jsonrpc.Unquote(nil, quoted); !ok || string(got) != plain {
			t.Errorf("Unquote(AppendQuote(%q)) = %q, %v", text, got, ok)
		}
		var standard string
		if err := json.Unmarshal(quoted, &standard); err != nil || standard != plain {
			t.Errorf("encoding/json reads %s as %q, %v", quoted, standard, err)
		}
		buf := make([]byte, 3, 20)
		got, ok := jsonrpc.Unquote(buf, text)
		want, err := jsontext.AppendUnquote(nil, text)
		if ok != (err == nil) || ok && !bytes.Equal(got, want) {
			t.Errorf("Unquote(%q) = %q, %v, jsontext: %q, %v", text, got, ok, want, err)
		}
		if ok && !utf8.Valid(got) {
			t.Errorf("Unquote(%q) = %q is not UTF-8", text, got)
		}
	})
}

// FuzzWalk compares Members and Elements with the reference.
func FuzzWalk(f *testing.F) {
	addMessages(f)
	f.Add([]byte(`[1, {"a":[]} ,"\u0041",null]`))
	f.Add([]byte(`{"tools":[{"name":"a"},{"name":"a","name":"b"}],"nextCursor":"c"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := jsonrpc.Valid(text) == nil
		trimmed := strings.Trim(string(text), " \t\r\n")
		pairs, err := members(text)
		if (err == nil) != (valid && trimmed[0] == '{') {
			t.Fatalf("Members: %v, valid: %v", err, valid)
		}
		if err == nil {
			var want []string
			for _, m := range refMembers(t, trimmed) {
				want = append(want, m.raw, m.value)
			}
			if !slices.Equal(pairs, want) {
				t.Fatalf("Members = %q, want %q", pairs, want)
			}
		}
		values, err := elements(text)
		if (err == nil) != (valid && trimmed[0] == '[') {
			t.Fatalf("Elements: %v, valid: %v", err, valid)
		}
		if err == nil && !slices.Equal(values, refElements(t, []byte(trimmed))) {
			t.Fatalf("Elements = %q, want %q", values, refElements(t, []byte(trimmed)))
		}
	})
}
