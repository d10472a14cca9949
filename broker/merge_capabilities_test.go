package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// What a client has declared counts to the mode and to the tools of sampling.
func TestStreamAsksOnlyForWhatIsDeclared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.request("POST", strings.Replace(initializeRequest, `{"roots":{}}`, `{"sampling":{},"elicitation":{}}`, 1), nil).header.Get("Mcp-Session-Id")
		stream := g.listen(id)
		g.join(id, "one")
		for _, asked := range []string{
			`"id":1,"method":"sampling/createMessage","params":{"tools":[]}`,
			`"id":2,"method":"elicitation/create","params":{"mode":"url","url":"https://a"}`,
			`"id":3,"method":"roots/list"`,
			`"id":4,"method":"sampling/createMessage","params":{}`,
			`"id":5,"method":"elicitation/create","params":{}`,
		} {
			one.clients.Out <- `data: {"jsonrpc":"2.0",` + asked + "}\n\n"
		}
		synctest.Wait()
		if got := strings.Join(stream.drain(), ""); strings.Count(got, "sampling/createMessage") != 1 || strings.Count(got, "elicitation/create") != 1 || strings.Contains(got, "roots") {
			t.Errorf("asked %s", got)
		}
		var answers []string
		for _, r := range one.Requests("POST", "") {
			answers = append(answers, r.Body)
		}
		want := []string{
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"the client offers no sampling with tools"}}`,
			`{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"the client does not offer this mode of elicitation"}}`,
			`{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"the client does not offer this"}}`,
		}
		if diff := cmp.Diff(want, answers); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
	})
}
