package tomodern_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mcp-gateway/broker/tomodern"
	"mcp-gateway/internal/mcp"
)

func result(r string) []byte { return []byte(`{"jsonrpc":"2.0","id":1,"result":` + r + `}`) }

func TestResult(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ method, result, want string }{
		{"tools/call", `{"content":[],"x": 1.0}`, `{"content":[],"x":1.0}`},
		{"tools/call", `{"resultType":"complete","content":[],"ttlMs":1,"cacheScope":"public","structuredContent":{"a": 1},"_meta":{"io.modelcontextprotocol/serverInfo":{}}}`, `{"content":[],"structuredContent":{"a": 1},"_meta":{"io.modelcontextprotocol/serverInfo":{}}}`},
		{"tools/call", `{"content":[{"type":"text","text":"[1]"}],"structuredContent":[1]}`, `{"content":[{"type":"text","text":"[1]"}]}`},
		{"tools/call", `{"content":[{"type":"image"}],"structuredContent":["a"]}`, `{"content":[{"type":"image"},{"type":"text","text":"[\"a\"]"}]}`},
		{"tools/call", `{"structuredContent":null}`, `{"content":[{"type":"text","text":"null"}]}`},
		{"prompts/get", `{"structuredContent":3}`, `{"structuredContent":3}`},
		{"resources/read", `{"resultType":"c\u006fmplete","contents":[]}`, `{"contents":[]}`},
	} {
		got, err := tomodern.Read(tt.method, result(tt.result))
		if err != nil || string(got.Result) != tt.want || got.Error != nil || got.Required != nil {
			t.Errorf("%s: %s, %v, want %s", tt.result, got.Result, err, tt.want)
		}
	}
	for _, broken := range []string{`[]`, `null`, `{"resultType":"task"}`, `{"resultType":1}`, `{"resultType":""}`} {
		if got, err := tomodern.Read("tools/call", result(broken)); err == nil {
			t.Errorf("%s is taken as %+v", broken, got)
		}
	}
	if _, err := tomodern.Read("tools/call", []byte(`{`)); err == nil {
		t.Error("what is no message is taken")
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, err, want string
		refused           int
	}{
		{"tools/call", `{"code":-32602,"message":"m","data":{"uri":"a:b"}}`, `{"code":-32602,"message":"m","data":{"uri":"a:b"}}`, 0},
		{"resources/read", `{"message":"-32602", "code": -32602 ,"data":{"uri":"a:b"}}`, `{"message":"-32602", "code": -32002 ,"data":{"uri":"a:b"}}`, 0},
		{"resources/read", `{"code":-32602,"message":"m"}`, `{"code":-32602,"message":"m"}`, 0},
		{"resources/read", `{"code":-32601,"message":"m"}`, `{"code":-32601,"message":"m"}`, 0},
		{"tools/call", `{"code":-32020,"message":"m"}`, ``, mcp.CodeHeaderMismatch},
		{"tools/call", `{"code":-32021,"message":"m","data":{}}`, ``, mcp.CodeMissingCapability},
		{"prompts/get", `{"code":-32022,"message":"m"}`, ``, mcp.CodeUnsupportedVersion},
		{"prompts/get", `{"message":"no code"}`, `{"message":"no code"}`, 0},
	} {
		got, err := tomodern.Read(tt.method, []byte(`{"jsonrpc":"2.0","id":1,"error":`+tt.err+`}`))
		if err != nil || string(got.Error) != tt.want || got.Refused != tt.refused {
			t.Errorf("%s %s: %s, %d, %v", tt.method, tt.err, got.Error, got.Refused, err)
		}
	}
}

func required(t *testing.T, r string) *tomodern.Required {
	t.Helper()
	got, err := tomodern.Read("tools/call", result(r))
	if err != nil || got.Required == nil {
		t.Fatalf("%s: %+v, %v", r, got, err)
	}
	return got.Required
}

