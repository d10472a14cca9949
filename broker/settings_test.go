package broker

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
)

// withAll returns a server with every capability that concerns sessions.
func withAll(tools ...string) *rawserver.Server {
	s := raw(tools...)
	s.Hello = rawserver.Hello(`{"tools":{},"resources":{"subscribe":true},"logging":{}}`)
	for _, method := range []string{"logging/setLevel", "resources/subscribe", "resources/unsubscribe"} {
		s.Results[method] = `{}`
	}
	return s
}

func (g *gateway) post(id, body string) answer {
	g.t.Helper()
	return g.request("POST", body, map[string]string{"Mcp-Session-Id": id})
}

func setLevel(level string) string {
	return `{"jsonrpc":"2.0","id":"L","method":"logging/setLevel","params":{"level":` + level + `}}`
}

func TestSetLevelReachesOpenAndLaterSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two, mute, hang := withAll("a"), withAll("b"), raw("c"), withAll("d")
		hang.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method == "logging/setLevel" {
				<-r.Context().Done()
			}
			return false
		}
		g := newGateway(t, setup{config: config("one", "two", "mute", "hang")},
			map[string]http.Handler{"one": one, "two": two, "mute": mute, "hang": hang})
		id := g.open()
		for _, server := range []string{"one", "mute", "hang"} {
			g.join(id, server)
		}
		began := time.Now()
		if got := g.post(id, setLevel(`"\u0065rror"`)); got.status != 200 || got.body != `{"jsonrpc":"2.0","id":"L","result":{}}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		if took := time.Since(began); took != levelTimeout {
			t.Errorf("with a server that hangs it took %v", took)
		}
		told := one.Requests("POST", "logging/setLevel")
		if len(told) != 1 || !strings.Contains(told[0].Body, `"params":{"level":"\u0065rror"}`) || told[0].Header.Get("Mcp-Session-Id") != "backend" {
			t.Errorf("told %+v", told)
		}
		if strings.Contains(told[0].Body, `"id":"L"`) {
			t.Errorf("the id of the client is used for another request: %s", told[0].Body)
		}
		if n := len(mute.Requests("POST", "logging/setLevel")); n != 0 {
			t.Error("a server without logging is told")
		}
		if n := len(two.Requests("POST", "logging/setLevel")); n != 0 {
			t.Error("a server without a session is told")
		}
		g.join(id, "two")
		if told := two.Requests("POST", "logging/setLevel"); len(told) != 1 || !strings.Contains(told[0].Body, `{"level":"error"}`) {
			t.Errorf("told later %+v", told)
		}
		g.join(g.open(), "two")
		if told := two.Requests("POST", "logging/setLevel"); len(told) != 1 {
			t.Error("the level of one client is set for another")
		}
		for _, bad := range []string{`"verbose"`, `"Error"`, `""`, `7`, `null`, `{}`} {
			got := g.post(id, setLevel(bad))
			if brief, _ := describe(got.body); got.status != 200 || brief != `"L" -32602` {
				t.Errorf("level %s: %d %s", bad, got.status, got.body)
			}
		}
		got := g.post(id, `{"jsonrpc":"2.0","id":"L","method":"logging/setLevel"}`)
		if brief, _ := describe(got.body); brief != `"L" -32602` {
			t.Errorf("without params: %s", got.body)
		}
		if s, err := g.store.Settings(t.Context(), session.ID(id)); err != nil || s.Level != "error" {
			t.Errorf("kept %+v, %v", s, err)
		}
	})
}

// The level is set after the server was told the one before and before the
// session is known: nobody but the opening itself can tell the server.
func TestLevelSetWhileASessionOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := withAll("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		synctest.Wait()
		one.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method == "notifications/initialized" {
				time.Sleep(time.Second)
			}
			return false
		}
		go func() {
			time.Sleep(500 * time.Millisecond)
			g.post(id, setLevel(`"debug"`))
		}()
		g.join(id, "one")
		if told := one.Requests("POST", "logging/setLevel"); len(told) != 1 || !strings.Contains(told[0].Body, `{"level":"debug"}`) {
			t.Errorf("told %+v", told)
		}
	})
}

func subscribeTo(method, uri string) string {
	return `{"jsonrpc":"2.0","id":"S","method":"resources/` + method + `","params":{ "x":1.0,"uri":"` + uri + `","y":[]}}`
}

func TestSubscriptionsAreRelayedAndKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := withAll("a"), withAll("b")
		two.Results["resources/subscribe"] = `{"odd": 1.0}`
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": one, "two": two})
		id := g.open()
		kept := func() map[session.Subscription]bool {
			s, err := g.store.Settings(t.Context(), session.ID(id))
			if err != nil {
				t.Fatal(err)
			}
			all := map[session.Subscription]bool{}
			for _, sub := range s.Subscriptions {
				all[sub] = true
			}
			return all
		}
		if got := g.post(id, subscribeTo("subscribe", `two+file:\/\/\/a`)); got.body != `{"jsonrpc":"2.0","id":"S","result":{"odd": 1.0}}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := g.post(id, subscribeTo("subscribe", `ui://one+b`)); got.body != `{"jsonrpc":"2.0","id":"S","result":{}}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		sent := two.Requests("POST", "resources/subscribe")
		if len(sent) != 1 || !strings.Contains(sent[0].Body, `"params":{ "x":1.0,"uri":"file:///a","y":[]}`) || sent[0].Header.Get("Mcp-Session-Id") != "backend" {
			t.Errorf("sent %+v", sent)
		}
		want := map[session.Subscription]bool{{Server: "two", URI: "file:///a"}: true, {Server: "one", URI: "ui://b"}: true}
		if diff := cmp.Diff(want, kept()); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}

		// Each server's next session is told of its own.
		if _, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"two","stale":"backend"}`, id)); status != 200 {
			t.Fatal(status)
		}
		sent = two.Requests("POST", "resources/subscribe")
		if len(sent) != 2 || !strings.Contains(sent[1].Body, `"params":{"uri":"file:///a"}`) {
			t.Errorf("sent %+v", sent)
		}

		if got := g.post(id, subscribeTo("unsubscribe", `two+file:///a`)); got.body != `{"jsonrpc":"2.0","id":"S","result":{}}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		delete(want, session.Subscription{Server: "two", URI: "file:///a"})
		if diff := cmp.Diff(want, kept()); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}

		// What a server refuses is not kept, and its error is the answer.
		one.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
			if method == "resources/subscribe" {
				w.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32002,"message":"no \u0061","data":{"n":1e400}}}`, id)
				return true
			}
			return false
		}
		if got := g.post(id, subscribeTo("subscribe", `one+file:///none`)); got.status != 200 ||
			got.body != `{"jsonrpc":"2.0","id":"S","error":{"code":-32002,"message":"no \u0061","data":{"n":1e400}}}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		g.post(id, subscribeTo("subscribe", `ui://one+b`)) // was kept before
		if diff := cmp.Diff(want, kept()); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
	})
}

func TestSubscriptionsThatCannotBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, hang := withAll("a"), withAll("b")
		hang.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method == "resources/subscribe" {
				<-r.Context().Done()
			}
			return false
		}
		g := newGateway(t, setup{config: config("one", "hang", "down")}, map[string]http.Handler{"one": one, "hang": hang})
		id := g.open()
		for uri, want := range map[string]string{
			`file:///a`:       `"S" -32002 {"uri":"file:///a"}`,
			`other+file:///a`: `"S" -32002 {"uri":"other+file:///a"}`,
			`\u006fne`:        `"S" -32002 {"uri":"\u006fne"}`,
			`down+file:///a`:  `"S" -32603`,
			`hang+file:///a`:  `"S" -32603`,
			`one+` + strings.Repeat("x", session.LongestURI+1): `"S" -32602`,
		} {
			began := time.Now()
			got := g.post(id, subscribeTo("subscribe", uri))
			if brief, _ := describe(got.body); got.status != 200 || brief != want || strings.Contains(got.body, address) {
				t.Errorf("%.40s: %d %s", uri, got.status, got.body)
			}
			if took := time.Since(began); took >= 10*time.Second {
				t.Errorf("%.40s: Envoy gives up before, after %v", uri, took)
			}
		}
		for _, params := range []string{`{}`, `{"uri":7}`, `[]`} {
			got := g.post(id, `{"jsonrpc":"2.0","id":"S","method":"resources/subscribe","params":`+params+`}`)
			if brief, _ := describe(got.body); brief != `"S" -32602` {
				t.Errorf("%s: %s", params, got.body)
			}
		}
		if s, err := g.store.Settings(t.Context(), session.ID(id)); err != nil || len(s.Subscriptions) != 0 {
			t.Errorf("kept %+v, %v", s, err)
		}
		g.stop()
	})
}

func TestSubscribeAtAServerThatForgotTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := withAll("a")
		var gone atomic.Bool
		one.Intercept = func(w http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method == "resources/subscribe" && gone.CompareAndSwap(true, false) {
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			return false
		}
		c := config("one")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		id := g.open()
		g.join(id, "one")
		gone.Store(true)
		// A single server's URIs carry no label, whatever they look like.
		if got := g.post(id, subscribeTo("subscribe", `git+ssh://a`)); got.body != `{"jsonrpc":"2.0","id":"S","result":{}}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		if n := len(one.Requests("POST", "initialize")); n != 3 {
			t.Errorf("%d sessions, want discovery's and two", n)
		}
		all := one.Requests("POST", "resources/subscribe")
		if len(all) != 3 || !strings.Contains(all[2].Body, `"uri":"git+ssh://a"`) { // refused, restored, sent again
			t.Errorf("sent %+v", all)
		}
	})
}
