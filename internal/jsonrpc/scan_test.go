package jsonrpc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// accepted are messages and what Scan reports for them.
var accepted = []struct {
	name, body string
	want       parts
}{
	{
		"Call",
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"name":"b","name":"c","Name":1}}}`,
		parts{Kind: "request", ID: "1", Method: `"tools/call"`,
			Params: `{"name":"a","arguments":{"name":"b","name":"c","Name":1}}`, Name: `"a"`, NameIsString: true, Arguments: `{"name":"b","name":"c","Name":1}`},
	},
	{
		"MembersInAnyOrderAndSpaced",
		" \t\r\n{ \"params\" : { \"_meta\" : { \"progressToken\" : \"p\" } , \"arguments\" : [ ] , \"name\" : \"a\" } ,\n" +
			"\"method\" : \"m\" , \"id\" : \"1\" , \"jsonrpc\" : \"2.0\" } \n",
		parts{Kind: "request", ID: `"1"`, Method: `"m"`,
			Params: `{ "_meta" : { "progressToken" : "p" } , "arguments" : [ ] , "name" : "a" }`, Arguments: "[ ]",
			Name: `"a"`, NameIsString: true, ProgressToken: `"p"`},
	},
	{
		"EveryMemberOfParams",
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"uri":"u","cursor":"c","protocolVersion":"v","progressToken":"x~1","requestId":5,"ref":{"type":"t","name":"n","uri":"w"},` +
			`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":7,"progresstokens":8}}}`,
		parts{Kind: "request", ID: "1", Method: `"m"`,
			Params: `{"uri":"u","cursor":"c","protocolVersion":"v","progressToken":"x~1","requestId":5,"ref":{"type":"t","name":"n","uri":"w"},` +
				`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":7,"progresstokens":8}}`,
			URI: `"u"`, URIIsString: true, Cursor: `"c"`, ProtocolVersion: `"v"`, RefType: `"t"`, RefName: `"n"`, RefURI: `"w"`,
			MetaVersion: `"2026-07-28"`, ProgressToken: "7", Progress: `"x~1"`, Cancelled: "5"},
	},
	{
		"EscapedSlashes", // as PHP writes them
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"taskId":"t","_meta":{"io.modelcontextprotocol\/protocolVersion":"v","io.modelcontextprotocol\/clientCapabilities":{},` +
			`"io.modelcontextprotocol\/clientInfo":{"a":1},"io.modelcontextprotocol\/logLevel":"l"}}}`,
		parts{Kind: "request", ID: "1", Method: `"m"`, MetaVersion: `"v"`, Capabilities: "{}", Info: `{"a":1}`, LogLevel: `"l"`, TaskID: `"t"`,
			Params: `{"taskId":"t","_meta":{"io.modelcontextprotocol\/protocolVersion":"v","io.modelcontextprotocol\/clientCapabilities":{},` +
				`"io.modelcontextprotocol\/clientInfo":{"a":1},"io.modelcontextprotocol\/logLevel":"l"}}`},
	},
	{
		"MembersOfAnotherType",
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":7,"uri":{"a":[1]},"cursor":null,"_meta":[{"progressToken":1}],"ref":"r"}}`,
		parts{Kind: "request", ID: "1", Method: `"m"`,
			Params: `{"name":7,"uri":{"a":[1]},"cursor":null,"_meta":[{"progressToken":1}],"ref":"r"}`,
			Name:   "7", URI: `{"a":[1]}`, Cursor: "null"},
	},
	{
		"ParamsArray",
		`{"jsonrpc":"2.0","id":1,"method":"m","params":[{"name":"a","name":"b"}]}`,
		parts{Kind: "request", ID: "1", Method: `"m"`, Params: `[{"name":"a","name":"b"}]`},
	},
	{
		"ParamsNullIsAbsent",
		`{"jsonrpc":"2.0","id":1,"method":"m","params":null}`,
		parts{Kind: "request", ID: "1", Method: `"m"`},
	},
	{
		"EmptyParams",
		`{"jsonrpc":"2.0","method":"m","params":{ }}`,
		parts{Kind: "notification", Method: `"m"`, Params: "{ }"},
	},
	{
		"ReservedNamesOfOtherLevels",
		`{"jsonrpc":"2.0","method":"m","name":1,"uri":2,"params":{"id":1,"Method":2,"error":3,"ref":{"id":4}}}`,
		parts{Kind: "notification", Method: `"m"`, Params: `{"id":1,"Method":2,"error":3,"ref":{"id":4}}`},
	},
	{
		"UnknownKeysWithEscapes",
		`{"jsonrpc":"2.0","method":"m","a\/b":1,"a\\b":2,"\u00e9":3,"\ud83d\ude00":4,"":5}`,
		parts{Kind: "notification", Method: `"m"`},
	},
	{
		"EscapedMethod",
		`{"jsonrpc":"2.0","id":1,"method":"tools\/call"}`,
		parts{Kind: "request", ID: "1", Method: `"tools\/call"`},
	},
	{
		"ResultToServer",
		`{"jsonrpc":"2.0","id":"a","result":{}}`,
		parts{Kind: "response", ID: `"a"`, Result: "{}"},
	},
	{
		"ErrorToServer",
		`{"jsonrpc":"2.0","id":-1.5E+3,"error":{"code":-1}}`,
		parts{Kind: "response", ID: "-1.5E+3", ErrorOf: `{"code":-1}`},
	},
	{
		"ErrorOfUnknownRequest",
		`{"jsonrpc":"2.0","id":null,"error":{}}`,
		parts{Kind: "response", ID: "null", ErrorOf: "{}"},
	},
	{"Batch", ` [{"jsonrpc":"2.0","method":"m"},1] `, parts{Kind: "batch"}},
	{"EmptyBatch", `[]`, parts{Kind: "batch"}},
	{
		"LargeNumbers",
		`{"jsonrpc":"2.0","id":9007199254740993,"method":"m","params":{"arguments":[1.0,1e400,-0,0.0e-0,123456789012345678901234567890]}}`,
		parts{Kind: "request", ID: "9007199254740993", Method: `"m"`,
			Params: `{"arguments":[1.0,1e400,-0,0.0e-0,123456789012345678901234567890]}`, Arguments: `[1.0,1e400,-0,0.0e-0,123456789012345678901234567890]`},
	},
	{
		"SixtyFourKeys",
		withKeys(62),
		parts{Kind: "notification", Method: `"m"`},
	},
	{
		"Depth128",
		nested(127, "[", "]"),
		parts{Kind: "notification", Method: `"m"`, Params: brackets(127, "[", "]")},
	},
	{
		"Depth128InParams",
		`{"jsonrpc":"2.0","method":"m","params":{"name":` + brackets(126, "[", "]") + "}}",
		parts{Kind: "notification", Method: `"m"`, Params: `{"name":` + brackets(126, "[", "]") + "}", Name: brackets(126, "[", "]")},
	},
	{
		"Depth128InRef",
		`{"jsonrpc":"2.0","method":"m","params":{"ref":{"name":` + brackets(125, "[", "]") + "}}}",
		parts{Kind: "notification", Method: `"m"`, Params: `{"ref":{"name":` + brackets(125, "[", "]") + "}}", RefName: brackets(125, "[", "]")},
	},
	{
		"DeepObjectsInArrays",
		`{"jsonrpc":"2.0","method":"m","params":[` + brackets(100, `{"a":[],"b":`, "}") + "]}",
		parts{Kind: "notification", Method: `"m"`, Params: "[" + brackets(100, `{"a":[],"b":`, "}") + "]"},
	},
	{
		"DeepMixture",
		nested(63, `[0,{"a":`, "}]"),
		parts{Kind: "notification", Method: `"m"`, Params: brackets(63, `[0,{"a":`, "}]")},
	},
}

