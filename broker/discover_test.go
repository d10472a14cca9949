package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// private is the head of a result that nobody may keep.
const private = `"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"gw","version":"7"}},`

func TestDiscover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config("one", "two")
		c.Instructions = "Choose."
		c.Views = []gatewayconfig.View{{Name: "part", Servers: []string{"two"}, Description: "a part", Instructions: "Look."}}
		two := raw("b")
		two.Hello = strings.Replace(two.Hello, `"resources":{}`, `"resources":{"subscribe":true},"logging":{},"completions":{},"experimental":{"x":{}}`, 1)
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a"), "two": two})
		got := g.modern("server/discover", "")
		capabilities := `"capabilities":{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"logging":{},"completions":{}}`
		versions := `"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],`
		want := `{"jsonrpc":"2.0","id":1,"result":{` + private + versions + capabilities + `,"instructions":"Choose.\n\n## one\nbe kind\n\n## two\nbe kind"}}`
		if got.status != 200 || got.body != want {
			t.Errorf("%d %s\nwant %s", got.status, got.body, want)
		}
		g.path = "/mcp/part"
		got = g.modern("server/discover", "")
		info := strings.Replace(private, `"name":"gw","version":"7"`, `"name":"part","version":"7","description":"a part"`, 1)
		want = `{"jsonrpc":"2.0","id":1,"result":{` + info + versions + capabilities + `,"instructions":"Look.\n\n## two\nbe kind"}}`
		if got.status != 200 || got.body != want {
			t.Errorf("%d %s\nwant %s", got.status, got.body, want)
		}
	})
}

func TestDiscoverWaitsForAConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{unconfigured: true}, map[string]http.Handler{"one": raw("a")})
		if got := g.modern("server/discover", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", got.status, got.body)
		}
		g.apply(config("one"))
		if got := g.modern("server/discover", ""); got.status != 200 || !strings.Contains(got.body, "## one") {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestListsOfStatelessClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := raw(), raw("b")
		one.Results["tools/list"] = `{"tools":[{"name":"a","execution":{"taskSupport":"optional"},"n":1.0},{"name":"t","execution":{"taskSupport":"required"}}]}`
		two.Results["resources/list"] = `{"resources":[{"uri":"file:///r"}]}`
		c := config("one", "two")
		c.PageSize = 1
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": two})
		first := g.modern("tools/list", "")
		cursor, found := strings.CutPrefix(first.body, `{"jsonrpc":"2.0","id":1,"result":{`+private+`"tools":[{"name":"one_a","n":1.0}],"nextCursor":`)
		if !found {
			t.Fatalf("%d %s", first.status, first.body)
		}
		second := g.modern("tools/list", `"cursor":`+strings.TrimSuffix(cursor, "}}"))
		if want := `{"jsonrpc":"2.0","id":1,"result":{` + private + `"tools":[{"name":"two_b"}]}}`; second.body != want {
			t.Errorf("%s\nwant %s", second.body, want)
		}
		if got, want := g.modern("resources/list", "").body, `{"jsonrpc":"2.0","id":1,"result":{`+private+`"resources":[{"uri":"two+file:///r"}]}}`; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		// Nor can be called what is not offered.
		hidden := g.request("POST", stateless("1", "tools/call", `"name":"one_t"`), mirrors("tools/call", "one_t"))
		if brief, _ := describe(hidden.body); hidden.status != 200 || brief != "1 -32602" {
			t.Errorf("%d %s", hidden.status, hidden.body)
		}
		for _, method := range []string{"prompts/list", "resources/templates/list"} {
			if got := g.modern(method, ""); got.status != 200 || !strings.HasPrefix(got.body, `{"jsonrpc":"2.0","id":1,"result":{`+private) {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
	})
}

func TestCachingIsTheStrictest(t *testing.T) {
	t.Parallel()
	good := upstream.Snapshot{State: upstream.Ready, Modern: true, TTL: time.Minute, Version: "2026-07-28", Tools: true}
	with := func(change func(*upstream.Snapshot)) *upstream.Snapshot {
		s := good
		change(&s)
		return &s
	}
	for name, tt := range map[string]struct {
		servers []*upstream.Snapshot
		want    caching
	}{
		"none":    {nil, caching{0, "public"}},
		"one":     {[]*upstream.Snapshot{&good}, caching{60_000, "public"}},
		"shorter": {[]*upstream.Snapshot{&good, with(func(s *upstream.Snapshot) { s.TTL = time.Second })}, caching{1000, "public"}},
		"private": {[]*upstream.Snapshot{with(func(s *upstream.Snapshot) { s.Private = true }), &good}, caching{60_000, "private"}},
		"legacy":  {[]*upstream.Snapshot{&good, with(func(s *upstream.Snapshot) { s.Modern, s.Legacy = false, true })}, caching{0, "private"}},
		"failed":  {[]*upstream.Snapshot{&good, with(func(s *upstream.Snapshot) { s.State = upstream.Failed })}, caching{0, "public"}},
	} {
		if got := cachingOf(tt.servers); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	// Who has no prompts has no say about the list of them.
	prompts := with(func(s *upstream.Snapshot) { s.Prompts, s.Tools, s.TTL = true, false, time.Hour })
	heads := encodeListed(gatewayconfig.Broker{Name: "gw", Version: "7"}, []*upstream.Snapshot{&good, prompts})
	want := `,"result":{"resultType":"complete","ttlMs":3600000,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"gw","version":"7"}},`
	if got := string(heads[1]); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestExtensionsThatAreCarried(t *testing.T) {
	t.Parallel()
	server := func(modern bool, extensions string) *upstream.Snapshot {
		return &upstream.Snapshot{Modern: modern, Capabilities: []byte(`{"extensions":` + extensions + `}`)}
	}
	for _, tt := range []struct {
		name    string
		servers []*upstream.Snapshot
		want    map[string]string
	}{
		{"none", []*upstream.Snapshot{{}, server(true, `1`)}, map[string]string{}},
		{"unknown", []*upstream.Snapshot{server(true, `{"com.example/x":{}}`)}, map[string]string{}},
		{"one", []*upstream.Snapshot{{}, server(true, `{"io.modelcontextprotocol/tasks":{"a": 1.0}}`)}, map[string]string{mcp.ExtensionTasks: `{"a": 1.0}`}},
		{"tasks of a server with sessions", []*upstream.Snapshot{server(false, `{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{}}`)}, map[string]string{extensionUI: `{}`}},
		{"equal", []*upstream.Snapshot{server(true, `{"io.modelcontextprotocol/ui":{"m": ["a"], "n":1}}`), server(true, `{"io.modelcontextprotocol/ui":{"n":1,"m":["a"]}}`)}, map[string]string{extensionUI: `{"m": ["a"], "n":1}`}},
		{"in common", []*upstream.Snapshot{server(true, `{"io.modelcontextprotocol/ui":{"m": ["a"], "n":1,"o":true}}`), server(false, `{"io.modelcontextprotocol/ui":{"o":true,"n":1.0,"m":["a"]}}`)}, map[string]string{extensionUI: `{"m":["a"],"o":true}`}},
	} {
		got := map[string]string{}
		for id, settings := range extensionsOf(tt.servers) {
			got[id] = string(settings)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
