package filter

import (
	"strings"
	"testing"
)

const tasksCapability = `"io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}`

// statelessCall is a request that was forwarded, of a client with the tasks
// extension if tasks is set.
func statelessCall(t *testing.T, method, params, name string, tasks bool) *Stream {
	t.Helper()
	body := stateless(method, params)
	if tasks {
		body = strings.Replace(body, `"io.modelcontextprotocol/clientCapabilities":{}`, tasksCapability, 1)
	}
	s, d := post(erasGateway(t), body, statelessHeaders(method, name)...)
	if s.phase != phaseServer {
		t.Fatalf("not forwarded: %s", d.Body)
	}
	return s
}

func TestStatelessJSONAnswer(t *testing.T) {
	t.Parallel()
	const created = `{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"7"}}`
	for _, tt := range []struct {
		name, method, params, header string
		tasks                        bool
		in, want                     string
	}{
		{"PlainTool", "tools/call", `"name":"both_add"`, "both_add", false, created, created},
		{"Links", "tools/call", `"name":"now_add"`, "now_add", false, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"uri":"a:b"}],"taskId":"7"}}`, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"uri":"now+a:b"}],"taskId":"7"}}`},
		{"Created", "tools/call", `"name":"both_add"`, "both_add", true, created, strings.Replace(created, `"7"`, `"both+7"`, 1)},
		{"Get", "tasks/get", `"taskId":"both+7"`, "both+7", false, `{"jsonrpc":"2.0","id":1,"result":{"taskId":"7"}}`, `{"jsonrpc":"2.0","id":1,"result":{"taskId":"both+7"}}`},
		{"PromptsAreNoTasks", "prompts/get", `"name":"now_brief"`, "now_brief", true, created, created},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := statelessCall(t, tt.method, tt.params, tt.header, tt.tasks)
			if tt.in != tt.want && !s.d.PlainUnless.In([]byte(tt.in)) {
				t.Errorf("a host lets it go that looks for %b", s.d.PlainUnless)
			}
			d := s.ResponseHeaders(headersOf("200", "application/json"), false)
			if d.Action != NeedBody {
				t.Fatalf("%+v", d)
			}
			got := tt.in
			if d = s.ResponseBody([]byte(tt.in), true); d.Replace {
				got = string(d.Body)
			}
			if got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestStatelessEvents(t *testing.T) {
	t.Parallel()
	s := statelessCall(t, "tools/call", `"name":"now_add"`, "now_add", true)
	if d := s.ResponseHeaders(headersOf("200", "text/event-stream"), false); d.Action != Pass || d.Done {
		t.Fatalf("%+v", d)
	}
	const in = ": keep\n\n" +
		`id: 7` + "\n" + `data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":3}}` + "\n\n" +
		`data: {"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{}}` + "\n\n" +
		`data: {"jsonrpc":"2.0","id":2,"result":{}}` + "\n\n" +
		`data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\n\n" +
		`data: {"jsonrpc":"2.0","id":1,"result":{"taskId":"t","content":[{"uri":"a:b"}]}}` + "\n\n"
	const want = ": keep\n\n" +
		`id: 7` + "\n" + `data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":3}}` + "\n\n" +
		`data: {"jsonrpc":"2.0","id":1,"result":{"taskId":"now+t","content":[{"uri":"now+a:b"}]}}` + "\n\n"
	if d := s.ResponseBody([]byte(in), true); string(d.Body) != want {
		t.Errorf("\n got %q\nwant %q", d.Body, want)
	}
}

