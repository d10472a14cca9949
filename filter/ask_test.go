package filter

import (
	"reflect"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

const resolved = `{"session":"b-9","version":"2025-06-18","ttlMs":30000}`

func TestColdSessionIsAskedForOnce(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	s, d := post(g, call("search"), "mcp-session-id", "cold")
	if d.Action != Ask || d.Question.Path != "/v1/resolve" || string(d.Question.Body) != `{"session":"cold","server":"docs","cluster":"mcp-server-docs"}` {
		t.Fatalf("question %+v %s", d.Question, d.Question.Body)
	}
	d = s.Answer(200, []byte(resolved), second)
	if e := edits(d); d.Action != Pass || e["mcp-session-id"] != "b-9" || e["mcp-protocol-version"] != "2025-06-18" {
		t.Fatalf("action %v, edits %v", d.Action, e)
	}
	if spliced(call("search"), d) != call("search") {
		t.Error("the body changed")
	}
	if _, d = post(g, call("search"), "mcp-session-id", "cold"); d.Action != Pass {
		t.Error("the answer is not remembered")
	}
	s = new(Stream)
	s.Reset(g)
	s.RequestHeaders(postHeaders("mcp-session-id", "cold"), false, second)
	if d = s.RequestBody([]byte(call("search")), 31*second); d.Action != Ask {
		t.Error("the answer is remembered for longer than it holds")
	}
}

func TestResolveFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		answer int
		body   string
		status int
		code   string
	}{
		{404, ``, 404, "-32600"},
		{410, ``, 200, "-32602"},
		{502, `connect 10.1.1.2:9001 refused`, 200, "-32603"},
		{429, `many`, 200, "-32603"},
		{503, ``, 200, "-32603"},
		{0, ``, 200, "-32603"},
		{200, `{"session":"x","unknown":1}`, 200, "-32603"},
		{200, ``, 200, "-32603"},
	}
	for _, tt := range tests {
		s, _ := post(newGateway(t), call("search"), "mcp-session-id", "cold")
		d := finally(t, s, tt.answer, tt.body, second)
		if tt.answer == 410 {
			d = s.Answer(200, []byte(`{"session":"","version":"2025-11-25","ttlMs":1}`), second)
		}
		if d.Action != Reply || d.Status != tt.status || !strings.Contains(string(d.Body), tt.code) {
			t.Errorf("%d: %d %s", tt.answer, d.Status, d.Body)
		}
		if strings.Contains(string(d.Body), "10.1.1.2") {
			t.Errorf("%d: the answer names an address: %s", tt.answer, d.Body)
		}
		if later := edits(d)["retry-after"]; (later != "") != (tt.answer == 429) {
			t.Errorf("%d: retry-after %q", tt.answer, later)
		}
	}
}

// finally gives an answer to the last question, and again if it is asked once more,
// which it is of a broker that is away or cannot answer, and of no other.
func finally(t *testing.T, s *Stream, status int, body string, now int64) *Decision {
	t.Helper()
	question := s.d.Question
	d := s.Answer(status, []byte(body), now)
	if again := status == 0 || status == 503; again != (d.Action == Ask && reflect.DeepEqual(d.Question, question)) {
		t.Errorf("after the answer %d: %+v", status, d)
	} else if again {
		d = s.Answer(status, []byte(body), now)
	}
	return d
}

// A client that has waited for a broker that hangs does not wait twice.
func TestNoReplicaIsAskedAfterAWait(t *testing.T) {
	t.Parallel()
	s, d := post(newGateway(t), call("search"), "mcp-session-id", "cold")
	if d.Action != Ask {
		t.Fatalf("%+v", d)
	}
	if d = s.Answer(0, nil, 31*second); d.Action != Reply || d.Status != 200 {
		t.Errorf("%+v", d)
	}
}

// What one replica of the broker cannot answer another one can.
func TestAnotherReplicaIsAsked(t *testing.T) {
	t.Parallel()
	for _, status := range []int{0, 503} {
		s, d := post(newGateway(t), call("search"), "mcp-session-id", "cold")
		question := string(d.Question.Body)
		if d = s.Answer(status, nil, second); d.Action != Ask || string(d.Question.Body) != question {
			t.Fatalf("%d: %+v", status, d)
		}
		if d = s.Answer(200, []byte(resolved), second); d.Action != Pass || !d.Reroute {
			t.Errorf("%d: %+v", status, d)
		}
		if s.Reset(newGateway(t)); s.repeated {
			t.Errorf("%d: the next request of the stream is asked for once only", status)
		}
	}
}

