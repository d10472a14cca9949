package broker

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/mcp"
)

func TestNotificationsOfClients(t *testing.T) {
	t.Parallel()
	const (
		cancelled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{ "requestId":1e400,"reason":"\u0061"}}`
		roots     = `{"method":"notifications/roots/list_changed" ,"jsonrpc":"2.0"}`
	)
	synctest.Test(t, func(t *testing.T) {
		one, two, hang, idle := raw("a"), raw("b"), raw("c"), raw("d")
		hang.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if strings.HasPrefix(method, "notifications/c") || strings.HasPrefix(method, "notifications/roots") {
				<-r.Context().Done()
			}
			return false
		}
		g := newGateway(t, setup{config: config("hang", "one", "two", "idle")},
			map[string]http.Handler{"hang": hang, "one": one, "two": two, "idle": idle})
		id := g.open()
		for _, server := range []string{"hang", "one", "two"} {
			g.join(id, server)
		}
		began := time.Now()
		for _, body := range []string{
			cancelled, roots,
			`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/other"}`,
			`{"jsonrpc":"2.0","id":1,"result":{}}`,
			`{"jsonrpc":"2.0","id":"nobody~1","error":{"code":1,"message":"x"}}`,
		} {
			if got := g.post(id, body); got.status != 202 || got.body != "" {
				t.Errorf("%s: %d %s", body, got.status, got.body)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("a server that hangs keeps the client waiting for %v", took)
		}
		synctest.Wait()
		for name, s := range map[string]*rawserver.Server{"one": one, "two": two, "hang": hang} {
			var got []string
			for _, r := range s.Seen() {
				if r.Verb == "POST" && (r.Method == "notifications/cancelled" || strings.HasPrefix(r.Method, "notifications/roots")) {
					if r.Header.Get("Mcp-Session-Id") != "backend" {
						t.Errorf("%s: session %q", name, r.Header.Get("Mcp-Session-Id"))
					}
					got = append(got, r.Body)
				}
			}
			want := map[string]bool{cancelled: true, roots: true}
			seen := map[string]bool{}
			for _, body := range got {
				seen[body] = true
			}
			if diff := cmp.Diff(want, seen); diff != "" || len(got) != 2 {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			for _, r := range s.Seen() {
				if r.Method == "notifications/progress" || r.Method == "notifications/other" || r.Method == "" && r.Verb == "POST" {
					t.Errorf("%s got %s", name, r.Body)
				}
			}
		}
		for _, r := range idle.Seen() {
			if r.Method == "notifications/cancelled" {
				t.Error("a server without a session is told")
			}
		}
		time.Sleep(tellTimeout)
		synctest.Wait()
		if g.broker.errands.now != 0 {
			t.Errorf("%d notifications never end", g.broker.errands.now)
		}
	})
}

func TestRootsOfAClientWithoutRoots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		got := g.request("POST", strings.Replace(initializeRequest, `"roots":{}`, `"sampling":{}`, 1), nil)
		id := got.header.Get("Mcp-Session-Id")
		g.join(id, "one")
		if got := g.post(id, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`); got.status != 202 {
			t.Errorf("%d %s", got.status, got.body)
		}
		synctest.Wait()
		if n := len(one.Requests("POST", "notifications/roots/list_changed")); n != 0 {
			t.Error("the server hears of roots that the client has not declared")
		}
	})
}

// Many notifications for a server that hangs are dropped, not collected.
func TestNotificationsUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := raw("a")
		hang.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method == "notifications/cancelled" {
				<-r.Context().Done()
			}
			return false
		}
		g := newGateway(t, setup{config: config("hang")}, map[string]http.Handler{"hang": hang})
		id := g.open()
		g.join(id, "hang")
		for range errandsAtOnce/2 + 100 {
			if got := g.post(id, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`); got.status != 202 {
				t.Fatal(got.status)
			}
		}
		synctest.Wait()
		if n := len(hang.Requests("POST", "notifications/cancelled")); n > 64 {
			t.Errorf("%d at one server at once", n)
		}
		if g.broker.errands.now != errandsAtOnce/2 {
			t.Errorf("%d under way", g.broker.errands.now)
		}
		began := time.Now()
		g.stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the end took %v", took)
		}
	})
}

