package filter

import (
	"maps"
	"strings"
	"testing"

	"mcp-gateway/internal/fromserver"
)

func headersOf(status, contentType string) []Header {
	return []Header{{":status", status}, {"content-type", contentType}}
}

func TestAnswersOfServers(t *testing.T) {
	t.Parallel()
	const mine = `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"bad city","data":{"x":1.0}}}`
	tests := []struct {
		name, status, contentType, body string
		want                            string // the whole answer, or a part of the error
	}{
		{"JSON", "200", "application/json", `{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":1,"result":{}}`},
		{"ErrorWithStatusOfItsOwn", "400", "application/json; charset=utf-8", mine, mine},
		{"ErrorForAnotherRequest", "400", "application/json", strings.Replace(mine, `"id":1`, `"id":null`, 1), "HTTP status 400"},
		{"ErrorThatIsNone", "500", "application/json", `{"stack":"at 10.1.1.1"}`, "HTTP status 500"},
		{"PlainText", "500", "text/plain", "at 10.1.1.1", "HTTP status 500"},
		{"Down", "503", "text/plain", "upstream connect error 10.1.1.1", "could not be reached"},
		{"Timeout", "504", "text/plain", "", "did not answer in time"},
		{"Credentials", "401", "text/html", "", "refused the gateway's credentials"},
		{"Redirect", "302", "text/html", "", "HTTP status 302"},
		{"Accepted", "202", "", "", "HTTP status 202"},
		{"WrongType", "200", "text/html", "<html>", "HTTP status 200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := post(newGateway(t), call("search"))
			d := s.ResponseHeaders(headersOf(tt.status, tt.contentType), tt.body == "")
			body := tt.body
			if d.Action == NeedBody {
				d = s.ResponseBody([]byte(tt.body), true)
			}
			if d.Replace || d.Action == Reply {
				body = string(d.Body)
			}
			if d.Action == Reply && (d.Status != 200 || !strings.Contains(body, "server docs") || !strings.HasPrefix(body, `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,`)) {
				t.Errorf("status %d, body %s", d.Status, body)
			}
			if !strings.Contains(body, tt.want) || d.Action == Reply == (tt.want == tt.body) {
				t.Errorf("got %s, want %s", body, tt.want)
			}
			if strings.Contains(body, "10.1.1.1") {
				t.Errorf("the answer names an address: %s", body)
			}
			if tt.status != "200" && d.Action == Pass && edits(d)[":status"] != "200" {
				t.Errorf("status stays %s: %v", tt.status, edits(d))
			}
		})
	}
}

func TestBrokerAway(t *testing.T) {
	t.Parallel()
	s, _ := post(newGateway(t), `{"jsonrpc":"2.0","id":5,"method":"tools/list"}`)
	if d := s.ResponseHeaders(headersOf("503", "text/plain"), false); d.Status != 200 || !strings.HasPrefix(string(d.Body), `{"jsonrpc":"2.0","id":5,"error":{"code":-32603,`) {
		t.Errorf("list: %d %s", d.Status, d.Body)
	}
	s, _ = post(newGateway(t), `{"jsonrpc":"2.0","id":5,"method":"initialize"}`)
	if d := s.ResponseHeaders(headersOf("503", "text/plain"), false); d.Status != 503 || edits(d)["retry-after"] == "" {
		t.Errorf("initialize: %d %v", d.Status, edits(d))
	}
	s, _ = post(newGateway(t), `{"jsonrpc":"2.0","id":5,"method":"initialize"}`)
	if d := s.ResponseHeaders(headersOf("503", "application/json"), false); d.Action != Pass {
		t.Errorf("the broker's own error is replaced: %+v", d)
	}
}

func TestLabelsInEventsAsTheyCome(t *testing.T) {
	t.Parallel()
	s, d := post(newGateway(t), call("search"), "accept-encoding", "gzip")
	if d.Plain || d.PlainJSON || edits(d)["accept-encoding"] != "(removed)" {
		t.Fatal("an answer that needs labels is called plain, or may come compressed")
	}
	if d = s.ResponseHeaders(headersOf("200", "text/event-stream"), false); d.Action != Pass || d.Done {
		t.Fatalf("%+v", d)
	}
	var got strings.Builder
	for _, chunk := range []string{": hi\n\nid: 7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\r\n\r", "\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"uri\":\"a", ":b\"}]}}\n\n"} {
		d = s.ResponseBody([]byte(chunk), false)
		if !d.Replace {
			t.Fatalf("%q passes as it is", chunk)
		}
		got.Write(d.Body)
		if strings.HasPrefix(chunk, ": hi") && !strings.Contains(got.String(), "progress") {
			t.Error("an event is held back")
		}
	}
	if want := "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"uri\":\"docs+a:b\"}]}}\n\n"; !strings.HasSuffix(got.String(), want) || !strings.Contains(got.String(), sealed("s1", "id: docs~7\n")) {
		t.Errorf("got %q", got.String())
	}
}