// A server that has been replaced by one without sessions is the broker's to call.
func TestServerWithoutSessionsIsCalledByTheBroker(t *testing.T) {
	t.Parallel()
	s, _ := post(newGateway(t), call("search"), "mcp-session-id", "cold")
	d := s.Answer(409, []byte("no sessions"), 31*second)
	if !d.Revalidate {
		t.Error("the table stays as it is")
	}
	if e := edits(d); d.Action != Pass || !d.Reroute || len(d.Splice.With) > 0 || e["x-mcp-long"] != "1" {
		t.Errorf("%+v", d)
	}
}

func TestFirstTableIsWaitedFor(t *testing.T) {
	t.Parallel()
	g, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	s, d := post(g, call("search"))
	if d.Action != Ask || d.Question.Path != "/v1/table" || d.Question.ETag != "" {
		t.Fatalf("question %+v", d.Question)
	}
	if d = finally(t, s, 0, "", second); d.Action != Reply || d.Status != 200 {
		t.Fatalf("without broker: %+v", d)
	}
	s, _ = post(g, call("search"))
	d = s.Answer(200, []byte(`{"version":"1","servers":[{"name":"a","cluster":"mcp-server-a","authority":"x","path":"/","listed":true}],"tools":{"search":{"s":0,"n":"search"}},"prompts":{}}`), second)
	if d.Action != Ask || d.Question.Path != "/v1/resolve" {
		t.Fatalf("after the table: %+v", d)
	}
}

func TestUnknownNameLooksTwice(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	longFetched(g)
	s, d := post(g, call("weather_fresh"))
	if d.Action != Ask || d.Question.Path != "/v1/table" || d.Question.ETag != `"v1"` {
		t.Fatalf("question %+v", d)
	}
	table := testTable()
	table.Version = "v2"
	table.Tools["weather_fresh"] = gatewayconfig.Target{Server: 0, Name: "fresh"}
	putTable(t, g, table)
	if d = s.Answer(304, nil, second); d.Action != Pass || spliced(call("weather_fresh"), d) != call("fresh") {
		t.Fatalf("after the new table: %+v", d)
	}
	// Another client may have read a newer list meanwhile, but a flood of made-up
	// names does not become a flood of questions.
	for range recheckBurst - 1 {
		if _, d = post(g, call("made_up")); d.Action != Ask {
			t.Fatalf("not asked for again: %+v", d)
		}
	}
	if _, d = post(g, call("made_up")); d.Action != Reply {
		t.Errorf("asked again and again: %+v", d)
	}
}

func TestBadTableKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, body := range []string{``, `{`, `{"version":"x","servers":[],"tools":{"a":{"s":3,"n":"a"}},"prompts":{}}`, `{"version":"x","servers":[{"name":"a"}],"tools":{},"prompts":{}}`} {
		if g.TakeTable(200, []byte(body), 0) == nil {
			t.Errorf("%s: taken", body)
		}
	}
	if g.TakeTable(500, nil, 0) == nil {
		t.Error("status 500: taken")
	}
	if _, d := post(g, call("search")); d.Action != Pass {
		t.Error("the old table has gone")
	}
}

// A word of the broker's that comes late says nothing of the table that came meanwhile.
func TestOldTableIsNotConfirmed(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	old := g.Mark()
	putTable(t, g, testTable())
	g.current.Store(0)
	old.At = 5 * second
	if g.Confirm(old); g.current.Load() != 0 {
		t.Error("the table before is the newest, so the present one is current")
	}
	m := g.Mark()
	m.At = 5 * second
	if g.Confirm(m); g.current.Load() != 5*second {
		t.Errorf("current at %d, want %d", g.current.Load(), 5*second)
	}
	if g.Confirm(Mark{Table: m.Table, At: 1}); g.current.Load() != 5*second {
		t.Error("an older word takes the place of a newer one")
	}
}

func TestTableIsNotRevalidatedWithEveryCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	longFetched(g)
	_, first := post(g, call("search"))
	_, again := post(g, call("search"))
	if !first.Revalidate || again.Revalidate {
		t.Errorf("revalidate: first %v, again %v", first.Revalidate, again.Revalidate)
	}
}

func TestStaticTableAsksForNoOther(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	table := testTable()
	cfg.Table = &table
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.sessions.put([]byte("s1"), backend{expires: 30 * second})
	if _, d := post(g, call("nope")); d.Action != Reply {
		t.Errorf("%+v", d)
	}
}

func TestSoleServerKeepsItsURIs(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	table := testTable()
	table.Servers = table.Servers[1:2]
	table.Servers[0].Label = ""
	table.Tools, table.Prompts = nil, nil
	putTable(t, g, table)
	const body = `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"git+ssh://x"}}`
	_, d := post(g, body)
	if d.Action != Pass || spliced(body, d) != body || !d.PlainJSON {
		t.Errorf("%+v", d)
	}
}

