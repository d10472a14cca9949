package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"mcp-gateway/broker/requeststate"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

func messageRows() []row {
	return []row{
		{11, "Ids of sessions cannot be guessed or chosen, and end for good",
			"2025-11-25 basic/transports, Session Management; security best practices, Session Hijacking", sessionIDs},
		{12, "Headers that repeat the body say the same, or nobody is asked",
			"basic/transports/streamable-http, Server Validation", agreement},
		{13, "A server sees the message that was decided on, in headers and body",
			"basic/transports/streamable-http, Server Validation; RFC 8259 section 4", oneMessage},
		{14, "Mirrored headers decide nothing where servers do not check them",
			"basic/transports/streamable-http, Earlier Revisions", oldRevisions},
		{15, "What is private to one client is kept for no other",
			"server/utilities/caching, Cache Scope", private},
		{16, "A request state opens for its caller, call and time only; a server's passes as it is",
			"basic/patterns/mrtr, requestState", requestStates},
		{17, "A client is asked only for what it has declared",
			"basic/patterns/mrtr, inputRequests", undeclared},
	}
}

func sessionIDs(s *stage) {
	w := s.plain()
	seen := map[string]bool{}
	shape := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // 256 bits
	for range 10 {
		id := harness.Connect(s.T, w.URL).Session()
		if !shape.MatchString(id) || seen[id] {
			s.Errorf("id %q", id)
		}
		seen[id] = true
	}
	w.forget()
	const open = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
	victim := harness.Connect(s.T, w.URL)
	for _, chosen := range []string{strings.Repeat("A", 43), "1", "admin", victim.Session(), strings.Repeat("x", 2000)} {
		c := harness.NewClient(s.T, w.URL).With(harness.HeaderSession + ": " + chosen)
		if chosen != victim.Session() {
			s.wantStatus("not opened", c.Post(call("1", "b_tool")), http.StatusNotFound)
		}
		r := c.Post(open)
		got := r.Header.Get(harness.HeaderSession)
		if r.Status != http.StatusOK || got == chosen || !shape.MatchString(got) || seen[got] {
			s.Errorf("initialize with the id %q: %q: %s", chosen, got, r)
		}
		if chosen != victim.Session() {
			s.wantStatus("opened under another id", c.Post(call("1", "b_tool")), http.StatusNotFound)
		}
	}
	w.untouched(s.T)
	victim.Tool("b_tool", "")
	if r := victim.Do(http.MethodDelete, ""); r.Status != http.StatusNoContent {
		s.Error(r)
	}
	w.forget()
	for what, r := range map[string]harness.Response{
		"call": victim.Post(call("1", "b_tool")), "ping": victim.Post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`),
		"stream": victim.With("Accept: text/event-stream").Do(http.MethodGet, ""), "DELETE": victim.Do(http.MethodDelete, ""),
	} {
		s.wantStatus(what+" after the end", r, http.StatusNotFound)
	}
	w.untouched(s.T)
	ada := s.as("ada")
	s.wantStatus("DELETE of another's", s.as("bob").With(harness.HeaderSession+": "+ada.Session()).Do(http.MethodDelete, ""), http.StatusNotFound)
	if r := ada.Post(call("1", "b_tool")); !served(r) {
		s.Error(r)
	}
}

func agreement(s *stage) {
	w := s.modern()
	w.b.SetPages(mcpserver.ToolsList, `{"name":"tool","inputSchema":{"type":"object"}},{"name":"param","inputSchema":{"type":"object","properties":{"city":{"type":"string","x-mcp-header":"City"}}}}`)
	w.b.Notify("notifications/tools/list_changed")
	c := harness.NewClient(s.T, w.URL)
	param := func(header string) harness.Response {
		return modern(c, "tools/call", "b_param", header).Post(modernBody("tools/call", `"name":"b_param","arguments":{"city":"Rome"}`))
	}
	harness.Eventually(s.T, "the tool", func() bool { return strings.Contains(param("Mcp-Param-City: Rome").Body, `"b:param"`) })
	w.forget()
	good := modernBody("tools/call", `"name":"a_tool"`)
	twice := modern(c, "tools/call", "a_tool")
	twice.Header["Mcp-Method"] = []string{"tools/call", "tools/call"}
	for what, r := range map[string]harness.Response{
		"revision":             modern(c, "tools/call", "a_tool", harness.HeaderRevision+": 2025-11-25").Post(good),
		"no revision":          modern(c, "tools/call", "a_tool", harness.HeaderRevision+":").Post(good),
		"method":               modern(c, "prompts/get", "a_tool").Post(good),
		"method in case":       modern(c, "Tools/Call", "a_tool").Post(good),
		"no method":            modern(c, "", "a_tool").Post(good),
		"method twice":         twice.Post(good),
		"name":                 modern(c, "tools/call", "b_tool").Post(good),
		"name in case":         modern(c, "tools/call", "A_tool").Post(good),
		"no name":              modern(c, "tools/call", "").Post(good),
		"name of the server":   modern(c, "tools/call", "tool").Post(good),
		"broken base64":        modern(c, "tools/call", "=?base64?YV90b29s=?=").Post(good),
		"base64 without end":   modern(c, "tools/call", "=?base64?YV90b29s").Post(good),
		"base64 in capitals":   modern(c, "tools/call", "=?BASE64?YV90b29s?=").Post(good),
		"base64 of no text":    modern(c, "tools/call", "=?base64?/w==?=").Post(good),
		"loose base64":         modern(c, "tools/call", "=?base64?YV90b29=?=").Post(good),
		"argument":             param("Mcp-Param-City: Paris"),
		"no argument's header": param("Mcp-Param-Other: x"),
		"broken argument":      param("Mcp-Param-City: =?base64?Um9tZQ=?="),
	} {
		s.wantCode(what, r, http.StatusBadRequest, -32020)
	}
	w.untouched(s.T)
	if r := modern(c, "tools/call", "=?base64?YV90b29s?=").Post(good); !strings.Contains(r.Body, `"a:tool"`) {
		s.Errorf("in base64: %s", r)
	}
}

func oneMessage(s *stage) {
	w := s.modern()
	c := harness.NewClient(s.T, w.URL)
	w.forget()
	if r := modernCall(c, "a_tool"); !strings.Contains(r.Body, `"a:tool"`) {
		s.Fatal(r)
	}
	got := w.a.Last("tools/call")
	if want := modernBody("tools/call", `"name":"tool"`); string(got.Body) != want || got.Header.Get("Mcp-Name") != "tool" || got.Header.Get("Mcp-Method") != "tools/call" {
		s.Errorf("the server received %v %s", got.Header, got.Body)
	}
	w.forget()
	twice := modern(c, "tools/call", "a_tool")
	twice.Header["Mcp-Name"] = []string{"a_tool", "a_tool"}
	s.wantCode("two names", twice.Post(modernBody("tools/call", `"name":"a_tool"`)), http.StatusBadRequest, -32020)
	session := harness.Connect(s.T, w.URL)
	for _, params := range []string{
		`"name":"a_tool","name":"b_tool"`, `"name":"b_tool","name":"a_tool"`, `"name":"a_tool","Name":"b_tool"`, `"NAME":"b_tool","name":"a_tool"`,
		`"name":"a_tool","n\u0061me":"b_tool"`, `"name":"a_tool","arguments":{},"Arguments":{"x":1}`, `"name":"a_tool","_Meta":{}`,
	} {
		s.wantCode(params, modern(c, "tools/call", "a_tool").Post(modernBody("tools/call", params)), http.StatusBadRequest, -32600)
		s.wantCode(params, session.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{`+params+`}}`), http.StatusBadRequest, -32600)
	}
	for _, member := range []string{`"Method":"ping"`, `"method":"ping"`, `"PARAMS":{"name":"b_tool"}`, `"param\u017f":{"name":"b_tool"}`, `"params":{"name":"b_tool"}`, `"ID":2`} {
		body := modernBody("tools/call", `"name":"a_tool"`)
		s.wantCode(member, modern(c, "tools/call", "a_tool").Post(body[:len(body)-1]+","+member+"}"), http.StatusBadRequest, -32600)
	}
	w.untouched(s.T)
}