// A stateless client cannot take a stream up again: it is told that no answer comes.
func TestStatelessEventsWithoutAnswer(t *testing.T) {
	t.Parallel()
	const progress = `data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":3}}` + "\n\n"
	const told = "event: message\ndata: " + `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"server now ended without an answer"}}` + "\n\n"
	const answer = `data: {"jsonrpc":"2.0","id":1,"result":{}}` + "\n\n"
	for name, tt := range map[string]struct{ in, want string }{
		"Nothing":   {"", told},
		"Progress":  {progress, progress + told},
		"OfAnother": {strings.Replace(answer, `"id":1`, `"id":2`, 1), told},
		"Cut":       {strings.TrimSuffix(answer, "\n\n"), told},
		"Answered":  {progress + answer, progress + answer},
		"After":     {answer + progress, answer + progress},
	} {
		s := statelessCall(t, "tools/call", `"name":"now_add"`, "now_add", false)
		s.ResponseHeaders(headersOf("200", "text/event-stream"), false)
		got := string(s.ResponseBody([]byte(tt.in), false).Body)
		if d := s.ResponseBody(nil, true); !d.Replace {
			t.Errorf("%s: %+v", name, d)
		} else {
			got += string(d.Body)
		}
		if got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", name, got, tt.want)
		}
	}
}

func TestStatelessErrorAnswer(t *testing.T) {
	t.Parallel()
	const mine = `{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"x","data":{"uri":"a:b"}}}`
	for _, tt := range []struct {
		name, status, contentType, body string
		want                            string // the body, or a part of the gateway's error
		wantStatus                      string // empty: as it is
	}{
		{"BadRequest", "400", "application/json", mine, strings.Replace(mine, "a:b", "now+a:b", 1), ""},
		{"NotFound", "404", "application/json", mine, strings.Replace(mine, "a:b", "now+a:b", 1), ""},
		{"NoID", "400", "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"x"}}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"x"}}`, ""},
		{"IDLeftOut", "400", "application/json", ` {"jsonrpc":"2.0","error":{"code":-32022,"message":"x","data":{"uri":"a:b"}}}`, `{"id":1,"jsonrpc":"2.0","error":{"code":-32022,"message":"x","data":{"uri":"now+a:b"}}}`, ""},
		{"IDLeftOutNotFound", "404", "application/json", `{"jsonrpc":"2.0","error":{"code":-32601,"message":"x"}}`, `{"id":1,"jsonrpc":"2.0","error":{"code":-32601,"message":"x"}}`, ""},
		{"IDLeftOutInternal", "500", "application/json", `{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}`, "HTTP status 500", "200"},
		{"NoMembers", "400", "application/json", `{}`, "HTTP status 400", "200"},
		{"Array", "400", "application/json", `[]`, "HTTP status 400", "200"},
		{"Broken", "400", "application/json", `{"jsonrpc":"2.0","error":{"code":-32022`, "HTTP status 400", "200"},
		{"Internal", "500", "application/json", mine, strings.Replace(mine, "a:b", "now+a:b", 1), "200"},
		{"InternalWithoutID", "500", "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}`, "HTTP status 500", "200"},
		{"RefusedWithoutID", "403", "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}`, "refused the gateway's credentials", "200"},
		{"TooManyWithoutID", "429", "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}`, "HTTP status 429", "200"},
		{"OfAnotherRequest", "400", "application/json", strings.Replace(mine, `"id":1`, `"id":2`, 1), "HTTP status 400", "200"},
		{"NoJSONRPC", "404", "application/json", `{"detail":"not here"}`, "HTTP status 404", "200"},
		{"Text", "404", "text/plain", "x", "HTTP status 404", "200"},
		{"Down", "503", "text/plain", "x", "could not be reached", "200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := statelessCall(t, "tools/call", `"name":"now_add"`, "now_add", false)
			d := s.ResponseHeaders(headersOf(tt.status, tt.contentType), false)
			if d.Action == NeedBody {
				d = s.ResponseBody([]byte(tt.body), true)
			}
			body, status := tt.body, edits(d)[":status"]
			if d.Replace || d.Action == Reply {
				body = string(d.Body)
			}
			if d.Action == Reply {
				status = "200"
				if d.Status != 200 || !strings.Contains(body, "server now") || !strings.Contains(body, "-32603") {
					t.Errorf("%d %s", d.Status, body)
				}
			}
			if status != tt.wantStatus || d.Action == Pass && body != tt.want || !strings.Contains(body, tt.want) {
				t.Errorf("status %q, body %s", status, body)
			}
		})
	}
}
