package filter

import (
	"strings"
	"testing"
)

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.cfg.Depth = 8
	body := func(levels int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":` +
			strings.Repeat(`{"a":`, levels-3) + "{}" + strings.Repeat("}", levels-3) + `}}`
	}
	if _, d := post(g, body(8), "mcp-session-id", "s1"); d.Action != Pass {
		t.Errorf("8 levels: %d %s", d.Status, d.Body)
	}
	_, d := post(g, body(9), "mcp-session-id", "s1")
	if d.Action != Reply || d.Status != 400 || d.Reason != "depth" || !strings.Contains(string(d.Body), "-32600") {
		t.Errorf("9 levels: %v %d %s, reason %s", d.Action, d.Status, d.Body, d.Reason)
	}
}

// However a stream ends, it does not wait for the broker any longer.
func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.cfg.Questions = 2
	ask := func() (*Stream, *Decision) { return post(g, call("search"), "mcp-session-id", "cold") }
	first, d := ask()
	other, e := ask()
	if d.Action != Ask || e.Action != Ask {
		t.Fatalf("actions %v, %v", d.Action, e.Action)
	}
	full := func() {
		t.Helper()
		s, d := ask()
		if d.Action != Reply || d.Status != 503 || d.Reason != "questions" || edits(d)["retry-after"] == "" ||
			!strings.Contains(string(d.Body), `"id":1`) || !strings.Contains(string(d.Body), "-32603") {
			t.Errorf("one too many: %v %d %s, reason %s", d.Action, d.Status, d.Body, d.Reason)
		}
		s.Close() // gives back no place, as it had none
	}
	full()
	full()
	first.Answer(404, nil, 1)
	first.Close()
	third, d := ask()
	if d.Action != Ask {
		t.Fatalf("after an answer: %v %s", d.Action, d.Body)
	}
	full()
	other.Close() // the client has left
	other.Close()
	if _, d = ask(); d.Action != Ask {
		t.Fatalf("after a reset: %v %s", d.Action, d.Body)
	}
	full()
	third.Panicked()
	third.Close()
	if s, d := ask(); d.Action != Ask {
		t.Errorf("after a panic: %v %s", d.Action, d.Body)
	} else {
		s.Close()
	}
	// What was known of a session is good for longer while the broker is busy.
	s := new(Stream)
	s.Reset(g)
	s.RequestHeaders(postHeaders("mcp-session-id", "s1"), false, 1)
	if d := s.RequestBody([]byte(call("search")), 31*second); d.Action != Ask {
		t.Errorf("old session, a place is left: %v", d.Action)
	}
	again := new(Stream)
	again.Reset(g)
	again.RequestHeaders(postHeaders("mcp-session-id", "s1"), false, 1)
	if d := again.RequestBody([]byte(call("search")), 31*second); d.Action != Pass {
		t.Errorf("old session, no place is left: %v %s", d.Action, d.Body)
	}
	// A warm call asks nobody.
	if _, d := post(g, call("search"), "mcp-session-id", "s1"); d.Action != Pass {
		t.Errorf("warm call: %v %s", d.Action, d.Body)
	}
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.cfg.EventLimit, g.cfg.ResponseLimit = 100, 1<<20
	s, d := post(g, call("search"), "mcp-session-id", "s1")
	if d.Action != Pass {
		t.Fatal(d.Action)
	}
	s.ResponseHeaders([]Header{{":status", "200"}, {"content-type", "text/event-stream"}}, false)
	d = s.ResponseBody([]byte("data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"), false)
	if !strings.Contains(string(d.Body), `"method":"x"`) {
		t.Fatalf("a small event: %+v", d)
	}
	if d = s.ResponseBody([]byte("data: \""+strings.Repeat("x", 200)), false); d.Reason != "event_limit" {
		t.Errorf("a large event: action %v, reason %q", d.Action, d.Reason)
	}
}