func oldRevisions(s *stage) {
	w := s.plain()
	c := harness.Connect(s.T, w.URL)
	for _, revision := range []string{"2025-11-25", "2025-06-18", "2025-03-26"} {
		w.forget()
		r := c.With(harness.HeaderRevision+": "+revision, "Mcp-Method: prompts/get", "Mcp-Name: a_tool").Post(call("1", "b_tool"))
		if !served(r) || len(calls(w.a)) != 0 {
			s.Errorf("%s: %s", revision, r)
			continue
		}
		for _, name := range []string{"Mcp-Name", "Mcp-Method"} {
			if got := w.b.Last("tools/call").Header.Get(name); got != "" {
				s.Errorf("%s: the server received %s: %s", revision, name, got)
			}
		}
	}
	w.forget()
	r := c.With(harness.HeaderRevision+":", "Mcp-Name: a_tool").Post(call("1", "b_tool"))
	if r.Status != http.StatusBadRequest {
		s.Error(r)
	}
	w.untouched(s.T)
}

func private(s *stage) {
	w := s.guarded()
	var reads atomic.Int64
	w.a.Handle("resources/read", "", func(x *mcpserver.Exchange) {
		x.Result(fmt.Sprintf(`{"contents":[{"uri":"test://resource","text":"read %d"}],"resultType":"complete","ttlMs":60000,"cacheScope":"private"}`, reads.Add(1)))
	})
	w.forget()
	for i, subject := range []string{"ada", "bob", "ada"} {
		c := harness.NewClient(s.T, w.URL).With(s.token(subject, nil))
		r := modern(c, "resources/read", "a+test://resource").Post(modernBody("resources/read", `"uri":"a+test://resource"`))
		if !strings.Contains(r.Body, fmt.Sprintf("read %d", i+1)) || !strings.Contains(r.Body, `"cacheScope":"private"`) {
			s.Errorf("%s: %s", subject, r)
		}
	}
	if got := len(w.a.Received("resources/read")); got != 3 {
		s.Errorf("%d reads at the server, want 3", got)
	}
	// A list is as private as its most private part: a server with sessions says
	// nothing of it.
	c := harness.NewClient(s.T, w.URL).With(s.token("ada", nil))
	if r := modern(c, "tools/list", "").Post(modernBody("tools/list", "")); !strings.Contains(r.Body, `"cacheScope":"private"`) {
		s.Errorf("list: %s", r)
	}
}

