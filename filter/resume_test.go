package filter

import (
	"strings"
	"testing"
)

func get(g *Gateway, headers ...string) (*Stream, *Decision) {
	s := new(Stream)
	s.Reset(g)
	return s, s.RequestHeaders(postHeaders(append([]string{":method", "GET", "content-type", "-", "accept", "text/event-stream"}, headers...)...), true, second)
}

func TestResumedStreamGoesToItsServer(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	s, d := get(g, "last-event-id", sealed("s1", "docs~a~1"), "accept-encoding", "gzip", "authorization", "Bearer x")
	e := edits(d)
	for name, want := range map[string]string{
		"x-mcp-cluster": "mcp-server-docs", "last-event-id": "a~1", "mcp-session-id": "b-docs", ":path": "", ":authority": "10.1.1.2:9001",
		"accept": "", "accept-encoding": "(removed)", "authorization": "(removed)",
	} {
		if e[name] != want {
			t.Errorf("%s: %q, want %q", name, e[name], want)
		}
	}
	if d.Action != Pass || !d.Reroute || d.Plain || d.PlainJSON {
		t.Fatalf("%+v", d)
	}
	if d = s.ResponseHeaders(headersOf("200", "text/event-stream"), false); d.Action != Pass || d.Done {
		t.Fatalf("%+v", d)
	}
	want := sealed("s1", "id: docs~a~2\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"docs~1\",\"method\":\"ping\"}\n\n")
	if d = s.ResponseBody([]byte("id: a~2\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n"), false); string(d.Body) != want {
		t.Errorf("got %q, want %q", d.Body, want)
	}
}

func TestResumedWithoutEvents(t *testing.T) {
	t.Parallel()
	s, _ := get(newGateway(t), "last-event-id", sealed("s1", "docs~1"))
	if d := s.ResponseHeaders(headersOf("200", "text/event-stream"), true); d.Action != Pass || !d.Done {
		t.Errorf("%+v", d)
	}
}

func TestNotResumedByAServer(t *testing.T) {
	t.Parallel()
	for _, id := range []string{sealed("s1", "~docs~1"), sealed("s1", "gone~1"), "docs~1", sealed("s2", "docs~1"), "42", "", "~"} {
		_, d := get(newGateway(t), "last-event-id", id)
		if e := edits(d); d.Action != Pass || !d.Plain || chosen(e) != "" || e["last-event-id"] != "" {
			t.Errorf("%q: %+v", id, d)
		}
	}
	for _, tt := range []struct {
		answer string
		status int
		reason string
	}{{"405", 405, "not_resumed"}, {"404", 400, "not_resumed"}, {"400", 400, "not_resumed"}, {"503", 503, "server_down"}, {"202", 503, "bad_answer"}} {
		g := newGateway(t)
		s, _ := get(g, "last-event-id", sealed("s1", "docs~1"))
		d := s.ResponseHeaders(headersOf(tt.answer, "application/json"), false)
		if d.Action != Reply || d.Status != tt.status || d.Reason != tt.reason || !strings.HasPrefix(string(d.Body), `{"jsonrpc":"2.0","id":null,"error":`) || !strings.Contains(string(d.Body), "server docs") {
			t.Errorf("%+v: %+v %s", tt, d, d.Body)
		}
		if _, ok := g.sessions.get([]byte("s1"), "mcp-server-docs", second); ok == (tt.answer == "404") {
			t.Errorf("%+v: the session is still used: %v", tt, ok)
		}
	}
}

func TestResumedInAColdSession(t *testing.T) {
	t.Parallel()
	s, d := get(newGateway(t), "last-event-id", sealed("cold", "docs~1"), "mcp-session-id", "cold")
	if d.Action != Ask || string(d.Question.Body) != `{"session":"cold","server":"docs","cluster":"mcp-server-docs"}` {
		t.Fatalf("%+v", d)
	}
	if d = s.Answer(200, []byte(resolved), second); d.Action != Pass || edits(d)["last-event-id"] != "1" || edits(d)["mcp-session-id"] != "b-9" {
		t.Errorf("%+v", d)
	}
	s, _ = get(newGateway(t), "last-event-id", sealed("cold", "docs~1"), "mcp-session-id", "cold")
	if d = s.Answer(404, nil, second); d.Status != 404 {
		t.Errorf("%+v", d)
	}
}
