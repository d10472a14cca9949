package client

import (
	"fmt"
	"testing"

	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/chaos/server"
)

// Every kind of answer is told for what it is.
func TestAnswersAreJudged(t *testing.T) {
	t.Parallel()
	answer := func(id int, a string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":%q}]}}`, id, a)
	}
	const right = `{"server":"ann","run":"r","session":"s","n":7,"again":0}`
	for name, tt := range map[string]struct {
		message string
		results int
		status  int
		err     error
		want    check.Outcome
	}{
		"right":          {answer(7, right), 1, 200, nil, check.OK},
		"another id":     {answer(8, right), 1, 200, nil, check.Wrong},
		"twice":          {answer(7, right), 2, 200, nil, check.Wrong},
		"another server": {answer(7, `{"server":"bob","run":"r","session":"s","n":7}`), 1, 200, nil, check.Wrong},
		"another call":   {answer(7, `{"server":"ann","run":"r","session":"s","n":6}`), 1, 200, nil, check.Wrong},
		"no session":     {answer(7, `{"server":"ann","run":"r","n":7}`), 1, 200, nil, check.Wrong},
		"another's":      {answer(7, `{"server":"ann","run":"r","session":"taken","n":7}`), 1, 200, nil, check.Wrong},
		"came twice":     {answer(7, `{"server":"ann","run":"r","session":"s","n":7,"again":1}`), 1, 200, nil, check.Wrong},
		"no server's":    {answer(7, `hello`), 1, 200, nil, check.Wrong},
		"odd status":     {answer(7, right), 1, 503, nil, check.Wrong},
		"clean":          {`{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"x"}}`, 1, 200, nil, check.Clean},
		"no message":     {`{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":""}}`, 1, 200, nil, check.Empty},
		"no id":          {`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"x"}}`, 1, 200, nil, check.Empty},
		"empty":          {"", 1, 503, nil, check.Empty},
		"text":           {"upstream connect error", 1, 503, nil, check.Empty},
		"hang":           {"", 0, 0, &failure{check.Hang, fmt.Errorf("late")}, check.Hang},
	} {
		k := check.New()
		k.Session("somebody else", true, "ann", "r", "taken")
		c := check.Call{Kind: server.ToolEcho, Server: "ann"}
		result := settle(&c, 7, &response{status: tt.status, message: []byte(tt.message), results: tt.results}, tt.err)
		if result != nil {
			answered(k, &c, 7, result, "me", true)
		}
		if c.Outcome != tt.want {
			t.Errorf("%s: %s, want %s: %s", name, c.Outcome, tt.want, c.Detail)
		}
	}
}
