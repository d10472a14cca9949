package filter

import (
	"strings"
	"testing"
)

func TestRequestOfALostSessionIsReplayed(t *testing.T) {
	t.Parallel()
	const linked = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"a:b"}]}}`
	lost := `{"session":"s1","server":"docs","cluster":"mcp-server-docs","stale":"b-docs"}` + "\n"
	tests := []struct {
		name        string
		status      string
		contentType string
		body        string
		wantStatus  int
		want        string
	}{
		{"JSON", "200", "application/json; charset=utf-8", linked, 200, strings.Replace(linked, "a:b", "docs+a:b", 1)},
		{"Events", "200", "text/event-stream", "id: 1\ndata: {\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"ping\"}\n\ndata: " + linked + "\n\n", 200,
			sealed("s1", "id: docs~1\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"docs~4\",\"method\":\"ping\"}\n\ndata: ") + strings.Replace(linked, "a:b", "docs+a:b", 1) + "\n\n"},
		{"EventOverTheLimit", "200", "text/event-stream", "data: " + strings.Repeat("x", 5000) + "\n\n", 200, "event over the limit"},
		{"Page", "200", "text/html", "<html>", 200, "empty answer"},
		{"Nothing", "200", "application/json", "", 200, "empty answer"},
		{"ClientSessionEnded", "404", "text/plain", "no such client session", 404, "initialize again"},
		{"ServerWithoutSessions", "409", "text/plain", "x", 200, "call again"},
		{"ServerGone", "410", "text/plain", "x", 200, "could not be reached"},
		{"ServerDown", "502", "text/plain", "connect 10.1.1.2", 200, "could not be reached"},
		{"StoreAway", "503", "text/plain", "x", 200, "lost its session"},
		{"NoBroker", "", "", "", 200, "lost its session"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			s, _ := post(g, call("search"))
			d := s.ResponseHeaders(headersOf("404", "application/json"), false)
			if d.Action != Ask || d.Question.Path != "/v1/replay" || d.Question.Method != "POST" || d.Question.Timeout < 30*1e9 {
				t.Fatalf("%+v", d)
			}
			if got, want := string(d.Question.Body), lost+call("search"); got != want {
				t.Errorf("question %s, want %s", got, want)
			}
			var headers []Header
			if tt.status != "" {
				headers = headersOf(tt.status, tt.contentType)
			}
			d = s.Replayed(headers, []byte(tt.body))
			body := string(d.Body)
			if d.Action != Reply || !d.Done || d.Status != tt.wantStatus || !strings.Contains(body, tt.want) || strings.Contains(body, "10.1.1.2") {
				t.Errorf("%+v %s", d, body)
			}
			if content := tt.wantStatus == 200 && d.Reason == ""; content && (body != tt.want || !strings.HasPrefix(tt.contentType, edits(d)["content-type"])) {
				t.Errorf("%v: %s", edits(d), body)
			} else if !content && !strings.HasPrefix(body, `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,`) && d.Status == 200 {
				t.Errorf("%s", body)
			}
			if d = s.Replayed(headers, nil); d.Action != Reply || d.Reason != "stream" {
				t.Errorf("a second answer: %+v", d)
			}
		})
	}
}

// Nothing of an answer before counts for the one that is had again.
func TestReplayInAStreamThatWasUsed(t *testing.T) {
	t.Parallel()
	const answer = `data: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}` + "\n\n"
	g := newGateway(t)
	s, _ := post(g, call("search"))
	s.ResponseHeaders(headersOf("200", "text/event-stream"), false)
	s.ResponseBody([]byte(answer), true)
	s.Reset(g)
	s.RequestHeaders(postHeaders(), false, second)
	s.RequestBody([]byte(call("search")), second)
	s.ResponseHeaders(headersOf("404", "application/json"), false)
	if d := s.Replayed(headersOf("200", "text/event-stream"), []byte(answer)); string(d.Body) != answer {
		t.Errorf("%+v %s", d, d.Body)
	}
}

// Servers made after the examples of several SDKs say 400 for a lost session.
func TestLostSessionToldWith400(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, contentType, body string
		lost                    bool
	}{
		{"JSON", "application/json", `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`, true},
		{"Text", "text/plain; charset=utf-8", "Invalid session ID\n", true},
		{"OfThisRequest", "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such session in arguments"}}`, false},
		{"OtherText", "text/plain", "Bad Request", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := post(newGateway(t), call("search"))
			if d := s.ResponseHeaders(headersOf("400", tt.contentType), false); d.Action != NeedBody {
				t.Fatalf("%+v", d)
			}
			d := s.ResponseBody([]byte(tt.body), true)
			if replayed := d.Action == Ask && d.Question.Path == "/v1/replay"; replayed != tt.lost {
				t.Errorf("%+v", d)
			}
		})
	}
}

// What the server gets is what it would have got the first time.
func TestReplayIsSpliced(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	s, _ := post(g, call("weather_get_weather"), "mcp-session-id", "cold")
	s.Answer(200, []byte(resolved), second)
	d := s.ResponseHeaders(headersOf("404", "text/plain"), true)
	want := `{"session":"cold","server":"weather","cluster":"mcp-server-weather","stale":"b-9"}` + "\n" + call("get_weather")
	if d.Action != Ask || string(d.Question.Body) != want {
		t.Errorf("%s, want %s", d.Question.Body, want)
	}
}

func TestNotReplayed(t *testing.T) {
	t.Parallel()
	lost := func(s *Stream) *Decision { return s.ResponseHeaders(headersOf("404", "text/plain"), true) }
	t.Run("TooLarge", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		g.cfg.BodyLimit = 4 << 20
		s, _ := post(g, strings.Replace(call("search"), "1e400", `"`+strings.Repeat("x", replayLimit)+`"`, 1))
		if d := lost(s); d.Action != Reply || d.Status != 200 || !strings.Contains(string(d.Body), "lost its session") {
			t.Errorf("%+v %s", d, d.Body)
		}
	})
	t.Run("WithoutSession", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		g.sessions.put([]byte("s1"), backend{place: "mcp-server-docs", version: "2025-11-25", expires: 30 * second})
		s, _ := post(g, call("search"))
		if d := lost(s); d.Action != Reply || !strings.Contains(string(d.Body), "HTTP status 404") {
			t.Errorf("%+v %s", d, d.Body)
		}
	})
}

// A large copy is not kept for longer than its server takes to begin.
func TestCopyIsLetGo(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.cfg.BodyLimit = 4 << 20
	s, d := post(g, strings.Replace(call("weather_get_weather"), "1e400", `"`+strings.Repeat("x", keptBody)+`"`, 1))
	if d.PlainJSON || len(s.body) == 0 {
		t.Fatalf("kept %d bytes, plain %v", len(s.body), d.PlainJSON)
	}
	if s.ResponseHeaders(headersOf("200", "application/json"), false); cap(s.body) != 0 {
		t.Errorf("%d bytes are kept", cap(s.body))
	}
}

func TestLostSessionIsReplaced(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	s, _ := post(g, call("search"))
	s.ResponseHeaders(headersOf("404", "text/plain"), true)
	_, d := post(g, call("search"))
	if d.Action != Ask || string(d.Question.Body) != `{"session":"s1","server":"docs","cluster":"mcp-server-docs","stale":"b-docs"}` {
		t.Errorf("question %+v %s", d.Question, d.Question.Body)
	}
	if _, d = post(g, call("weather_get_weather")); d.Action != Pass {
		t.Error("another server's session is gone, too")
	}
}
