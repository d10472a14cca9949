package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
)

// at sends a request to a path of the gateway; body empty is a GET.
func (g *gateway) at(path, id, body string) answer {
	g.t.Helper()
	verb := http.MethodPost
	if body == "" {
		verb = http.MethodGet
	}
	r, err := http.NewRequest(verb, "http://gateway"+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Content-Type", "application/json")
	if id != "" {
		r.Header.Set("Mcp-Session-Id", id)
	}
	resp, err := g.public.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

const toolsList = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`

func viewConfig() gatewayconfig.Broker {
	c := config("one", "two")
	c.Description, c.Instructions = "All of it", "Gateway's."
	c.Views = []gatewayconfig.View{
		{Name: "team", Description: "Some of it", Instructions: "Team's.", Servers: []string{"one"}, Tools: gatewayconfig.Rules{Deny: []string{"*_b"}}},
		{Name: "all", Servers: []string{"one", "two"}},
	}
	return c
}

func TestViewsAreEndpointsOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := raw("a", "b"), raw("c")
		one.Hello = rawserver.Hello(`{"tools":{}}`)
		g := newGateway(t, setup{config: viewConfig()}, map[string]http.Handler{"one": one, "two": two})
		open := func(path string) (string, string) {
			got := g.at(path, "", initializeRequest)
			return got.header.Get("Mcp-Session-Id"), got.body
		}
		own, ownHello := open("/mcp")
		team, teamHello := open("/mcp/team")
		all, allHello := open("/mcp/all")
		for body, want := range map[string]string{
			ownHello:  `"serverInfo":{"name":"gw","version":"7","description":"All of it"},"instructions":"Gateway's.\n\n## one\nbe kind\n\n## two\nbe kind"`,
			teamHello: `"capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"team","version":"7","description":"Some of it"},"instructions":"Team's.\n\n## one\nbe kind"`,
			allHello:  `"serverInfo":{"name":"all","version":"7"},"instructions":"Gateway's.\n\n## one\nbe kind\n\n## two\nbe kind"`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("initialize: %s, want %s", body, want)
			}
		}
		for path, list := range map[string]struct{ id, want string }{
			"/mcp": {own, toolList("one_a", "one_b", "two_c")}, "/mcp/team": {team, toolList("one_a")}, "/mcp/all": {all, toolList("one_a", "one_b", "two_c")},
		} {
			if got := g.at(path, list.id, toolsList); got.body != `{"jsonrpc":"2.0","id":1,"result":`+list.want+`}` {
				t.Errorf("%s: %s", path, got.body)
			}
		}
		// A session is good at its own endpoint only, for any message; a path that
		// nobody configured is none.
		for _, test := range []struct{ path, id string }{
			{"/mcp", team}, {"/mcp/team", own}, {"/mcp/team", all}, {"/mcp/all", team},
			{"/mcp/gone", own}, {"/mcp/", own}, {"/mcp/team/", team}, {"/other", own}, {"/", own},
		} {
			for _, body := range []string{toolsList, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","method":"notifications/x"}`, ""} {
				if got := g.at(test.path, test.id, body); got.status != 404 {
					t.Errorf("%s %s: %d %s", test.path, body, got.status, got.body)
				}
			}
		}
		if got := g.at("/mcp/gone", "", initializeRequest); got.status != 404 {
			t.Errorf("initialize at a path without a view: %d %s", got.status, got.body)
		}
	})
}

func TestResolveKeepsToTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: viewConfig()}, map[string]http.Handler{"one": raw("a"), "two": raw("c")})
		id := g.at("/mcp/team", "", initializeRequest).header.Get("Mcp-Session-Id")
		for question, want := range map[string]int{
			`{"session":%q,"server":"one","endpoint":"team"}`: 200,
			`{"session":%q,"server":"","endpoint":"team"}`:    200,
			`{"session":%q,"server":"two","endpoint":"team"}`: 410, // not shown there
			`{"session":%q,"server":"one"}`:                   404,
			`{"session":%q,"server":""}`:                      404,
			`{"session":%q,"server":"one","endpoint":"all"}`:  404,
			`{"session":%q,"server":"","endpoint":"all"}`:     404,
			`{"session":%q,"server":"one","endpoint":"gone"}`: 410,
		} {
			if _, got := g.resolve(fmt.Sprintf(question, id)); got != want {
				t.Errorf("%s: %d, want %d", question, got, want)
			}
		}
	})
}

func TestViewThatGoesIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: viewConfig()}, map[string]http.Handler{"one": raw("a", "b"), "two": raw("c")})
		team := g.at("/mcp/team", "", initializeRequest).header.Get("Mcp-Session-Id")
		c := viewConfig()
		c.Views = c.Views[1:]
		g.apply(c)
		if got := g.at("/mcp/team", team, toolsList); got.status != 404 {
			t.Errorf("%d %s", got.status, got.body)
		}
		// It comes back with other rules, and its sessions with it.
		c = viewConfig()
		c.Views[0].Tools.Deny = nil
		g.apply(c)
		if got := g.at("/mcp/team", team, toolsList); !strings.Contains(got.body, toolList("one_a", "one_b")) {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestPagesAreFollowedByCursors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a", "b", "c", "d", "e")
		c := config("one")
		c.PageSize = 2
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		id := g.open()
		page := func(params string) (names, cursor string, body string) {
			got := g.at("/mcp", id, `{"jsonrpc":"2.0","id":1,"method":"tools/list"`+params+`}`)
			var m struct {
				Result struct {
					Tools      []struct{ Name string }
					NextCursor *string
				}
			}
			if got.status != 200 || json.Unmarshal([]byte(got.body), &m) != nil {
				t.Fatalf("%d %s", got.status, got.body)
			}
			for _, tool := range m.Result.Tools {
				names += tool.Name + " "
			}
			if m.Result.NextCursor != nil {
				cursor = *m.Result.NextCursor
			}
			return names, cursor, got.body
		}
		var names string
		first, cursor, _ := page(`,"params":{"cursor":null}`)
		second := cursor
		for names = first; cursor != ""; {
			var more string
			more, cursor, _ = page(`,"params":{"cursor":"` + cursor + `"}`)
			names += more
		}
		if names != "one_a one_b one_c one_d one_e " {
			t.Errorf("pages hold %s", names)
		}
		for _, bad := range []string{`""`, `"x"`, `7`, `{}`, `"` + second[1:] + `"`} {
			if _, _, body := page(`,"params":{"cursor":` + bad + `}`); !strings.Contains(body, `"code":-32602`) {
				t.Errorf("cursor %s: %s", bad, body)
			}
		}
		// A cursor of what the list was is none any more.
		one.Set("tools/list", toolList("a", "x"))
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if _, _, body := page(`,"params":{"cursor":"` + second + `"}`); !strings.Contains(body, `"code":-32602`) {
			t.Errorf("a cursor of before: %s", body)
		}
	})
}

// A server that fails after it was listed, under each policy.
func TestListsWhileAServerFails(t *testing.T) {
	t.Parallel()
	for policy, want := range map[gatewayconfig.Partial]string{
		"":                         toolList("one_a", "two_c"),
		gatewayconfig.PartialStale: toolList("one_a", "two_c"),
		gatewayconfig.PartialSkip:  toolList("two_c"),
		gatewayconfig.PartialFail:  "",
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config("one", "two", "never")
				c.Servers[0].Partial = policy
				c.Views = []gatewayconfig.View{{Name: "two", Servers: []string{"two"}}}
				g := newGateway(t, setup{unconfigured: true}, map[string]http.Handler{"two": raw("c")})
				stop := g.serve("one", raw("a"))
				g.apply(c)
				id, two := g.open(), g.at("/mcp/two", "", initializeRequest).header.Get("Mcp-Session-Id")
				list := func() string { return g.at("/mcp", id, toolsList).body }
				if got := list(); !strings.Contains(got, toolList("one_a", "two_c")) {
					t.Fatalf("before: %s", got)
				}
				stream := g.listen(id)
				stop()
				g.net.set("one", nil)
				time.Sleep(6 * time.Minute)
				synctest.Wait()
				began := time.Now()
				switch got := list(); {
				case want != "" && !strings.Contains(got, want):
					t.Errorf("got %s, want %s", got, want)
				case want == "" && (!strings.Contains(got, `"code":-32603`) || !strings.Contains(got, "server one ") || strings.Contains(got, address)):
					t.Errorf("got %s, want an error that names the server", got)
				case time.Since(began) > 0:
					t.Errorf("the list took %v", time.Since(began))
				}
				if got := g.at("/mcp/two", two, toolsList); !strings.Contains(got.body, toolList("two_c")) {
					t.Errorf("an endpoint without the server: %s", got.body)
				}
				if told := strings.Contains(strings.Join(stream.drain(), "\n"), "tools/list_changed"); told != (policy == "skip" || policy == "fail") {
					t.Errorf("told of a change: %v", told)
				}
				s := g.broker.Status().Servers[0]
				if s.Partial != policy || !s.Stale || s.AgeSeconds == nil || *s.AgeSeconds < 60 {
					t.Errorf("status %+v", s)
				}
				// The filter still routes its calls, whatever lists show.
				if _, ok := g.broker.view.Load().catalog.Table().Tools["one_a"]; !ok {
					t.Error("one_a is not in the table")
				}
				g.serve("one", raw("a"))
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := list(); !strings.Contains(got, toolList("one_a", "two_c")) {
					t.Errorf("afterwards: %s", got)
				}
			})
		})
	}
}

func TestStatusTellsOfNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := viewConfig()
		c.NameLimit = 64
		c.Servers[0].OnConflict = true
		c.Servers[0].Prompts.Deny = []string{"*"}
		one := raw("a b", "c")
		one.Set("prompts/list", `{"prompts":[{"name":"p"}]}`)
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": raw("c")})
		g.open()
		got := g.broker.Status()
		if len(got.Renamed) != 1 || got.Renamed[0] != (RenamedStatus{List: "tools", Server: "one", Name: "a b", Exposed: "a_b_c8687a08"}) {
			t.Errorf("renamed %+v", got.Renamed)
		}
		if s := got.Servers[0]; !s.OnConflict || s.Hidden != 1 || s.Stale {
			t.Errorf("server %+v", s)
		}
		want := []EndpointStatus{{Path: "/mcp", Tools: 3}, {Path: "/mcp/team", Tools: 2}, {Path: "/mcp/all", Tools: 3}}
		for i, e := range got.Endpoints {
			if i >= len(want) || e != want[i] {
				t.Errorf("endpoint %+v", e)
			}
		}
	})
}

func TestWithoutAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`Post "http://tools.example:80/mcp?key=secret": dial tcp 10.1.2.3:80: connect: connection refused`: `Post (address): dial tcp (address): connect: connection refused`,
		`lookup tools.example on [fe80::1%eth0]:53: no such host`:                                          `lookup (address) on (address): no such host`,
		`tools.example:443 answered 500 to tools/list`:                                                     `(address) answered 500 to tools/list`,
		`more than 10000 items`: `more than 10000 items`,
	} {
		if got := withoutAddresses(text, "https://tools.example/mcp"); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// A stream tells of its own endpoint only, and ends with it.
func TestStreamsBelongToTheirEndpoint(t *testing.T) {
	t.Parallel()
	h := newHub()
	own := h.open(context.Background(), session.ID("own").Key(), "", toolsChanged, false)
	team := h.open(context.Background(), session.ID("team").Key(), "team", toolsChanged, false)
	h.announce(map[string]changes{"": toolsChanged, "team": 0})
	if h.take(own) != toolsChanged || h.take(team) != 0 {
		t.Error("told of another endpoint's change")
	}
	h.announce(map[string]changes{"": 0})
	select {
	case <-team.open.Done():
	default:
		t.Error("the stream outlives its endpoint")
	}
	select {
	case <-own.open.Done():
		t.Error("the other stream ended too")
	default:
	}
	h.close(session.ID("team").Key(), team)
	if h.count() != 1 {
		t.Errorf("%d streams", h.count())
	}
}

func TestSubscriptionsKeepToRulesAndViews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := viewConfig()
		c.Servers[0].Resources.Deny = []string{"file:///secret*"}
		c.Views[0].Resources.Allow = []string{"one+file:///team/*"}
		one, two := raw("a"), raw("c")
		for _, s := range []*rawserver.Server{one, two} {
			s.Hello = rawserver.Hello(`{"tools":{},"resources":{"subscribe":true}}`)
			s.Results["resources/subscribe"] = `{}`
		}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": two})
		own := g.open()
		team := g.at("/mcp/team", "", initializeRequest).header.Get("Mcp-Session-Id")
		for _, test := range []struct {
			path, id, uri string
			ok            bool
		}{
			{"/mcp", own, "one+file:///a", true}, {"/mcp", own, "one+file:///secret", false}, {"/mcp", own, "one+file:///%73ecret", false},
			{"/mcp", own, "two+file:///secret", true}, {"/mcp", own, "file:///a", false},
			{"/mcp/team", team, "one+file:///team/a", true}, {"/mcp/team", team, "one+file:///a", false}, {"/mcp/team", team, "two+file:///team/a", false},
		} {
			got := g.at(test.path, test.id, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":%q}}`, test.uri))
			if ok := strings.Contains(got.body, `"result":{}`); ok != test.ok || !ok && !strings.Contains(got.body, `"code":-32002`) {
				t.Errorf("%s %s: %s", test.path, test.uri, got.body)
			}
		}
		// The backend session that the view has at the server is the view's.
		if n := len(one.Requests("POST", "resources/subscribe")); n != 2 {
			t.Errorf("%d subscriptions reached the server, want 2", n)
		}
	})
}