func TestLargeAnswerLeavesAsItIs(t *testing.T) {
	t.Parallel()
	s, _ := post(newGateway(t), call("search"))
	if d := s.ResponseHeaders(append(headersOf("200", "application/json"), Header{"content-length", "4097"}), false); d.Action != Pass || !d.Done {
		t.Errorf("announced: %+v", d)
	}
	s, _ = post(newGateway(t), call("search"))
	s.ResponseHeaders(headersOf("200", "application/json"), false)
	if d := s.AnswerTooLarge(); d.Action != Pass || !d.Done || d.Replace {
		t.Errorf("found out: %+v", d)
	}
	s, _ = post(newGateway(t), call("search"))
	s.ResponseHeaders(headersOf("500", "application/json"), false)
	if d := s.AnswerTooLarge(); d.Action != Reply {
		t.Errorf("an error: %+v", d)
	}
}

// A server without resources is looked into as well, but for its JSON answers:
// events may be requests.
func TestEventsOfAnyServerAreLookedInto(t *testing.T) {
	t.Parallel()
	s, d := post(newGateway(t), call("weather_get_weather"), "accept-encoding", "gzip")
	if d.Plain || !d.PlainJSON || edits(d)["accept-encoding"] != "(removed)" {
		t.Fatalf("%+v", d)
	}
	if d = s.ResponseHeaders(append(headersOf("200", "text/event-stream"), Header{"content-length", "9"}), false); d.Action != Pass || d.Done || edits(d)["content-length"] != "(removed)" {
		t.Fatalf("%+v", d)
	}
	const in = "retry: 10\n\nid: p\ndata: \n\n: c\n\nid:\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"contents\":[{\"uri\":\"a:b\"}]}}\n\n"
	want := sealed("s1", "retry: 10\n\nid: weather~p\ndata: \n\n: c\n\nid: \ndata: {\"jsonrpc\":\"2.0\",\"id\":\"weather~1\",\"method\":\"roots/list\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"contents\":[{\"uri\":\"a:b\"}]}}\n\n")
	if d = s.ResponseBody([]byte(in), true); !d.Replace || !d.Done || string(d.Body) != want {
		t.Errorf("%+v\n got %q\nwant %q", d, d.Body, want)
	}
}

func TestCodedAnswerLeavesAsItIs(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"application/json", "text/event-stream"} {
		for coding, looked := range map[string]bool{"gzip": false, "Identity": true} {
			s, _ := post(newGateway(t), call("search"))
			if d := s.ResponseHeaders(append(headersOf("200", contentType), Header{"content-encoding", coding}), false); d.Done == looked {
				t.Errorf("%s, %s: %+v", contentType, coding, d)
			}
		}
	}
}

// TestPlainUnless is what hosts may let go without a word of the core: nothing that
// it would change.
func TestPlainUnless(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tool  string
		words fromserver.Words
	}{
		"a server with resources":    {"search", fromserver.WordMethod | fromserver.WordURI | fromserver.WordElicitations},
		"a server without resources": {"weather_get_weather", 0},
	} {
		_, d := post(newGateway(t), call(test.tool))
		if d.Action != Pass || d.Plain || d.PlainJSON != (test.words == 0) || d.PlainUnless != test.words {
			t.Errorf("%s: %+v", name, d)
		}
	}
	_, d := post(erasGateway(t), stateless("tools/call", `"name":"both_add"`), statelessHeaders("tools/call", "both_add")...)
	if want := fromserver.WordInputs | fromserver.WordEscape; d.PlainJSON || d.PlainUnless&want != want {
		t.Errorf("a stateless server: %+v", d)
	}
	large := strings.Replace(call("weather_get_weather"), `"arguments":{`, `"arguments":{"x":"`+strings.Repeat("x", keptBody)+`",`, 1)
	if _, d = post(newGateway(t), large); d.PlainJSON || d.PlainUnless != 0 {
		t.Errorf("a copy of %d bytes is kept until the answer has left: %+v", len(large), d)
	}
}