func requestStates(s *stage) {
	w := s.guarded()
	answers := make(chan string, 8)
	w.b.Handle("", "", func(x *mcpserver.Exchange) {
		answers <- string(x.Body)
		x.Respond(http.StatusAccepted, "", nil)
	})
	w.b.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		stream := x.Stream()
		stream.Send(`{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object","properties":{}}}}`)
		select {
		case <-answers:
			stream.Send(x.ResultMessage(`{"content":[{"type":"text","text":"b:tool"}]}`))
		case <-x.Context().Done():
		}
	})
	defer w.b.Handle("tools/call", "tool", func(x *mcpserver.Exchange) { x.Result(`{"content":[{"type":"text","text":"b:tool"}]}`) })
	ada := harness.NewClient(s.T, w.URL).With(s.token("ada", nil))
	bob := harness.NewClient(s.T, w.URL).With(s.token("bob", nil))
	send := func(c *harness.Client, name, params string) harness.Response {
		return modern(c, "tools/call", name).Post(modernBody("tools/call", `"name":"`+name+`"`+params, `"elicitation":{}`))
	}
	asked := send(ada, "b_tool", `,"arguments":{"x":1}`)
	var input struct {
		Result struct {
			RequestState  string
			InputRequests map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(asked.Message()), &input); err != nil || input.Result.RequestState == "" || len(input.Result.InputRequests) != 1 {
		s.Fatalf("%v: %s", err, asked)
	}
	var key string
	for key = range input.Result.InputRequests {
	}
	back := func(state string) string {
		return fmt.Sprintf(`,"requestState":%q,"inputResponses":{%q:{"action":"accept","content":{}}}`, state, key)
	}
	state := input.Result.RequestState
	w.forget()
	flipped := []byte(state)
	flipped[len(flipped)/2] ^= 1
	for what, r := range map[string]harness.Response{
		"another caller":     send(bob, "b_tool", back(state)+`,"arguments":{"x":1}`),
		"other arguments":    send(ada, "b_tool", back(state)+`,"arguments":{"x":2}`),
		"no arguments":       send(ada, "b_tool", back(state)),
		"changed":            send(ada, "b_tool", back(string(flipped))+`,"arguments":{"x":1}`),
		"cut":                send(ada, "b_tool", back(state[:len(state)-2])+`,"arguments":{"x":1}`),
		"longer":             send(ada, "b_tool", back(state+"AAAA")+`,"arguments":{"x":1}`),
		"made up":            send(ada, "b_tool", back("AAAA")+`,"arguments":{"x":1}`),
		"of another gateway": send(ada, "b_tool", back(requeststate.New("x").Seal(requeststate.State{Expires: time.Now().Add(time.Hour).Unix()}, requeststate.Binding{}))+`,"arguments":{"x":1}`),
		"not even a string":  send(ada, "b_tool", `,"requestState":1,"arguments":{"x":1}`),
	} {
		s.wantCode(what, r, http.StatusOK, -32602)
	}
	prompt := modern(ada, "prompts/get", "b_prompt").Post(modernBody("prompts/get", `"name":"b_prompt"`+back(state), `"elicitation":{}`))
	s.wantCode("another method", prompt, http.StatusOK, -32602)
	w.untouched(s.T)
	if len(answers) > 0 {
		s.Errorf("the server was answered %s", <-answers)
	}
	// Ten minutes are too long for this test; the same code, another clock.
	sealer := requeststate.New("x")
	old := sealer.Seal(requeststate.State{Expires: 100}, requeststate.Binding{})
	if _, err := sealer.Open(old, requeststate.Binding{}, time.Unix(101, 0)); err == nil {
		s.Error("a state opens when its time is over")
	}
	if r := send(ada, "b_tool", back(state)+`,"arguments":{"x":1}`); !strings.Contains(r.Message(), `"b:tool"`) {
		s.Errorf("the right one: %s", r)
	}

	const own = `a server's own = + / \u0000 \"state\"`
	w.a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
		x.Result(`{"resultType":"input_required","requestState":"` + own + `","inputRequests":{"k":{"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object","properties":{}}}}}}`)
	})
	defer w.a.Handle("tools/call", "tool", nil)
	if r := send(ada, "a_tool", ""); !strings.Contains(r.Body, `"requestState":"`+own+`"`) {
		s.Errorf("the server's own: %s", r)
	}
	send(ada, "a_tool", `,"requestState":"`+own+`","inputResponses":{}`)
	if got := w.a.Last("tools/call"); !strings.Contains(string(got.Body), `"requestState":"`+own+`"`) {
		s.Errorf("the server got back %s", got.Body)
	}
}