func TestRequired(t *testing.T) {
	t.Parallel()
	r := required(t, `{"resultType":"input_required","requestState":"\u0041","inputRequests":{
		"a":{"method":"elicitation/create","params":{"mode":"form","message":"m","requestedSchema":{"x":1.0}}},
		"\u0062":{"method":"sampling/createMessage","params":{"messages":[]}},
		"c":{"method":"roots/list","params":null},
		"d":{"method":"elicitation/create","params":{"mode":"url","elicitationId":"old","message":"m","url":"https://a"}}}}`)
	if string(r.State) != `"\u0041"` || len(r.Inputs) != 4 {
		t.Fatalf("%+v", r)
	}
	want := []string{
		`{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"mode":"form","message":"m","requestedSchema":{"x":1.0}}}`,
		`{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{"messages":[]}}`,
		`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`,
		`{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"mode":"url","message":"srv: m","url":"https://a","elicitationId":"ID"}}`,
	}
	minted := regexp.MustCompile(`"elicitationId":"[A-Z0-9]{20,}"`)
	for i, input := range r.Inputs {
		if got := minted.ReplaceAllString(string(input.Request([]byte(`"q"`), "srv")), `"elicitationId":"ID"`); got != want[i] {
			t.Errorf("%s\nwant\n%s", got, want[i])
		}
	}
	results := [][]byte{[]byte(`{"action":"accept"}`), []byte(`{"role":"x"}`), []byte(`{"roots":[]}`), []byte(`{}`)}
	if got := string(r.Responses(results)); got != `{"a":{"action":"accept"},"\u0062":{"role":"x"},"c":{"roots":[]},"d":{}}` {
		t.Error(got)
	}
	if got := required(t, `{"resultType":"input_required","requestState":"s","inputRequests":null}`); got.Responses(nil) != nil {
		t.Errorf("%s for no inputs", got.Responses(nil))
	}
}

func TestBrokenRequirements(t *testing.T) {
	t.Parallel()
	many := make([]string, 33)
	for i := range many {
		many[i] = `"` + strconv.Itoa(i) + `":{"method":"roots/list"}`
	}
	for _, r := range []string{
		`{"resultType":"input_required"}`,
		`{"resultType":"input_required","inputRequests":{}}`,
		`{"resultType":"input_required","inputRequests":[]}`,
		`{"resultType":"input_required","requestState":1}`,
		`{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"},"\u0061":{"method":"roots/list"}}}`,
		`{"resultType":"input_required","inputRequests":{` + strings.Join(many, ",") + `}}`,
	} {
		if got, err := tomodern.Read("tools/call", result(r)); err == nil {
			t.Errorf("%s is taken as %+v", r, got.Required)
		}
	}
	if _, err := tomodern.Read("completion/complete", result(`{"resultType":"input_required","requestState":"s"}`)); err == nil {
		t.Error("a completion may require something")
	}
}

func TestLacks(t *testing.T) {
	t.Parallel()
	const (
		form  = `"elicitation/create","params":{}`
		url   = `"elicitation/create","params":{"mode":"u\u0072l"}`
		plain = `"sampling/createMessage","params":{}`
		tools = `"sampling/createMessage","params":{"tools":[]}`
		roots = `"roots/list"`
		other = `"ping"`
	)
	for capabilities, may := range map[string]string{
		`{}`: "", `{"elicitation":{}}`: form, `{"elicitation":{"url":{}}}`: url, `{"sampling":{}}`: plain,
		`{"sampling":{"tools":{}}}`: plain + tools, `{"roots":{}}`: roots,
	} {
		d := tomodern.Declare(mcp.Revision20251125, []byte(capabilities))
		for _, input := range []string{form, url, plain, tools, roots, other} {
			r := required(t, `{"resultType":"input_required","inputRequests":{"a":{"method":`+input+`}}}`)
			if lacks := d.Lacks(r.Inputs[0]); (lacks == "") != strings.Contains(may, input) {
				t.Errorf("%s with %s lacks %q", input, capabilities, lacks)
			}
		}
	}
}

func TestClientsRefusal(t *testing.T) {
	t.Parallel()
	r := required(t, `{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create"},"b":{"method":"roots/list"}}}`)
	const refusal = `{"jsonrpc":"2.0","id":"q","error":{"code":-1,"message":"no"}}`
	m := scan(t, refusal)
	if result, failure := r.Inputs[0].Answer([]byte(refusal), m); string(result) != `{"action":"cancel"}` || failure != nil {
		t.Errorf("%s, %s", result, failure)
	}
	if result, failure := r.Inputs[1].Answer([]byte(refusal), m); result != nil || string(failure) != `{"code":-1,"message":"no"}` {
		t.Errorf("%s, %s", result, failure)
	}
	const given = `{"jsonrpc":"2.0","id":"q","result":{"roots": []}}`
	if result, failure := r.Inputs[1].Answer([]byte(given), scan(t, given)); string(result) != `{"roots": []}` || failure != nil {
		t.Errorf("%s, %s", result, failure)
	}
}
