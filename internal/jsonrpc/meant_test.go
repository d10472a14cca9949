package jsonrpc_test

import (
	"strings"
	"testing"

	"mcp-gateway/internal/jsonrpc"
)

func TestMeantID(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for text, want := range map[string]string{
		`{"jsonrpc":"2.0","id":7,"result":{"text":"cut \ud83d"}}`:           "7",
		`{"jsonrpc":"2.0","result":{"text":"cut \ud83d","id":1},"id" : 7 }`: "7",
		`{"id":"a\"b","error":{"message":"` + "\xff" + `"}}`:                `"a\"b"`,
		`{"id":7,"result":` + deep + `}`:                                    "7",
		`{"result":` + deep + `,"id":7}`:                                    "7",
		` {"result":{"text":"\"id\":1, \\"},"id":7,"x":tru}`:                "7",
		`{"id":7,"result":{"text":"it ends`:                                 "7",
		`{"id":7,"result":`:                                                 "7",
		`{"id":7,"result":{}} and more`:                                     "7",
		`{"id":7,"result":{}}{"id":8,"result":{}}`:                          "",
		`{"id":7,"method":"x","params":{"a":"\ud83d"}}`:                     "",
		`{"id":7,"x":"\ud83d"}`:                                             "",
		`{"id":[7],"result":"\ud83d"}`:                                      "",
		`{"id":null,"error":"\ud83d"}`:                                      "",
		`{"id":"\ud83d","result":{}}`:                                       "",
		`{"result":"\ud83d"}`:                                               "",
		`[{"id":7,"result":"\ud83d"}]`:                                      "",
		`{"id":`:                                                            "", `{"id`: "", `{"`: "", `{`: "", ``: "", `hello`: "",
	} {
		if got := string(jsonrpc.MeantID([]byte(text))); got != want {
			t.Errorf("%.60s: %q, want %q", text, got, want)
		}
	}
}