func undeclared(s *stage) {
	w := s.modern()
	requests := map[string]string{
		"sampling":    `{"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}`,
		"elicitation": `{"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object","properties":{}}}}`,
		"roots":       `{"method":"roots/list"}`,
	}
	c := harness.NewClient(s.T, w.URL)
	defer w.a.Handle("tools/call", "tool", nil)
	for kind, request := range requests {
		for framing, answer := range map[string]func(*mcpserver.Exchange, string){
			"JSON":   func(x *mcpserver.Exchange, result string) { x.Result(result) },
			"events": func(x *mcpserver.Exchange, result string) { x.Stream().Send(x.ResultMessage(result)) },
		} {
			for spelling, key := range map[string]string{"as it is": "inputRequests", "escaped": `inputRequ\u0065sts`} {
				w.a.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
					answer(x, `{"resultType":"input_required","requestState":"s","`+key+`":{"k":`+request+`}}`)
				})
				what := kind + " as " + framing + ", " + spelling
				for _, declared := range []string{"", `"experimental":{"` + kind + `":{}}`, `"` + map[string]string{"sampling": "elicitation", "elicitation": "roots", "roots": "sampling"}[kind] + `":{}`} {
					r := modernCall(c, "a_tool", declared)
					if reply, err := r.Reply(); err != nil || reply.Error == nil || strings.Contains(r.Body, "k\":") {
						s.Errorf("%s, declared %s: %s", what, declared, r)
					}
				}
				if r := modernCall(c, "a_tool", `"`+kind+`":{}`); !strings.Contains(r.Body, request) {
					s.Errorf("%s, declared: %s", what, r)
				}
			}
		}
	}
}
