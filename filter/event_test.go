package filter

import (
	"strings"
	"testing"
)

// What a server may not put on the stream of a call, and what it may.
func TestEventsOnTheStreamOfACall(t *testing.T) {
	t.Parallel()
	const own = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"
	for _, tt := range []struct{ name, in, want string }{
		{"OwnAnswer", own, own},
		{"OwnError", `data: {"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}` + "\n\n", `data: {"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}` + "\n\n"},
		{"AnswerToAnotherCall", "data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n" + own, own},
		{"AnswerToAnotherCallBehindEscapes", `data: {"jsonrpc":"2.0","i\u0064":2,"result":{}}` + "\n\n" + own, "no JSON-RPC"},
		{"AnswerThatParsersReadTwoWays", `data: {"jsonrpc":"2.0","id":1,"id":2,"result":{}}` + "\n\n", "no JSON-RPC"},
		{"NoJSON", "data: hello\n\n" + own, "no JSON-RPC"},
		{"ListChanged", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n" + own, own},
		{"AnswerToAnotherCallInABatch", `data: [{"jsonrpc":"2.0","id":2,"result":{}},{"jsonrpc":"2.0","id":1,"result":{}}]` + "\n\n", own},
		{"ListChangedInABatch", `data: [{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}]` + "\n\n" + own, own},
		{"BatchOfOtherThings", `data: [{"jsonrpc":"2.0","id":2,"result":{}},1]` + "\n\n", "no JSON-RPC"},
		{"BatchInABatch", `data: [[{"jsonrpc":"2.0","id":2,"result":{}}]]` + "\n\n", "no JSON-RPC"},
		{"BatchBehindABlank", `data:  [{"jsonrpc":"2.0","id":2,"result":{}}]` + "\n\n", "no JSON-RPC"},
		{"GarbageBehindTheAnswer", own + "data: [DONE]\n\ndata: {\n\n", own},
		{"SecondAnswer", own + `data: {"jsonrpc":"2.0","id":1.0,"error":{"code":1,"message":"x"}}` + "\n\n", own},
		{"SecondAnswerInABatch", `data: [{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":1,"result":[]}]` + "\n\n", own},
		{"ForeignEvents", "event: ping\ndata: 1\n\nevent: ping\ndata: {\"id\":1}\n\n" + own, "event: ping\ndata: 1\n\nevent: ping\ndata: {\"id\":1}\n\n" + own},
		{"AnswerAsAForeignEvent", "event: x\n" + `data: {"jsonrpc":"2.0","id":2,"result":{}}` + "\n\nevent: x\n" + `data: {"jsonrp\u0063":"2.0","id":2,"result":{}}` + "\n\n" + own, own},
		{"Progress", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := post(newGateway(t), call("weather_get_weather"))
			s.ResponseHeaders(headersOf("200", "text/event-stream"), false)
			got := string(s.ResponseBody([]byte(tt.in), true).Body)
			if strings.HasPrefix(tt.want, "data:") && got != tt.want || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if strings.Contains(got, `"id":2`) {
				t.Errorf("another call is answered: %q", got)
			}
		})
	}
}

// The id of an event with several messages stands behind them: it says that they have
// come.
func TestIDOfABatch(t *testing.T) {
	t.Parallel()
	s, _ := post(newGateway(t), call("weather_get_weather"))
	s.ResponseHeaders(headersOf("200", "text/event-stream"), false)
	const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{}}`
	got := string(s.ResponseBody([]byte("event: message\nid: 7\ndata: ["+progress+", "+progress+"]\n\n"), false).Body)
	const event = "event: message\ndata: " + progress + "\n\n"
	if rest, ok := strings.CutPrefix(got, event+event+"id: weather~"); !ok || !strings.HasSuffix(rest, "~7\n\n") {
		t.Errorf("%q", got)
	}
}

func TestSameID(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"1", "1", true},
		{"1", "1.0", true},
		{"9007199254740993", "9007199254740992", true}, // as a server with doubles writes it
		{"1", "2", false},
		{"1", `"1"`, false},
		{`"a"`, `"\u0061"`, true},
		{`"a"`, `"b"`, false},
		{"null", "1", false},
		{"", "1", false},
		{"1", "", false},
	} {
		if got := sameID([]byte(tt.a), []byte(tt.b)); got != tt.want {
			t.Errorf("sameID(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
}

// A server that says 404 together with its answer has not lost the session.
func TestAnswerWithStatus404(t *testing.T) {
	t.Parallel()
	s, _ := post(newGateway(t), call("search"))
	d := s.ResponseHeaders(append(headersOf("404", "application/json"), Header{"content-length", "60"}), false)
	if d.Action != NeedBody {
		t.Fatalf("%+v", d)
	}
	if d = s.ResponseBody([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}`), true); d.Action != Pass || edits(d)[":status"] != "200" {
		t.Errorf("%+v", d)
	}
	s, _ = post(newGateway(t), call("search"))
	s.ResponseHeaders(append(headersOf("404", "application/json"), Header{"content-length", "60"}), false)
	if d = s.ResponseBody([]byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`), true); d.Action != Ask {
		t.Errorf("%+v", d)
	}
}