// While an answer is held back, and while it is asked for again, the host knows
// what the client gets if the answer breaks off.
func TestPending(t *testing.T) {
	t.Parallel()
	const want = `{"jsonrpc":"2.0","id":"x","error":{"code":-32603,"message":"server docs broke off its answer"}}`
	for status, action := range map[string]Action{"200": NeedBody, "500": NeedBody, "404": Ask} {
		s, d := post(newGateway(t), `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"search"}}`)
		if got, server := s.Pending(); d.PlainUnless == 0 || string(got) != want || server != "docs" {
			t.Fatalf("while the host searches the answer: %s, %+v", got, d)
		}
		d = s.ResponseHeaders([]Header{{Name: ":status", Value: status}, {Name: "content-type", Value: "application/json"}}, false)
		if got, _ := s.Pending(); d.Action != action || string(got) != want {
			t.Errorf("status %s: action %d, %s", status, d.Action, got)
		}
	}
	if s, _ := post(newGateway(t), sealed("s1", `{"jsonrpc":"2.0","id":"docs~1","result":{}}`)); s.phase != phaseServer {
		t.Fatal("an answer to docs has not gone on")
	} else if got, _ := s.Pending(); got != nil {
		t.Errorf("nobody waits for an answer to an answer: %s", got)
	}
}

// What is the gateway's of a server's answer does not leave.
func TestSecretsOfServers(t *testing.T) {
	t.Parallel()
	secret := func(status, kind string) []Header {
		return append(headersOf(status, kind), Header{"set-cookie", "a=b"}, Header{"Mcp-Session-Id", "x"},
			Header{"mcp-session-id", "s"}, Header{"www-authenticate", "Bearer"}, Header{"set-cookie", "c=d"})
	}
	want := map[string]string{"mcp-session-id": "(removed)", "set-cookie": "(removed)", "www-authenticate": "(removed)"}
	bare := func(d *Decision) bool {
		e := edits(d)
		delete(e, ":status")
		return d.Action == Pass && maps.Equal(e, want)
	}
	for name, g := range map[string]*Gateway{"own": newGateway(t), "shared": newShare(t, sharedConfig())} {
		s, _ := post(g, call("weather_get_weather"))
		if d := s.ResponseHeaders(secret("200", "application/json"), false); !bare(d) {
			t.Errorf("%s, an answer in JSON: action %v, edits %v", name, d.Action, edits(d))
		}
		s, _ = post(g, call("weather_get_weather"))
		if d := s.ResponseHeaders(secret("200", "text/event-stream"), false); !bare(d) {
			t.Errorf("%s, events: action %v, edits %v", name, d.Action, edits(d))
		}
		if d := s.ResponseBody([]byte("data: {}\n\n"), false); len(d.Edits) > 0 {
			t.Errorf("%s, events: edits %v of headers that have gone", name, edits(d))
		}
		s, _ = post(g, call("weather_get_weather"))
		if d := s.ResponseHeaders(secret("500", "application/json"), false); d.Action != NeedBody || len(d.Edits) > 0 {
			t.Fatalf("%s, an error with a body: action %v, edits %v", name, d.Action, edits(d))
		}
		if d := s.ResponseBody([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}`), true); !bare(d) {
			t.Errorf("%s, what was held back: action %v, edits %v", name, d.Action, edits(d))
		}
		s.Reset(g)
		if d := s.ResponseHeaders(headersOf("200", "application/json"), false); len(d.Edits) > 0 {
			t.Errorf("%s: those of the stream before: %v", name, edits(d))
		}
		// The broker's own session is the client's.
		s, d := post(g, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		if d.Action != Pass || !d.Plain {
			t.Fatalf("%s, for the broker: action %v", name, d.Action)
		}
		if d := s.ResponseHeaders(secret("200", "text/html"), false); len(d.Edits) > 0 {
			t.Errorf("%s, an answer of the broker: edits %v", name, edits(d))
		}
	}
}

// Filters of the operator's may add to an answer, or give one in a server's place: of
// what comes after them all is the client's.
func TestWhatTheOperatorsFiltersAdd(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.Policies = true
	g := gatewayOf(t, config, testTable())
	g.sessions.put([]byte("s1"), backend{place: "mcp-server-weather", id: []byte("b"), version: "2025-11-25", expires: 30 * second})
	justFetched(g)
	for status, kind := range map[string]string{"200": "text/event-stream", "302": "text/html"} {
		s, _ := post(g, call("weather_get_weather"))
		if s.phase != phaseServer {
			t.Fatalf("phase %v", s.phase)
		}
		if status == "302" {
			s.Denied()
		}
		if d := s.ResponseHeaders(append(headersOf(status, kind), Header{"set-cookie", "a=b"}), false); d.Action != Pass || len(d.Edits) > 0 {
			t.Errorf("%s: action %v, edits %v", status, d.Action, edits(d))
		}
	}
}
