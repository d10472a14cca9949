package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// What a client offers is told with each request: one that brings input may offer
// less than the one before.
func TestInputThatTheNextRequestDoesNotOffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) {
			x.say(askName)
			first := x.hear(x.ctx)
			x.say(askRoots)
			x.end(`{"content":[],"structuredContent":[` + first + `,` + x.hear(x.ctx) + `]}`)
		}
		a, b := twoBrokers(t, one)
		for where, to := range map[string]*gateway{"here": a, "at another replica": b} {
			asked := mustAsk(t, a.call("a", everyInput, "", "", nil))
			got := to.call("a", `{"elicitation":{}}`, withState(`"inputResponses":{`+name+`}`, asked.Result.RequestState), "", nil)
			if !strings.Contains(got.body, `"resultType":"complete"`) || !strings.Contains(got.body, `{"jsonrpc":"2.0","id":2,"error":{"code":-32601`) {
				t.Errorf("%s: %s", where, got.body)
			}
		}
		// Of what was asked for already, too.
		one.scripts["a"] = askingTwice().scripts["a"]
		asked := mustAsk(t, a.call("a", everyInput, "", "", nil))
		got := b.call("a", `{"elicitation":{}}`, withState(`"inputResponses":{`+name+`}`, asked.Result.RequestState), "", nil)
		if !strings.Contains(got.body, `"resultType":"complete"`) || !strings.Contains(got.body, `{"jsonrpc":"2.0","id":2,"error":{"code":-32601`) {
			t.Errorf("%s", got.body)
		}
	})
}

// What is declared to a server is kept with each session there.
func TestLargeCapabilitiesAreNotDeclared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) { x.end(`{"content":[]}`) }
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		got := g.call("a", `{"roots":{"x":"`+strings.Repeat("x", 17<<10)+`"}}`, "", "", nil)
		if !strings.Contains(got.body, `"resultType":"complete"`) || !strings.Contains(one.live["s2"], `"capabilities":{}`) {
			t.Errorf("%s, opened with %.200s", got.body, one.live["s2"])
		}
	})
}
