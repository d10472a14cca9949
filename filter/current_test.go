package filter

import (
	"encoding/json"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

// A tool that was taken from clients while nobody called is not called with the
// table from before.
func TestOldTableIsLookedAtFirst(t *testing.T) {
	t.Parallel()
	next := testTable()
	next.Version = "v9"
	delete(next.Tools, "search")
	taken, err := json.Marshal(next)
	if err != nil {
		t.Fatal(err)
	}
	at := func(g *Gateway, now int64) (*Stream, *Decision) {
		s := new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders(), false, now)
		return s, s.RequestBody([]byte(call("search")), now)
	}
	const idle = second + currentFor + 1
	for name, answer := range map[string]struct {
		status int
		body   []byte
		pass   bool
	}{"changed": {200, taken, false}, "the same": {304, nil, true}, "broker away": {0, nil, true}, "broker not ready": {503, nil, true}} {
		g := newGateway(t)
		g.found(second)
		longFetched(g)
		if _, d := at(g, idle-1); d.Action != Pass {
			t.Errorf("%s: a table of half a second is not used: %+v", name, d)
		}
		g = newGateway(t)
		g.found(second)
		longFetched(g)
		s, d := at(g, idle)
		if d.Action != Ask || d.Question.Path != gatewayconfig.PathTable || d.Question.Timeout == 0 {
			t.Fatalf("%s: %+v", name, d)
		}
		if _, other := at(g, idle+1); other.Action != Ask {
			t.Errorf("%s: another request goes on meanwhile", name)
		}
		d = s.Answer(answer.status, answer.body, idle)
		if answer.pass != (d.Action == Pass) {
			t.Errorf("%s: %+v", name, d)
		}
		if d.Action == Ask { // to look once more is no harm
			d = s.Answer(304, nil, idle)
		}
		if !answer.pass && (d.Action != Reply || !strings.Contains(string(d.Body), "-32602")) {
			t.Errorf("%s: %d %s", name, d.Status, d.Body)
		}
		if _, d = at(g, idle+2); answer.pass && d.Action != Pass {
			t.Errorf("%s: asked again at once: %+v", name, d)
		}
	}
}

// What a list does not show any more cannot be called by who has seen it.
func TestCallAfterAListLooksAtTheTable(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.found(second)
	longFetched(g)
	for _, list := range []struct {
		body    string
		headers []string
	}{
		{`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, nil},
		{stateless("prompts/list", ""), statelessHeaders("prompts/list", "")},
	} {
		if _, d := post(g, list.body, list.headers...); d.Action != Pass {
			t.Fatalf("%s: %+v", list.body, d)
		}
		g.current.Store(second - 1) // all of it is in one moment here
		s, d := post(g, call("search"))
		if d.Action != Ask || d.Question.Path != gatewayconfig.PathTable {
			t.Fatalf("after %s: %+v", list.body, d)
		}
		if d = s.Answer(304, nil, second+1); d.Action != Pass {
			t.Errorf("%+v", d)
		}
		if _, d = post(g, call("search")); d.Action != Pass {
			t.Errorf("asked again: %+v", d)
		}
		g.current.Store(second)
		g.listed.Store(0)
	}
}