func TestUnknownSessionComesBeforeUnknownName(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		call("nope"),
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x:y"}}`,
	} {
		g := newGateway(t)
		s, d := post(g, body, "mcp-session-id", "cold")
		if d.Action != Ask || string(d.Question.Body) != `{"session":"cold","server":""}` {
			t.Fatalf("%s: %+v", body, d)
		}
		if d = s.Answer(404, nil, second); d.Status != 404 {
			t.Errorf("%s: %d %s", body, d.Status, d.Body)
		}
		s, _ = post(g, body, "mcp-session-id", "cold")
		if d = s.Answer(200, []byte(`{"session":"","version":"2025-11-25","ttlMs":30000}`), second); d.Status != 200 || !strings.Contains(string(d.Body), `"code":-32`) {
			t.Errorf("%s: %d %s", body, d.Status, d.Body)
		}
		if _, d = post(g, body, "mcp-session-id", "cold"); d.Action != Reply {
			t.Errorf("%s: asked again at once", body)
		}
		s, _ = post(newGateway(t), body, "mcp-session-id", "cold")
		if d = finally(t, s, 0, "", second); d.Status != 200 {
			t.Errorf("%s: without broker: %d %s", body, d.Status, d.Body)
		}
	}
}

func TestOpenSessionsOutliveTheBroker(t *testing.T) {
	t.Parallel()
	late := func(g *Gateway, answer int) (*Stream, *Decision) {
		g.found(31 * second)
		s := new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders(), false, second)
		if d := s.RequestBody([]byte(call("search")), 31*second); d.Action != Ask || (d.Question.Timeout != 0) != (d.Question.Body != nil && !strings.Contains(string(d.Question.Body), "stale")) {
			t.Fatalf("%+v", d)
		}
		return s, s.Answer(answer, nil, 31*second)
	}
	for _, answer := range []int{0, 500, 503} {
		g := newGateway(t)
		if _, d := late(g, answer); d.Action != Pass || edits(d)["mcp-session-id"] != "b-docs" {
			t.Errorf("%d: %d %s", answer, d.Status, d.Body)
		}
		s := new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders(), false, second)
		g.found(32 * second)
		if d := s.RequestBody([]byte(call("search")), 32*second); d.Action != Pass {
			t.Errorf("%d: the broker is asked again at once", answer)
		}
	}
	if _, d := late(newGateway(t), 404); d.Status != 404 {
		t.Errorf("an ended session goes on: %+v", d)
	}
	g := newGateway(t)
	g.sessions.spoil([]byte("s1"), "mcp-server-docs", []byte("b-docs"))
	s, d := late(g, 0)
	if d.Action == Ask {
		d = s.Answer(0, nil, 31*second)
	}
	if d.Action != Reply {
		t.Errorf("a lost session goes on: %+v", d)
	}
}

// The broker knows the server at another address than the table.
func TestAServerThatMovedIsRoutedToOnceMore(t *testing.T) {
	t.Parallel()
	at := func(place string) []byte {
		return []byte(`{"version":"` + place + `","servers":[{"name":"docs","cluster":"` + place + `","authority":"` + place + `","path":"/","listed":true}],"tools":{"search":{"s":0,"n":"search"}},"prompts":{}}`)
	}
	for _, again := range []bool{false, true} {
		g := newGateway(t)
		s, _ := post(g, call("search"), "mcp-session-id", "cold")
		d := s.Answer(421, nil, second)
		if d.Action != Ask || d.Question.Path != "/v1/table" {
			t.Fatalf("%+v", d)
		}
		d = s.Answer(200, at("mcp-server-docs@next"), second)
		if d.Action != Ask || !strings.Contains(string(d.Question.Body), `"cluster":"mcp-server-docs@next"`) {
			t.Fatalf("%+v", d)
		}
		if again {
			if d = s.Answer(421, nil, second); d.Action != Reply || d.Reason != "server_down" {
				t.Errorf("%+v", d)
			}
			continue
		}
		d = s.Answer(200, []byte(resolved), second)
		if got := edits(d); d.Action != Pass || got["x-mcp-cluster"] != "mcp-server-docs@next" || got[":authority"] != "mcp-server-docs@next" {
			t.Errorf("%+v", d)
		}
		putTable(t, g, testTable())
		if _, d = post(g, call("search"), "mcp-session-id", "cold"); d.Action != Ask {
			t.Errorf("the session of another address is used: %+v", d)
		}
	}
}
