package filter

import (
	"regexp"
	"strings"
	"testing"

	"mcp-gateway/internal/tag"
)

var marks = regexp.MustCompile(`\b(weather|docs|new|now|gone|fresh)(~|\\u007e)`)

// sealed puts the seal of a session into each mark in text.
func sealed(session, text string) string {
	return marks.ReplaceAllStringFunc(text, func(front string) string {
		server := front[:strings.IndexAny(front, `~\`)]
		m := tag.NewMarker([]byte(session), server)
		return front + string(m.AppendEvent(nil, nil)[len(server)+1:])
	})
}

// A JSON answer of weather is not looked into, and may hold a request with an id
// that looks like a mark of docs. What the client answers to it must not reach
// docs, whatever weather knows: names, its own session, its own part of others.
func TestForgedMarkReachesNoServer(t *testing.T) {
	t.Parallel()
	own := strings.Split(sealed("s1", "weather~"), "~")[1]
	forged := []string{
		`docs~1`, `docs~~1`, `docs~AAAAAAAAAAAA~1`, `docs~` + own + `~1`,
		sealed("b-weather", `docs~1`), sealed("s2", `docs~1`), sealed("s1\x00team", `docs~1`), sealed("", `docs~1`),
	}
	g := newGateway(t)
	for _, id := range forged {
		s, d := post(g, call("weather_get_weather"))
		asks := `{"jsonrpc":"2.0","id":"` + id + `","method":"roots/list"}`
		if !d.PlainJSON {
			t.Fatalf("JSON answers of weather are looked into: %+v", d)
		}
		if d = s.ResponseHeaders(headersOf("200", "application/json"), false); !d.Done {
			t.Fatalf("%s is looked into: %+v", asks, d)
		}
		for _, body := range []string{
			`{"jsonrpc":"2.0","id":"` + id + `","result":{}}`,
			`{"jsonrpc":"2.0","id":"` + id + `","error":{"code":1,"message":"x"}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"` + id + `","progress":1}}`,
		} {
			if _, d = post(g, body); d.Action != Pass || !d.Plain || d.Reroute || d.Splice.Start != d.Splice.End {
				t.Errorf("%s: action %d to %q", body, d.Action, chosen(edits(d)))
			}
		}
		if _, d = get(g, "last-event-id", id); d.Action != Pass || !d.Plain || chosen(edits(d)) != "" {
			t.Errorf("event id %s: action %d to %q", id, d.Action, chosen(edits(d)))
		}
	}
	if _, d := post(g, sealed("s1", `{"jsonrpc":"2.0","id":"docs~1","result":{}}`)); chosen(edits(d)) != "docs" {
		t.Errorf("the true mark: %+v", d)
	}
}

// Where the gateway looks, even a true mark of another server becomes the id of
// the server that sent it.
func TestMarkOfAnotherServerIsMarkedAgain(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	s, _ := post(g, call("weather_get_weather"))
	s.ResponseHeaders(headersOf("200", "text/event-stream"), false)
	theirs := sealed("s1", "docs~1")
	d := s.ResponseBody([]byte("data: {\"jsonrpc\":\"2.0\",\"id\":\""+theirs+"\",\"method\":\"ping\"}\n\n"), true)
	id := sealed("s1", "weather~") + `\"` + theirs + `\"`
	if want := "data: {\"jsonrpc\":\"2.0\",\"id\":\"" + id + "\",\"method\":\"ping\"}\n\n"; string(d.Body) != want {
		t.Fatalf("got %q, want %q", d.Body, want)
	}
	body := `{"jsonrpc":"2.0","id":"` + id + `","result":{}}`
	_, d = post(g, body)
	if want := `{"jsonrpc":"2.0","id":"` + theirs + `","result":{}}`; chosen(edits(d)) != "weather" || spliced(body, d) != want {
		t.Errorf("to %q: %s", chosen(edits(d)), spliced(body, d))
	}
}

// A session at a virtual server has the same id for the filter as for the broker,
// which marks as well.
func TestSealAtAVirtualServer(t *testing.T) {
	t.Parallel()
	s, _ := post(viewGateway(t), call("search"), ":path", "/mcp/team")
	s.ResponseHeaders(headersOf("200", "text/event-stream"), false)
	d := s.ResponseBody([]byte("id: 1\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n"), true)
	if want := sealed("s1", "id: docs~1\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"docs~1\",\"method\":\"ping\"}\n\n"); string(d.Body) != want {
		t.Errorf("got %q, want %q", d.Body, want)
	}
}
