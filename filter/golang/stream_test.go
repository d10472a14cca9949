package golang

import (
	"strconv"
	"strings"
	"testing"

	"mcp-gateway/filter/host"
)

// both runs a test as Envoy 1.39 replies, after the callback, and as Envoy 1.38
// does, from within.
func both(t *testing.T, test func(t *testing.T, early bool)) {
	t.Parallel()
	for name, early := range map[string]bool{"After": false, "Within": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, early) })
	}
}

func TestColdCallAsksAndGoesOn(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, `,"metadata":true`)
	e := newEnvoy(t, p, c)
	text := toolCall("a_tool")
	postTo(e, "content-length", strconv.Itoa(len(text)))
	e.request.body(text[:30], false)
	e.request.body(text[30:], false)
	if e.request.out != nil || !e.request.open {
		t.Fatal("something has gone on before the request was complete")
	}
	e.request.body("", true)
	e.until("the call has gone on", func() bool { return e.request.ended })
	if got, want := string(e.request.out), toolCall("tool"); got != want {
		t.Errorf("body %s", got)
	}
	h := e.request.headers
	for name, want := range map[string]string{
		"x-mcp-cluster": "mcp-server-a", ":authority": "a", ":path": "/mcp", "mcp-session-id": "backend-1", "content-length": strconv.Itoa(len(toolCall("tool"))),
	} {
		if got := h.values(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if e.cleared != 1 {
		t.Errorf("route cache cleared %d times", e.cleared)
	}
	if got := e.notes["mcp"]["server"]; got != "a" {
		t.Errorf("notes %v", e.notes)
	}
	if b.questions("/v1/table") != 1 || b.questions("/v1/resolve") != 1 {
		t.Errorf("asked %q", b.asked)
	}
}

// The routes take what has the mark, or names a server or the broker, and nothing else.
func TestWhatGoesToTheBrokerIsMarked(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, "")
	e := newEnvoy(t, p, c)
	postTo(e, "x-mcp-filter", "forged")
	e.request.body(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, true)
	if h := e.request.headers; !e.request.ended || h.values("x-mcp-filter") != Name || h.values("x-mcp-cluster") != "" || e.cleared != 1 {
		t.Errorf("%v, cleared %d times", h.pairs, e.cleared)
	}
	e.destroy()
	e = newEnvoy(t, p, c)
	e.sendHeaders(true, ":method", "GET", ":path", "/mcp", ":authority", "gw.example", "accept", "text/event-stream", "mcp-session-id", "s1",
		"x-mcp-cluster", "mcp-server-a")
	if h := e.request.headers; !e.request.ended || h.values("x-mcp-filter") != "" || h.values("x-mcp-cluster") != "mcp-broker" || e.cleared != 1 {
		t.Errorf("a stream: %v, cleared %d times", h.pairs, e.cleared)
	}
	e.destroy()
	e = warmed(t, p, c)
	if h := e.request.headers; h.values("x-mcp-filter") != "" || h.values("x-mcp-cluster") != "mcp-server-a" {
		t.Errorf("a call: %v", h.pairs)
	}
	e.destroy()
}

func TestWarmCallAsksNobody(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, "")
	warmed(t, p, c).destroy()
	e := newEnvoy(t, p, c)
	postTo(e)
	e.request.body(toolCall("a_tool"), true)
	if !e.request.ended || string(e.request.out) != toolCall("tool") {
		t.Fatalf("the call has not gone on: %s", e.request.out)
	}
	e.answerHeaders(false, ":status", "200", "content-type", "application/json")
	answer := `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`
	e.response.body(answer, true)
	if string(e.response.out) != answer {
		t.Errorf("answer %s", e.response.out)
	}
	e.destroy()
	if n := p.streams.Load(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

func TestTrailersEndABody(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, "")
	for _, name := range []string{"Cold", "Warm"} {
		e := newEnvoy(t, p, c)
		postTo(e)
		e.request.body(toolCall("a_tool"), false)
		e.request.trailers()
		if name == "Cold" {
			e.until("the call has gone on", func() bool { return e.request.ended })
		}
		if !e.request.ended || string(e.request.out) != toolCall("tool") {
			t.Errorf("%s: %v %s", name, e.request.ended, e.request.out)
		}
		e.answerHeaders(false, ":status", "200", "content-type", "application/json")
		e.response.body(linked("file:///x"), false)
		e.response.trailers()
		if got := string(e.response.out); got != linked("a+file:///x") {
			t.Errorf("%s: answer %s", name, got)
		}
		e.destroy()
	}
}

