package broker

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// asking answers tools/call with the results, one after the other.
func asking(s *rawserver.Server, results ...string) {
	s.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
		if method != "tools/call" {
			return false
		}
		rawserver.Respond(w, id, results[len(s.Requests("POST", method))-1])
		return true
	}
}

const done = `{"resultType":"complete","content":[]}`

// questions takes the questions of a stream: their ids, and the messages without.
func (e *events) questions(t *testing.T) (ids, messages []string) {
	t.Helper()
	synctest.Wait()
	id := regexp.MustCompile(`"id":("[^"]+~[^"]+\\"[^"]+\\""),`)
	for _, line := range e.drain() {
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			if m := id.FindStringSubmatch(text); m != nil {
				ids = append(ids, m[1])
				text = strings.Replace(text, m[1], "ID", 1)
			}
			messages = append(messages, text)
		}
	}
	return ids, messages
}

func (e *events) wantQuestions(t *testing.T, want ...string) []string {
	t.Helper()
	ids, got := e.questions(t)
	if strings.Join(got, "\n") != strings.Join(want, "\n") || len(ids) != len(want) {
		t.Fatalf("%d questions\n%s\nwant\n%s", len(ids), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return ids
}

// respond posts a client's response.
func (g *gateway) respond(id, question, more string) {
	g.t.Helper()
	if got := g.post(id, `{"jsonrpc":"2.0","id":`+question+`,`+more+`}`); got.status != 202 || got.body != "" {
		g.t.Errorf("response: %d %s", got.status, got.body)
	}
}

const everyKind = `{"resultType":"input_required","requestState":"s\u0041","inputRequests":{"e":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{}}},"s":{"method":"sampling/createMessage","params":{"messages":[]}},"r":{"method":"roots/list"}}}`

var everyQuestion = []string{
	`{"jsonrpc":"2.0","id":ID,"method":"elicitation/create","params":{"message":"m","requestedSchema":{}}}`,
	`{"jsonrpc":"2.0","id":ID,"method":"sampling/createMessage","params":{"messages":[]}}`,
	`{"jsonrpc":"2.0","id":ID,"method":"roots/list"}`,
}

const everyCapability = `{"elicitation":{},"sampling":{},"roots":{}}`

// replicas returns two brokers with one store, and one modern server.
func replicas(t *testing.T, one *rawserver.Server) (a, b *gateway) {
	t.Helper()
	a = newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
	b = newGateway(t, setup{config: config("one"), store: a.store}, map[string]http.Handler{"one": one})
	synctest.Wait()
	return a, b
}

func TestRequiredInputsAreAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		second := `{"resultType":"input_required","inputRequests":{"again":{"method":"roots/list"}}}`
		asking(one, everyKind, second, `{"resultType":"input_required","requestState":"only"}`, done)
		g, other := replicas(t, one)
		id := g.initialized("2025-11-25", everyCapability)
		call := g.begin(id, toolCall("one_a", ""))
		q := call.wantQuestions(t, everyQuestion...)
		// In any order, at any replica; what is not from the session does not count.
		stranger := other.initialized("2025-11-25", everyCapability)
		other.respond(stranger, strings.Replace(q[0], mark(id, "one", ""), mark(stranger, "one", ""), 1), `"result":{"action":"accept","content":{"forged":1}}`)
		g.respond(id, q[2], `"result":{"roots":[ ]}`)
		other.respond(id, q[0], `"error":{"code":-1,"message":"no"}`)
		other.respond(id, q[0], `"result":{"action":"accept"}`)
		g.respond(id, `"one~x~1"`, `"result":{}`)
		other.respond(id, q[1], `"result":{"role":"assistant","n":1.0}`)
		q = call.wantQuestions(t, everyQuestion[2])
		sent := last(one, "tools/call").Body
		if !strings.HasSuffix(sent, `},"inputResponses":{"e":{"action":"cancel"},"s":{"role":"assistant","n":1.0},"r":{"roots":[ ]}},"requestState":"s\u0041"}}`) {
			t.Errorf("sent %s", sent)
		}
		other.respond(id, q[0], `"result":{"roots":[]}`)
		time.Sleep(time.Second)
		call.wantNext(t, append(event("", `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`), "closed"))
		all := one.Requests("POST", "tools/call")
		if sent := all[2].Body; !strings.HasSuffix(sent, `},"inputResponses":{"again":{"roots":[]}}}}`) {
			t.Errorf("sent %s", sent)
		}
		if sent := all[3].Body; !strings.HasSuffix(sent, `},"requestState":"only"}}`) {
			t.Errorf("sent %s", sent)
		}
		ids := map[string]bool{}
		for _, r := range all {
			ids[regexp.MustCompile(`"id":[^,]+`).FindString(r.Body)] = true
		}
		if len(ids) != 4 {
			t.Errorf("ids %v", ids)
		}
	})
}

func TestRefusedInputFailsTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		asking(one, everyKind, everyKind)
		g, _ := replicas(t, one)
		id := g.initialized("2025-11-25", everyCapability)
		call := g.begin(id, toolCall("one_a", ""))
		q := call.wantQuestions(t, everyQuestion...)
		g.respond(id, q[1], `"error":{"code":-1,"message":"User rejected"}`)
		withdrawn := func(id string) []string {
			return event("", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+id+`}}`)
		}
		call.wantNext(t, append(append(append(withdrawn(q[0]), withdrawn(q[2])...),
			event("", `{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"User rejected"}}`)...), "closed"))
	})
}

func TestElicitationByURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		byURL := `{"resultType":"input_required","inputRequests":{"u":{"method":"elicitation/create","params":{"mode":"url","message":"m","url":"https://a"}}}}`
		asking(one, byURL, byURL, done)
		g, _ := replicas(t, one)
		old := g.initialized("2025-06-18", `{"elicitation":{"form":{},"url":{}}}`)
		if got, _ := describe(g.post(old, toolCall("one_a", "")).body); got != `7 -32603` {
			t.Error(got)
		}
		id := g.initialized("2025-11-25", `{"elicitation":{"url":{}}}`)
		call := g.begin(id, toolCall("one_a", ""))
		ids, messages := call.questions(t)
		if len(ids) != 1 || !regexp.MustCompile(`"params":\{"mode":"url","message":"one: m","url":"https://a","elicitationId":"[A-Z0-9]+"\}`).MatchString(messages[0]) {
			t.Fatalf("%q", messages)
		}
		g.respond(id, ids[0], `"result":{"action":"accept"}`)
		call.wantNext(t, append(event("", `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`), "closed"))
	})
}

func TestAnswerTooLargeForTheOtherReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		ask := `{"resultType":"input_required","inputRequests":{"r":{"method":"roots/list"}}}`
		asking(one, ask, ask, done)
		c := config("one")
		c.Limits.Body = 4 << 20
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		other := newGateway(t, setup{config: c, store: g.store}, map[string]http.Handler{"one": one})
		id := g.initialized("2025-11-25", everyCapability)
		large := `{"roots":[],"x":"` + strings.Repeat("x", 1<<20) + `"}`
		call := g.begin(id, toolCall("one_a", ""))
		q := call.wantQuestions(t, everyQuestion[2])
		if got := other.post(id, `{"jsonrpc":"2.0","id":`+q[0]+`,"result":`+large+`}`); got.status != 413 {
			t.Errorf("%d %s", got.status, got.body)
		}
		call.wantNext(t, append(event("", `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"the client's answer is too large"}}`), "closed"))
		call = g.begin(id, toolCall("one_a", ""))
		g.respond(id, call.wantQuestions(t, everyQuestion[2])[0], `"result":`+large)
		call.wantNext(t, append(event("", `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`), "closed"))
	})
}

// hanging has tools/call wait and tells on the channel when the client has closed
// the exchange.
func hanging(s *rawserver.Server) <-chan struct{} {
	closed := make(chan struct{}, 10)
	s.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
		if method == "tools/call" {
			<-r.Context().Done()
			closed <- struct{}{}
		}
		return method == "tools/call"
	}
	return closed
}

func TestCallEnds(t *testing.T) {
	t.Parallel()
	cancelled := func(g *gateway, id, call string) {
		if got := g.post(id, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+call+`}}`); got.status != 202 {
			g.t.Errorf("cancelled: %d", got.status)
		}
	}
	ended := func(g *gateway, id string) {
		if got := g.request("DELETE", "", map[string]string{"Mcp-Session-Id": id}); got.status != 204 {
			g.t.Errorf("DELETE: %d", got.status)
		}
	}
	for name, end := range map[string]func(here, other *gateway, id string, call *events) (after time.Duration){
		"cancelled here":           func(g, _ *gateway, id string, _ *events) time.Duration { cancelled(g, id, "7"); return 0 },
		"cancelled elsewhere":      func(_, g *gateway, id string, _ *events) time.Duration { cancelled(g, id, "7"); return 0 },
		"session ended":            func(g, _ *gateway, id string, _ *events) time.Duration { ended(g, id); return 0 },
		"session ended at another": func(_, g *gateway, id string, _ *events) time.Duration { ended(g, id); return 0 },
		"other call cancelled": func(g, _ *gateway, id string, _ *events) time.Duration {
			cancelled(g, id, `"7"`)
			cancelled(g, g.open(), `7`)
			return time.Minute
		},
		"client has left": func(_, _ *gateway, _ string, call *events) time.Duration { call.close(); return time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one := modernOne("a")
				closed := hanging(one)
				c := config("one")
				c.Servers[0].CallTimeout = gatewayconfig.Duration(time.Minute)
				g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
				other := newGateway(t, setup{config: c, store: g.store}, map[string]http.Handler{"one": one})
				id := g.open()
				call := g.begin(id, toolCall("one_a", ""))
				synctest.Wait()
				began := time.Now()
				after := end(g, other, id, call)
				<-closed
				if took := time.Since(began); took != after {
					t.Errorf("the exchange is closed after %v", took)
				}
				if after == 0 {
					call.wantNext(t, []string{"200 text/event-stream", "closed"})
				}
			})
		})
	}
}

func TestLeftClientIsNotAwaitedForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		closed := hanging(one)
		g, _ := replicas(t, one) // calls have no timeout
		call := g.begin(g.open(), toolCall("one_a", ""))
		time.Sleep(3 * time.Hour) // longer than a session lives that nobody uses
		if got := call.drain(); len(got) < 100 {
			t.Errorf("%q", got)
		}
		call.close()
		began := time.Now()
		<-closed
		if took := time.Since(began); took != longestReplay {
			t.Errorf("the exchange is closed after %v", took)
		}
	})
}