// What one client has under way leaves room for others.
func TestNotificationsOfOneClientLeaveRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang, one := raw("a"), raw("b")
		hang.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method == "notifications/cancelled" {
				<-r.Context().Done()
			}
			return false
		}
		g := newGateway(t, setup{config: config("hang", "one")}, map[string]http.Handler{"hang": hang, "one": one})
		const cancelled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`
		greedy := map[string]string{mcp.HeaderAddress: "10.0.0.1"}
		for range 2 { // sessions of one client
			session := g.openAs(greedy)
			g.join(session["Mcp-Session-Id"], "hang")
			for range errandsAtOnce / 2 {
				g.request("POST", cancelled, session)
			}
		}
		session := g.openAs(map[string]string{mcp.HeaderAddress: "10.0.0.2"})
		g.join(session["Mcp-Session-Id"], "one")
		g.request("POST", cancelled, session)
		synctest.Wait()
		if n := len(one.Requests("POST", "notifications/cancelled")); n != 1 {
			t.Errorf("of another client %d arrive", n)
		}
		time.Sleep(tellTimeout)
		synctest.Wait()
		if n := len(g.broker.errands.of); n != 0 {
			t.Errorf("%d clients are remembered", n)
		}
	})
}

// Of a large notification servers get what it must have, and nothing else of it is
// kept until they take it.
func TestLargeNotifications(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.join(id, "one")
		text := func(n int) string { return strings.Repeat("x", n) }
		cancelled := func(id, reason string) string {
			return `{"jsonrpc":"2.0", "method":"notifications/cancelled","params":{"reason":"` + reason + `","requestId":` + id + `}}`
		}
		fits := cancelled(`"fits"`, text(8<<10))
		for _, test := range []struct{ body, want string }{
			{fits, fits},
			{cancelled(`"\u0061 b"`, text(largestTold)), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"\u0061 b"}}`},
			{cancelled(`"`+text(largestTold)+`"`, ""), ""},
			{`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"` + text(largestTold) + `"}}`, ""},
			{`{"jsonrpc":"2.0","method":"notifications/roots/list_changed","params":{"_meta":{"x":"` + text(largestTold) + `"}}}`, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`},
		} {
			before := len(one.Seen())
			if got := g.post(id, test.body); got.status != 202 || got.body != "" {
				t.Errorf("%.80s: %d %s", test.body, got.status, got.body)
			}
			synctest.Wait()
			got := ""
			for _, r := range one.Seen()[before:] {
				got += r.Body
			}
			if got != test.want {
				t.Errorf("%.80s: the server gets %.200s", test.body, got)
			}
		}
	})
}

func TestDeclaredToServers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, client, federated, sole string
	}{
		{"nothing", ``, `{}`, `{}`},
		{"no object", `[]`, `{}`, `{}`},
		{
			"all", `{"tasks":{"x":{}},"roots":{ "listChanged":true},"experimental":{"e":1.0},"elicitation":{"url":{}},"sampling":{"tools":{}},"new":{}}`,
			`{"sampling":{"tools":{}},"elicitation":{"url":{}},"roots":{ "listChanged":true}}`,
			`{"sampling":{"tools":{}},"elicitation":{"url":{}},"roots":{ "listChanged":true},"experimental":{"e":1.0}}`,
		},
		{"other types", `{"roots":true,"sampling":null,"elicitation":[],"experimental":"x"}`, `{}`, `{}`},
		{"twice", `{"roots":{"a":1},"roots":{"b":1}}`, `{"roots":{"a":1}}`, `{"roots":{"a":1}}`},
	} {
		if got := string(declaredTo([]byte(test.client), false)); got != test.federated {
			t.Errorf("%s, federated: %s", test.name, got)
		}
		if got := string(declaredTo([]byte(test.client), true)); got != test.sole {
			t.Errorf("%s, sole: %s", test.name, got)
		}
	}
}