func linked(uri string) string {
	return `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"` + uri + `","name":"x"}]}}`
}

func TestRefusals(t *testing.T) {
	both(t, func(t *testing.T, early bool) {
		b := newFakeBroker(t)
		p, c, stats := newPlugin(t, b, "")
		for name, tt := range map[string]struct {
			do     func(e *envoy)
			status int
			reason string
			want   string
		}{
			"path": {func(e *envoy) { e.sendHeaders(true, ":method", "GET", ":path", "/other", ":authority", "x") }, 404, "path", "no such endpoint"},
			"json": {func(e *envoy) { postTo(e); e.request.body("{", true) }, 400, "bad_json", "-32700"},
			"large": {func(e *envoy) {
				postTo(e)
				e.request.body(strings.Repeat("x", 600), false)
				e.request.body(strings.Repeat("x", 600), false)
			}, 413, "body_limit", "-32600"},
			"of a GET": {func(e *envoy) {
				e.sendHeaders(false, ":method", "GET", ":path", "/mcp", ":authority", "x", "accept", "text/event-stream", "mcp-session-id", "s1", "content-length", "1001")
			}, 413, "body_limit", "-32600"},
			"announced": {func(e *envoy) { postTo(e, "content-length", "1001") }, 413, "body_limit", "-32600"},
		} {
			e := newEnvoy(t, p, c)
			e.early = early
			tt.do(e)
			e.until(name, func() bool { return e.reply != nil })
			r := e.reply
			if r.status != tt.status || !strings.Contains(r.body, tt.want) || r.details != tt.reason || r.headers["content-type"][0] != "application/json" {
				t.Errorf("%s: %+v", name, r)
			}
			if len(e.request.out) > 0 {
				t.Errorf("%s: has gone on: %s", name, e.request.out)
			}
		}
		if n := stats.get("mcp_gateway_errors.reason.body_limit.server.-"); n != 3 {
			t.Errorf("%d requests counted as too large: %v", n, stats.values)
		}
		if n := p.streams.Load(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, "")
	large := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 1500) + `"}]}}`
	event := "data: " + linked("file:///x") + "\n\n"
	for name, tt := range map[string]struct {
		kind   string
		chunks []string
		want   string
	}{
		"Held":        {"application/json", []string{linked("file:///x")[:40], linked("file:///x")[40:]}, linked("a+file:///x")},
		"AsItIs":      {"application/json", []string{`{"jsonrpc":"2.0","id":1,`, `"result":{}}`}, `{"jsonrpc":"2.0","id":1,"result":{}}`},
		"TooLarge":    {"application/json", []string{large[:700], large[700:1400], large[1400:]}, large},
		"EventStream": {"text/event-stream", []string{event[:20], event[20:]}, "data: " + linked("a+file:///x") + "\n\n"},
	} {
		e := warmed(t, p, c)
		e.answerHeaders(false, ":status", "200", "content-type", tt.kind, "x-of-server", "1")
		for i, chunk := range tt.chunks {
			e.response.body(chunk, i == len(tt.chunks)-1)
		}
		if got := string(e.response.out); got != tt.want || !e.response.ended {
			t.Errorf("%s: %v %s", name, e.response.ended, got)
		}
		e.destroy()
	}
}

// A content type says nothing beside the type, whether the core looks into the answer
// or not, as of a server without resources.
func TestAnswersLeaveWithABareType(t *testing.T) {
	t.Parallel()
	p, c, _ := newPlugin(t, newFakeBroker(t), "")
	for _, tool := range []string{"a_tool", "c_tool"} {
		warmed(t, p, c).destroy()
		e := newEnvoy(t, p, c)
		postTo(e)
		e.request.body(toolCall(tool), true)
		e.until("the call has gone on", func() bool { return e.request.ended })
		e.answerHeaders(false, ":status", "200", "content-type", "application/json; x=text/event-stream")
		e.response.body(`{"jsonrpc":"2.0","id":1,"result":{}}`, true)
		if got := e.response.headers.values("content-type"); got != "application/json" || !e.response.ended {
			t.Errorf("%s: leaves as %s", tool, got)
		}
		e.destroy()
	}
}

func TestServerThatBreaksOffIsAnsweredFor(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, stats := newPlugin(t, b, "")
	for details, want := range map[string]uint64{"upstream_reset_after_response_started": 1, "downstream_remote_disconnect": 0} {
		e := warmed(t, p, c)
		e.answerHeaders(false, ":status", "200", "content-type", "application/json")
		e.response.body(`{"jsonrpc":"2.0",`, false)
		if held, _ := e.notes["mcp"]["held"].(string); !strings.Contains(held, `"id":1,"error"`) {
			t.Errorf("held: %s", held)
		}
		before := stats.get("mcp_gateway_errors.reason.broken_off.server.a")
		e.details = details
		e.destroy()
		if n := stats.get("mcp_gateway_errors.reason.broken_off.server.a") - before; n != want {
			t.Errorf("%s: counted %d times", details, n)
		}
	}
}

// A server that has lost its session gets the call once more.
func TestReplay(t *testing.T) {
	both(t, func(t *testing.T, early bool) {
		b := newFakeBroker(t)
		p, c, _ := newPlugin(t, b, "")
		for name, answer := range map[string]func(e *envoy){
			"Headers": func(e *envoy) {
				e.answerHeaders(false, ":status", "404", "content-type", "text/plain")
				e.response.body("not found", true)
			},
			"Body": func(e *envoy) {
				e.answerHeaders(false, ":status", "404", "content-type", "application/json", "content-length", "80")
				e.response.body(`{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`, true)
			},
		} {
			e := warmed(t, p, c)
			e.early = early
			answer(e)
			e.until(name, func() bool { return e.reply != nil })
			if e.reply.status != 200 || e.reply.body != b.replay || !e.reply.direct || len(e.response.out) > 0 {
				t.Errorf("%s: %+v %s", name, e.reply, e.response.out)
			}
			if held := e.notes["mcp"]["held"]; held != "" {
				t.Errorf("%s: held: %v", name, held)
			}
		}
		if n := p.streams.Load(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

// A configuration that is none of the plugin's opens no gate.
func TestStreamWithoutConfigurationRefuses(t *testing.T) {
	both(t, func(t *testing.T, early bool) {
		for name, config := range map[string]any{"nil": nil, "other": "text", "merged": new(Plugin).Merge("a", "b")} {
			e := newEnvoy(t, &Plugin{}, config)
			e.early = early
			postTo(e)
			e.until(name, func() bool { return e.reply != nil })
			if e.reply.status != host.InternalErrorStatus || e.reply.body != host.InternalError {
				t.Errorf("%s: %+v", name, e.reply)
			}
		}
	})
}

// The operator's filters answer in a request's place: with their status, in the
// protocol's form.
func TestDenied(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, `,"policies":true`)
	for name, marked := range map[string]bool{"Denied": false, "Passed": true} {
		e := warmed(t, p, c)
		if marked {
			e.notes["mcp.passed"] = map[string]any{"to": "router"}
		}
		e.answerHeaders(false, ":status", "429", "content-type", "text/plain")
		e.response.body("slow down", true)
		if marked {
			e.until(name, func() bool { return e.reply != nil })
			if e.reply.status != 200 || !strings.Contains(e.reply.body, "429") {
				t.Errorf("%s: %+v", name, e.reply)
			}
			continue
		}
		if got := string(e.response.out); e.reply != nil || !strings.Contains(got, `"id":1,"error"`) || e.response.headers.values("content-type") != "application/json" {
			t.Errorf("%s: %s", name, got)
		}
		e.destroy()
	}
}

// In an Envoy that has other traffic that stays as it is, whatever its size.
func TestTrafficOfOthersStaysAsItIs(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, `,"hostnames":["gw.example"],"shared":{}`)
	e := newEnvoy(t, p, c)
	e.sendHeaders(false, ":method", "POST", ":path", "/mcp", ":authority", "other.example", "content-length", "3000")
	if h := e.request.headers; e.request.open || len(h.pairs) != 4 || e.cleared != 0 {
		t.Errorf("headers %v, cleared %d times", h.pairs, e.cleared)
	}
	text := strings.Repeat("x", 1500)
	e.request.body(text, false)
	e.request.body(text, true)
	e.answerHeaders(false, ":status", "200", "content-type", "application/json", "mcp-session-id", "theirs")
	e.response.body(text, false)
	e.response.body(text, true)
	if h := e.response.headers; string(e.request.out) != text+text || string(e.response.out) != text+text || len(h.pairs) != 3 {
		t.Errorf("%d bytes of the request and %d of the answer have gone on, %v", len(e.request.out), len(e.response.out), h.pairs)
	}
	e.destroy()
	if n := p.streams.Load(); n != 0 || e.reply != nil {
		t.Errorf("%d streams are left, %+v", n, e.reply)
	}
}
