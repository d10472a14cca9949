package broker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
)

const (
	everyInput  = `{"roots":{},"sampling":{},"elicitation":{}}`
	askName     = `{"jsonrpc":"2.0","id":"q 1","method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{"n":{"type":"integer","minimum":1.0}}}}}`
	askRoots    = `{"jsonrpc":"2.0","id":2,"method":"roots/list"}`
	askSampling = `{"jsonrpc":"2.0","id":3,"method":"sampling/createMessage","params":{"maxTokens":1}}`
)

// askingTwice returns a server whose tool a asks for a name and for roots, and answers
// with what it was told.
func askingTwice() *sessional {
	one := newSessional("a", "b")
	one.scripts["a"] = func(x *exchange) {
		x.say(askName)
		x.say(askRoots)
		first := x.hear(x.ctx)
		if first == "gone" {
			return
		}
		second := x.hear(x.ctx)
		if second == "gone" {
			return
		}
		x.end(`{"content":[],"structuredContent":[` + first + `,` + second + `]}`)
	}
	return one
}

const (
	name       = `"input-1":{"action":"accept","content":{"n":1.0}}`
	roots      = `"input-2":{"roots":[{"uri":"file:///r"}]}`
	toldBoth   = `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[],"structuredContent":[{"jsonrpc":"2.0","id":"q 1","result":{"action":"accept","content":{"n":1.0}}},{"jsonrpc":"2.0","id":2,"result":{"roots":[{"uri":"file:///r"}]}}]}}`
	invalid    = `"code":-32602`
	noContent  = "requestState is not valid here"
	bothInputs = `"inputResponses":{` + name + `,` + roots + `,"unknown":{"action":"accept"}}`
)

func withState(responses, state string) string {
	return responses + `,"requestState":"` + state + `"`
}

func TestServerAsksTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := askingTwice()
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		began := time.Now()
		asked := mustAsk(t, g.call("a", everyInput, "", "", nil))
		if waited := time.Since(began); waited > 200*time.Millisecond {
			t.Errorf("asked after %v", waited)
		}
		in := asked.Result.InputRequests
		if len(in) != 2 || in["input-1"].Method != "elicitation/create" || in["input-2"].Method != "roots/list" ||
			string(in["input-1"].Params) != `{"message":"Who?","requestedSchema":{"type":"object","properties":{"n":{"type":"integer","minimum":1.0}}}}` {
			t.Fatalf("asked %+v", in)
		}
		if len(one.Requests("POST", "tools/call")) != 1 {
			t.Fatal("the call was not sent once")
		}
		got := g.call("a", everyInput, withState(bothInputs, asked.Result.RequestState), "", nil)
		if got.body != toldBoth || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s", got.body)
		}
		if again := g.call("a", everyInput, withState(bothInputs, asked.Result.RequestState), "", nil); !strings.Contains(again.body, invalid) {
			t.Errorf("brought again: %s", again.body)
		}
		if n := len(one.Requests("POST", "tools/call")); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestInputThatDoesNotFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := askingTwice()
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		state := mustAsk(t, g.call("a", everyInput, `"arguments":{"x":1}`, "", nil)).Result.RequestState
		args := `"arguments":{"x":1},`
		before := len(one.Seen())
		for what, send := range map[string]func() answer{
			"tampered": func() answer {
				return g.call("a", everyInput, args+withState(bothInputs, state+"-TAMPERED"), "", nil)
			},
			"other principal": func() answer {
				return g.call("a", everyInput, args+withState(bothInputs, state), "", map[string]string{"Authorization": "x"})
			},
			"other tool": func() answer { return g.call("b", everyInput, args+withState(bothInputs, state), "", nil) },
			"other arguments": func() answer {
				return g.call("a", everyInput, `"arguments":{"x":2},`+withState(bothInputs, state), "", nil)
			},
			"a number": func() answer {
				return g.call("a", everyInput, args+withState(`"inputResponses":{"input-1":12345}`, state), "", nil)
			},
			"no action": func() answer {
				return g.call("a", everyInput, args+withState(`"inputResponses":{"input-1":{}}`, state), "", nil)
			},
			"an array": func() answer { return g.call("a", everyInput, args+withState(`"inputResponses":[]`, state), "", nil) },
		} {
			if got := send(); !strings.Contains(got.body, invalid) {
				t.Errorf("%s: %s", what, got.body)
			}
		}
		if after := len(one.Seen()); after != before {
			t.Errorf("the server was contacted: %+v", one.Seen()[before:])
		}
		// What is missing is asked for again; what came counts.
		asked := mustAsk(t, g.call("a", everyInput, args+withState(`"inputResponses":{`+name+`}`, state), "", nil))
		if in := asked.Result.InputRequests; len(in) != 1 || in["input-2"].Method != "roots/list" {
			t.Fatalf("asked %+v", in)
		}
		if got := g.call("a", everyInput, args+withState(`"inputResponses":{`+roots+`}`, state), "", nil); !strings.Contains(got.body, invalid) {
			t.Errorf("an older state: %s", got.body)
		}
		asked = mustAsk(t, g.call("a", everyInput, args+withState(`"inputResponses":{"wrong":{}}`, asked.Result.RequestState), "", nil))
		if got := g.call("a", everyInput, args+withState(`"inputResponses":{`+roots+`}`, asked.Result.RequestState), "", nil); got.body != toldBoth {
			t.Errorf("%s", got.body)
		}
	})
}

func TestInputInRounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) {
			for range 3 {
				x.say(askName)
				x.hear(x.ctx)
				x.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + x.id + `,"progress":1}}`)
			}
			x.end(`{"content":[]}`)
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		got := g.call("a", everyInput, "", "", nil)
		for i := range 3 {
			if i == 0 {
				asked := mustAsk(t, got)
				got = g.call("a", everyInput, withState(`"inputResponses":{`+name+`}`, asked.Result.RequestState), `,"progressToken":"t2"`, nil)
				continue
			}
			// With progress before it the question comes on a stream.
			first, last, ok := strings.Cut(strings.TrimSpace(got.body), "\n\n")
			if !ok || !strings.Contains(first, `"progressToken":"t2"`) {
				t.Fatalf("round %d: %s", i, got.body)
			}
			_, data, _ := strings.Cut(last, "data: ")
			asked := mustAsk(t, answer{body: data})
			response := strings.Replace(name, "input-1", fmt.Sprintf("input-%d", i+1), 1)
			got = g.call("a", everyInput, withState(`"inputResponses":{`+response+`}`, asked.Result.RequestState), `,"progressToken":"t2"`, nil)
		}
		if !strings.HasSuffix(got.body, `{"resultType":"complete","content":[]}}`+"\n\n") {
			t.Errorf("%s", got.body)
		}
	})
}

func TestWhatNobodyCanBeAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) {
			x.say(askSampling)
			refusal := x.hear(x.ctx)
			x.say(`{"jsonrpc":"2.0","id":9,"method":"ping"}`)
			pong := x.hear(x.ctx)
			// A request that belongs to no call, then one that is this call's.
			x.end(`{"content":[],"structuredContent":[` + refusal + `,` + pong + `]}`)
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		got := g.call("a", `{"roots":{}}`, "", "", nil)
		if !strings.Contains(got.body, `[{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"the client does not offer this"}},{"jsonrpc":"2.0","id":9,"result":{}}]`) {
			t.Errorf("%s", got.body)
		}
		// No call is there to which this could belong.
		one.streams["s2"] <- "data: " + askRoots + "\n\n"
		if told := one.hear(t.Context()); !strings.Contains(told, `"id":2,"error":{"code":-32601`) {
			t.Errorf("told %s", told)
		}
	})
}

// A server may ask on the session's own stream; with one call it is that one's.
func TestServerAsksOnItsStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a", "b")
		one.scripts["a"] = func(x *exchange) {
			x.streams[x.session] <- "data: " + askRoots + "\n\n"
			x.end(`{"content":[],"structuredContent":` + x.hear(x.ctx) + `}`)
		}
		one.scripts["b"] = func(x *exchange) { <-x.ctx.Done() }
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		asked := mustAsk(t, g.call("a", everyInput, "", "", nil))
		got := g.call("a", everyInput, withState(`"inputResponses":{"input-1":{"roots":[]}}`, asked.Result.RequestState), "", nil)
		if !strings.Contains(got.body, `"structuredContent":{"jsonrpc":"2.0","id":2,"result":{"roots":[]}}`) {
			t.Errorf("%s", got.body)
		}
		// With two calls nobody knows.
		go g.call("b", everyInput, "", "", nil)
		synctest.Wait()
		if got := g.call("a", everyInput, "", "", nil); !strings.Contains(got.body, `"structuredContent":{"jsonrpc":"2.0","id":2,"error":{"code":-32601`) {
			t.Errorf("%s", got.body)
		}
		g.stop()
	})
}

func TestNobodyBringsTheInput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := askingTwice()
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		asked := mustAsk(t, g.call("a", everyInput, "", "", nil))
		time.Sleep(10*time.Minute + 2*time.Second)
		synctest.Wait()
		if told := one.Requests("POST", "notifications/cancelled"); len(told) != 1 || !strings.Contains(told[0].Body, "nobody has brought the input") {
			t.Errorf("told %v", told)
		}
		if got := g.call("a", everyInput, withState(bothInputs, asked.Result.RequestState), "", nil); !strings.Contains(got.body, invalid) || !strings.Contains(got.body, noContent) {
			t.Errorf("%s", got.body)
		}
	})
}

// The server gives up waiting, and answers: the client gets that when it comes.
func TestAnswerBeforeTheInput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) {
			x.say(askName)
			time.Sleep(time.Minute)
			x.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q 1"}}`)
			x.end(`{"content":[],"isError":true}`)
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		asked := mustAsk(t, g.call("a", everyInput, "", "", nil))
		time.Sleep(2 * time.Minute)
		got := g.call("a", everyInput, withState(`"inputResponses":{`+name+`}`, asked.Result.RequestState), "", nil)
		if got.body != `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[],"isError":true}}` {
			t.Errorf("%s", got.body)
		}
	})
}

func TestURLFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		calls := 0
		one.scripts["a"] = func(x *exchange) {
			if calls++; calls == 1 {
				x.say(`{"jsonrpc":"2.0","id":` + x.id + `,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://a","message":"go"}]}}}`)
				return
			}
			x.end(`{"content":[]}`)
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		const opens = `{"elicitation":{"url":{}}}`
		asked := mustAsk(t, g.call("a", opens, "", "", nil))
		if in := asked.Result.InputRequests["url-1"]; in.Method != "elicitation/create" || string(in.Params) != `{"mode":"url","url":"https://a","message":"one: go"}` {
			t.Errorf("asked %+v", asked)
		}
		declined := g.call("a", opens, withState(`"inputResponses":{"url-1":{"action":"decline"}}`, asked.Result.RequestState), "", nil)
		if !strings.Contains(declined.body, `"code":-32603`) || calls != 1 {
			t.Errorf("%s, %d calls", declined.body, calls)
		}
		got := g.call("a", opens, withState(`"inputResponses":{"url-1":{"action":"accept"}}`, asked.Result.RequestState), "", nil)
		if !strings.Contains(got.body, `"resultType":"complete"`) || calls != 2 {
			t.Errorf("%s, %d calls", got.body, calls)
		}
	})
}

// twoBrokers starts two brokers on one store.
func twoBrokers(t *testing.T, handler http.Handler) (a, b *gateway) {
	t.Helper()
	store, err := memory.New(memory.Options{Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	s := setup{store: store, config: config("one"), opts: Options{Secret: "shared"}}
	a = newGateway(t, s, map[string]http.Handler{"one": handler})
	b = newGateway(t, s, map[string]http.Handler{"one": handler})
	synctest.Wait()
	return a, b
}

func TestInputThatComesToAnotherReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := askingTwice()
		large := strings.Repeat("x", 3<<20)
		one.scripts["b"] = func(x *exchange) {
			x.say(askName)
			x.hear(x.ctx)
			x.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + x.id + `,"progress":1}}`)
			time.Sleep(time.Minute)
			x.end(`{"content":[],"structuredContent":"` + large + `"}`)
		}
		a, b := twoBrokers(t, one)
		asked := mustAsk(t, a.call("a", everyInput, "", "", nil))
		asked = mustAsk(t, b.call("a", everyInput, withState(`"inputResponses":{`+name+`}`, asked.Result.RequestState), "", nil))
		if got := b.call("a", everyInput, withState(`"inputResponses":{`+roots+`}`, asked.Result.RequestState), "", nil); got.body != toldBoth {
			t.Errorf("%s", got.body)
		}
		if got := b.call("a", everyInput, withState(`"inputResponses":{`+roots+`}`, asked.Result.RequestState), "", nil); !strings.Contains(got.body, invalid) {
			t.Errorf("again: %s", got.body)
		}
		asked = mustAsk(t, a.call("b", everyInput, "", "", nil))
		got := b.call("b", everyInput, withState(`"inputResponses":{`+name+`}`, asked.Result.RequestState), `,"progressToken":"t"`, nil)
		if !strings.HasPrefix(got.body, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"t\"") ||
			!strings.HasSuffix(got.body, large+"\"}}\n\n") {
			t.Errorf("%d bytes, %.300s", len(got.body), got.body)
		}
	})
}

func TestHolderOfACallIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := twoBrokers(t, askingTwice())
		asked := mustAsk(t, a.call("a", everyInput, "", "", nil))
		a.stop()
		if got := b.call("a", everyInput, withState(bothInputs, asked.Result.RequestState), "", nil); !strings.Contains(got.body, "the part of the gateway that held the call is gone") {
			t.Errorf("%s", got.body)
		}
	})
}

// Who leaves while another replica works on the call has cancelled it there.
func TestLeavingIsToldToTheHolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		one.scripts["a"] = func(x *exchange) { x.say(askName); x.hear(x.ctx); <-x.ctx.Done() }
		a, b := twoBrokers(t, one)
		asked := mustAsk(t, a.call("a", everyInput, "", "", nil))
		b.public.Timeout = 5 * time.Second
		r, err := http.NewRequest("POST", "http://gateway/mcp", strings.NewReader(declaring("7", "tools/call", `"name":"one_a",`+withState(`"inputResponses":{`+name+`}`, asked.Result.RequestState), everyInput, "")))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range mirrors("tools/call", "one_a") {
			r.Header.Set(name, value)
		}
		r.Header.Set("Content-Type", "application/json")
		if _, err := b.public.Do(r); err == nil {
			t.Fatal("answered")
		}
		if told := one.hear(t.Context()); !strings.Contains(told, "notifications/cancelled") {
			t.Errorf("told %s", told)
		}
	})
}