// withKeys returns a notification with n more keys than jsonrpc and method.
func withKeys(n int) string {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","method":"m"`)
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":0`, i)
	}
	return b.String() + "}"
}

// nested returns a notification whose params open n containers.
func nested(n int, open, end string) string {
	return `{"jsonrpc":"2.0","method":"m","params":` + brackets(n, open, end) + "}"
}

// brackets opens n containers around a 0.
func brackets(n int, open, end string) string {
	return strings.Repeat(open, n) + "0" + strings.Repeat(end, n)
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, tt := range accepted {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// A used message must not shine through.
			m := jsonrpc.Message{NameIsString: true, URIIsString: true, Cursor: jsonrpc.Span{Start: 1, End: 2}}
			if err := m.Scan([]byte(tt.body)); err != nil {
				t.Fatalf("code %d: %v", err.Code, err)
			}
			if diff := cmp.Diff(tt.want, partsOf(&m, tt.body)); diff != "" {
				t.Errorf("message differs (-want +got):\n%s", diff)
			}
		})
	}
}

// refused are texts that are no acceptable message, and the id to answer with.
var refused = []struct {
	name, body string
	code       int
	id         string
}{
	{"Empty", "", -32700, ""},
	{"OnlySpace", " \n", -32700, ""},
	{"ByteOrderMark", "\xEF\xBB\xBF{}", -32700, ""},
	{"TwoValues", `{"jsonrpc":"2.0","id":1,"method":"m"}{}`, -32700, ""},
	{"TrailingByte", `{"jsonrpc":"2.0","id":1,"method":"m"}x`, -32700, ""},
	{"TrailingNUL", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}\x00", -32700, ""},
	{"Unfinished", `{"jsonrpc":"2.0","id":1,"method":"m"`, -32700, ""},
	{"UnfinishedString", `{"jsonrpc":"2.0","id":1,"method":"m`, -32700, ""},
	{"UnfinishedEscape", `{"jsonrpc":"2.0","id":1,"method":"m\`, -32700, ""},
	{"TrailingComma", `{"jsonrpc":"2.0","id":1,"method":"m",}`, -32700, ""},
	{"TrailingCommaInArray", `{"jsonrpc":"2.0","id":1,"method":"m","params":[1,]}`, -32700, ""},
	{"MissingComma", `{"jsonrpc":"2.0" "id":1,"method":"m"}`, -32700, ""},
	{"MissingColon", `{"jsonrpc" "2.0","id":1,"method":"m"}`, -32700, ""},
	{"MissingValue", `{"jsonrpc":,"id":1,"method":"m"}`, -32700, ""},
	{"UnquotedKey", `{jsonrpc:"2.0","id":1,"method":"m"}`, -32700, ""},
	{"SingleQuotes", `{'jsonrpc':'2.0'}`, -32700, ""},
	{"Comment", `{"jsonrpc":"2.0",/**/"id":1,"method":"m"}`, -32700, ""},
	{"WrongBracket", `{"jsonrpc":"2.0","id":1,"method":"m","params":[}}`, -32700, ""},
	{"WrongBrace", `{"jsonrpc":"2.0","id":1,"method":"m","params":{]}`, -32700, ""},
	{"VerticalTabAsSpace", "{\v}", -32700, ""},
	{"NoBreakSpace", "{\u00a0}", -32700, ""},
	{"LeadingZero", `{"jsonrpc":"2.0","id":01,"method":"m"}`, -32700, ""},
	{"LeadingPlus", `{"jsonrpc":"2.0","id":+1,"method":"m"}`, -32700, ""},
	{"BareMinus", `{"jsonrpc":"2.0","id":-,"method":"m"}`, -32700, ""},
	{"NoFraction", `{"jsonrpc":"2.0","id":1.,"method":"m"}`, -32700, ""},
	{"NoInteger", `{"jsonrpc":"2.0","id":.1,"method":"m"}`, -32700, ""},
	{"NoExponent", `{"jsonrpc":"2.0","id":1e,"method":"m"}`, -32700, ""},
	{"NotANumber", `{"jsonrpc":"2.0","id":NaN,"method":"m"}`, -32700, ""},
	{"Hexadecimal", `{"jsonrpc":"2.0","id":0x1,"method":"m"}`, -32700, ""},
	{"UpperCaseLiteral", `{"jsonrpc":"2.0","id":1,"method":"m","x":True}`, -32700, ""},
	{"CutLiteral", `{"jsonrpc":"2.0","id":1,"method":"m","x":tru}`, -32700, ""},
	{"RawControl", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\x01\"}", -32700, ""},
	{"RawNewline", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\n\"}", -32700, ""},
	{"BadEscape", `{"jsonrpc":"2.0","id":1,"method":"\x41"}`, -32700, ""},
	{"ShortUnicodeEscape", `{"jsonrpc":"2.0","id":1,"method":"\u004"}`, -32700, ""},
	{"BadUnicodeEscape", `{"jsonrpc":"2.0","id":1,"method":"\u004G"}`, -32700, ""},
	{"LoneHighSurrogate", `{"jsonrpc":"2.0","id":1,"method":"\ud83d"}`, -32700, ""},
	{"HighSurrogateThenLetter", `{"jsonrpc":"2.0","id":1,"method":"\ud83d\u0041"}`, -32700, ""},
	{"LoneLowSurrogate", `{"jsonrpc":"2.0","id":1,"method":"\ude00"}`, -32700, ""},
	{"BadUTF8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", -32700, ""},
	{"OverlongUTF8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc0\xaf\"}", -32700, ""},
	{"OverlongUTF8Three", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xe0\x80\xaf\"}", -32700, ""},
	{"OverlongUTF8Four", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xf0\x80\x80\xaf\"}", -32700, ""},
	{"SurrogateUTF8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xed\xa0\x80\"}", -32700, ""},
	{"BeyondUnicode", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xf4\x90\x80\x80\"}", -32700, ""},
	{"CutUTF8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xe2\x82\"}", -32700, ""},
	{"BrokenBehindRefusal", `{"jsonrpc":"1.0","id":1,"ID":2,"method":"m"`, -32700, ""},
	{"BrokenInBatch", `[{"a":1},{]`, -32700, ""},
	{"BadUTF8InArguments", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"arguments\":{\"a\":\"\xff\"}}}", -32700, ""},

	{"TopLevelString", `"a"`, -32600, ""},
	{"TopLevelNull", `null`, -32600, ""},
	{"EmptyObject", `{}`, -32600, ""},
	{"NoVersion", `{"id":1,"method":"m"}`, -32600, "1"},
	{"OtherVersion", `{"jsonrpc":"1.0","id":1,"method":"m"}`, -32600, "1"},
	{"VersionNumber", `{"jsonrpc":2.0,"id":1,"method":"m"}`, -32600, "1"},
	{"VersionWithEscape", `{"jsonrpc":"\u0032.0","id":1,"method":"m"}`, -32600, "1"},
	{"NoMethod", `{"jsonrpc":"2.0","id":"x"}`, -32600, `"x"`},
	{"MethodNumber", `{"jsonrpc":"2.0","id":1,"method":7}`, -32600, "1"},
	{"MethodNull", `{"jsonrpc":"2.0","id":1,"method":null}`, -32600, "1"},
	{"IDNull", `{"jsonrpc":"2.0","id":null,"method":"m"}`, -32600, ""},
	{"IDObject", `{"jsonrpc":"2.0","id":{},"method":"m"}`, -32600, ""},
	{"IDBool", `{"jsonrpc":"2.0","id":true,"method":"m"}`, -32600, ""},
	{"IDArrayInResponse", `{"jsonrpc":"2.0","id":[],"result":{}}`, -32600, ""},
	{"ParamsString", `{"jsonrpc":"2.0","id":1,"method":"m","params":"p"}`, -32600, "1"},
	{"ParamsNumber", `{"jsonrpc":"2.0","id":1,"method":"m","params":0}`, -32600, "1"},
	{"MethodAndResult", `{"jsonrpc":"2.0","id":1,"method":"m","result":{}}`, -32600, "1"},
	{"MethodAndError", `{"jsonrpc":"2.0","id":1,"method":"m","error":{}}`, -32600, "1"},
	{"ResultAndError", `{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, -32600, "1"},
	{"ResultWithoutID", `{"jsonrpc":"2.0","result":{}}`, -32600, ""},
	{"ErrorWithoutID", `{"jsonrpc":"2.0","error":{}}`, -32600, ""},
	{"ResultWithNullID", `{"jsonrpc":"2.0","id":null,"result":{}}`, -32600, ""},

	{"DuplicateID", `{"jsonrpc":"2.0","id":1,"method":"m","id":1}`, -32600, ""},
	{"DuplicateMethod", `{"jsonrpc":"2.0","method":"m","id":1,"method":"m"}`, -32600, "1"},
	{"DuplicateName", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","name":"b"}}`, -32600, "1"},
	{"DuplicateNameBeforeID", `{"jsonrpc":"2.0","params":{"name":"a","name":"b"},"method":"m","id":1}`, -32600, "1"},
	{"DuplicateParams", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a"},"params":{"name":"b"}}`, -32600, "1"},
	{"DuplicateMeta", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{},"_meta":{}}}`, -32600, "1"},
	{"DuplicateProgressToken", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":1,"progressToken":1}}}`, -32600, "1"},
	{"DuplicateRefName", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"ref":{"name":"a","name":"b"}}}`, -32600, "1"},
	{"DuplicateUnknownKey", `{"jsonrpc":"2.0","id":1,"method":"m","x":1,"y":1,"x":2}`, -32600, "1"},
	{"DuplicateUnknownKeyWithEscape", `{"jsonrpc":"2.0","id":1,"method":"m","x/y":1,"x\/y":2}`, -32600, "1"},
	{"DuplicateSurrogatePair", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"😀":1,"\ud83D\uDe00":2}}`, -32600, "1"},
	{"CaseVariantID", `{"jsonrpc":"2.0","id":1,"ID":2,"method":"m"}`, -32600, ""},
	{"CaseVariantIDAlone", `{"jsonrpc":"2.0","Id":2,"method":"m"}`, -32600, ""},
	{"CaseVariantMethod", `{"jsonrpc":"2.0","id":1,"method":"m","Method":"n"}`, -32600, "1"},
	{"CaseVariantName", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","NAME":"b"}}`, -32600, "1"},
	{"CaseVariantNameAlone", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"Name":"b"}}`, -32600, "1"},
	{"CaseVariantArguments", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","Arguments":{}}}`, -32600, "1"},
	{"CaseVariantProtocolVersion", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"protocolversion":"a"}}`, -32600, "1"},
	{"CaseVariantProgressToken", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progresstoken":"a"}}}`, -32600, "1"},
	{"DuplicateProgress", `{"jsonrpc":"2.0","method":"m","params":{"progressToken":"a~1","progressToken":"b~1"}}`, -32600, ""},
	{"CaseVariantProgress", `{"jsonrpc":"2.0","method":"m","params":{"ProgressToken":"a~1"}}`, -32600, ""},
	{"CaseVariantRequestID", `{"jsonrpc":"2.0","method":"m","params":{"requestId":1,"requestID":2}}`, -32600, ""},
	{"CaseVariantMetaVersion", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"IO.modelcontextprotocol/protocolVersion":"a"}}}`, -32600, "1"},
	{"CaseVariantRefURI", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"ref":{"URI":"a"}}}`, -32600, "1"},
	{"LongS", `{"jsonrpc":"2.0","id":1,"method":"m","paramſ":{"name":"b"}}`, -32600, "1"},
	{"LongSWithEscape", `{"jsonrpc":"2.0","id":1,"method":"m","param\u017f":{"name":"b"}}`, -32600, "1"},
	{"KelvinSign", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"progressTo\u212aen\":1}}}", -32600, "1"},
	{"KelvinSignWithEscape", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressTo\u212aen":1}}}`, -32600, "1"},
	{"EscapedName", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"\u006eame":"b"}}`, -32600, "1"},
	{"EscapedCaseVariant", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"\u004eame":"b"}}`, -32600, "1"},
	{"EscapedID", `{"jsonrpc":"2.0","id":1,"i\u0064":2,"method":"m"}`, -32600, ""},
	{"SlashEscapedAsUnicode", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol\u002fprotocolVersion":"a"}}}`, -32600, "1"},
	{"EscapedSlashIsNoOtherKey", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol\/logLevel":"a","io.modelcontextprotocol/logLevel":"b"}}}`, -32600, "1"},
	{"EveryCharacterEscaped", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"` + escapeAll("io.modelcontextprotocol/protocolVersion") + `":"a"}}}`, -32600, "1"},
	{"SixtyFiveKeys", withKeys(63), -32600, ""},
	{"SixtyFiveKeysInMeta", `{"jsonrpc":"2.0","method":"m","id":3,"params":{"_meta":` + withKeys(63) + `}}`, -32600, "3"},
	{"Depth129", nested(128, "[", "]"), -32600, ""},
	{"Depth129InParams", `{"jsonrpc":"2.0","method":"m","params":{"x":` + brackets(127, "[", "]") + "}}", -32600, ""},
	{"Depth129InMeta", `{"jsonrpc":"2.0","method":"m","params":{"_meta":{"x":` + brackets(126, "[", "]") + "}}}", -32600, ""},
	{"Depth129InRef", `{"jsonrpc":"2.0","method":"m","params":{"ref":{"x":` + brackets(126, `{"a":`, "}") + "}}}", -32600, ""},
	{"Depth129InBatch", brackets(129, "[", "]"), -32600, ""},
	{"DeepWithoutEnd", strings.Repeat(`{"a":`, 100_000), -32600, ""},
}

func escapeAll(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

func TestScanRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var m jsonrpc.Message
			err := m.Scan([]byte(tt.body))
			if err == nil {
				t.Fatalf("accepted as %v", m.Kind)
			}
			if err.Code != tt.code {
				t.Errorf("code = %d (%v), want %d", err.Code, err, tt.code)
			}
			if id := string(err.ID.Of([]byte(tt.body))); id != tt.id {
				t.Errorf("id = %q, want %q", id, tt.id)
			}
			if err.Reason == "" {
				t.Error("no reason")
			}
			if m != (jsonrpc.Message{}) {
				t.Errorf("message is not zero after an error: %+v", m)
			}
		})
	}
}

// A message that was cut anywhere must not be mistaken for a whole one.
func TestScanOfEveryPrefix(t *testing.T) {
	t.Parallel()
	for _, tt := range accepted {
		body := strings.TrimRight(tt.body, " \n")
		for n := range len(body) {
			var m jsonrpc.Message
			if err := m.Scan([]byte(body[:n])); err == nil || err.Code != mcp.CodeParseError {
				t.Fatalf("%s: prefix %q: %v, want a parse error", tt.name, body[:n], err)
			}
		}
	}
}

func TestReasonSaysWhere(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"a":`:                  "JSON ends too early",
		`{"a" 1}`:                "invalid JSON at byte 5",
		"{\"a\":\"bc\xff\"}":     "invalid UTF-8 at byte 8",
		strings.Repeat("[", 200): "JSON is nested more than 128 levels deep",
	} {
		var m jsonrpc.Message
		if err := m.Scan([]byte(body)); err == nil || err.Error() != want {
			t.Errorf("Scan(%.20q) = %v, want %q", body, err, want)
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	for _, tt := range accepted {
		body := []byte(tt.body)
		var m jsonrpc.Message
		if n := testing.AllocsPerRun(100, func() {
			if err := m.Scan(body); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.name, n)
		}
	}
}
