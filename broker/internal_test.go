package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
)

// inside sends a request to the internal API.
func (g *gateway) inside(verb, path, body string, header map[string]string) answer {
	g.t.Helper()
	r := httptest.NewRequest(verb, path, strings.NewReader(body))
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	g.broker.Internal().ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func (g *gateway) resolve(question string) (gatewayconfig.ResolveResponse, int) {
	g.t.Helper()
	got := g.inside("POST", gatewayconfig.PathResolve, question, nil)
	var r gatewayconfig.ResolveResponse
	if got.status == 200 {
		if err := gatewayconfig.Decode([]byte(got.body), &r); err != nil {
			g.t.Fatal(err)
		}
	}
	return r, got.status
}

func TestTableWithTag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		g := newGateway(t, setup{config: config("one", "down")}, map[string]http.Handler{"one": one})
		synctest.Wait()
		got := g.inside("GET", gatewayconfig.PathTable, "", nil)
		var table gatewayconfig.Table
		if err := gatewayconfig.Decode([]byte(got.body), &table); err != nil || got.status != 200 {
			t.Fatalf("%d %s %v", got.status, got.body, err)
		}
		want := gatewayconfig.Table{
			Version: table.Version,
			Servers: []gatewayconfig.TableServer{
				{Name: "one", Authority: "one", Path: "/mcp?x=1", Prefix: "one_", Label: "one", Listed: true, Resources: true},
				{Name: "down", Authority: "down", Path: "/mcp?x=1", Prefix: "down_", Label: "down", Resources: true},
			},
			Tools:   map[string]gatewayconfig.Target{"one_a": {Server: 0, Name: "a"}},
			Prompts: map[string]gatewayconfig.Target{},
		}
		if diff := cmp.Diff(want, table); diff != "" {
			t.Errorf("table (-want +got):\n%s", diff)
		}
		tag := got.header.Get("ETag")
		if tag != `"`+table.Version+`"` {
			t.Errorf("tag %s, version %s", tag, table.Version)
		}
		for header, status := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "": 200} {
			got := g.inside("GET", gatewayconfig.PathTable, "", map[string]string{"If-None-Match": header})
			if got.status != status || (status == 304) != (got.body == "") {
				t.Errorf("If-None-Match %s: %d %s", header, got.status, got.body)
			}
		}
		c := config("one", "down")
		c.Servers[0].Host = "tools.example:8443"
		g.apply(c)
		synctest.Wait()
		if got := g.inside("GET", gatewayconfig.PathTable, "", map[string]string{"If-None-Match": tag}); got.status != 200 ||
			!strings.Contains(got.body, `"authority":"tools.example:8443"`) {
			t.Errorf("after a change: %d %s", got.status, got.body)
		}
	})
}

func TestResolveOpensOneSessionForEachClientAndServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int32
		one := raw("a")
		one.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
			if method != "initialize" {
				return false
			}
			time.Sleep(100 * time.Millisecond)
			w.Header().Set("Mcp-Session-Id", fmt.Sprintf("b-%d", opened.Add(1)))
			rawserver.Respond(w, id, strings.Replace(one.Hello, "2025-11-25", "2025-06-18", 1))
			return true
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		question := fmt.Sprintf(`{"session":%q,"server":"one"}`, id)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if r, status := g.resolve(question); status != 200 || r.Session != "b-2" || r.Version != "2025-06-18" || r.TTLMillis != 30_000 {
					t.Errorf("%d %+v", status, r)
				}
			})
		}
		wg.Wait()
		// The first session is the broker's own.
		if n := opened.Load(); n != 2 {
			t.Errorf("%d sessions at the server, want 2", n)
		}
		if got := one.Requests("POST", "initialize")[1].Body; !strings.Contains(got, `"clientInfo":{"name":"c","version":"1"}`) || !strings.Contains(got, `"capabilities":{"roots":{}}`) {
			t.Errorf("initialize %s", got)
		}

		// The server has forgotten b-2; late news about it does not end b-3.
		stale := fmt.Sprintf(`{"session":%q,"server":"one","stale":"b-2"}`, id)
		for range 2 {
			if r, status := g.resolve(stale); status != 200 || r.Session != "b-3" {
				t.Errorf("%d %+v", status, r)
			}
		}
		other := fmt.Sprintf(`{"session":%q,"server":"one"}`, g.open())
		if r, status := g.resolve(other); status != 200 || r.Session != "b-4" {
			t.Errorf("another client: %d %+v", status, r)
		}

		g.request("DELETE", "", map[string]string{"Mcp-Session-Id": id})
		synctest.Wait()
		ended := one.Requests("DELETE", "")
		if len(ended) != 1 || ended[0].Header.Get("Mcp-Session-Id") != "b-3" || ended[0].Header.Get("Mcp-Protocol-Version") != "2025-06-18" {
			t.Errorf("ended at the server: %+v", ended)
		}
		if _, status := g.resolve(question); status != 404 {
			t.Errorf("resolve after DELETE: %d", status)
		}
	})
}

func TestResolveStatuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one", "down")}, map[string]http.Handler{"one": raw("a")})
		id := g.open()
		for question, want := range map[string]int{
			fmt.Sprintf(`{"session":%q,"server":"one"}`, id):                        200,
			fmt.Sprintf(`{"session":%q,"server":"gone"}`, id):                       410,
			fmt.Sprintf(`{"session":%q,"server":"down"}`, id):                       502,
			fmt.Sprintf(`{"session":%q,"server":"one","cluster":"one"}`, id):        200,
			fmt.Sprintf(`{"session":%q,"server":"one","cluster":"one@before"}`, id): 421,
			`{"session":"x","server":"one"}`:                                        404,
			`{"session":"x","server":"down"}`:                                       404,
			`{"session":"","server":"one"}`:                                         404,
			`{"session":"x","server":"one","more":1}`:                               400,
			`{`: 400,
			fmt.Sprintf(`{"session":%q,"server":"one","stale":%q}`, id, strings.Repeat("x", largestQuestion)): 400,
		} {
			got := g.inside("POST", gatewayconfig.PathResolve, question, nil)
			if got.status != want || strings.Contains(got.body, address) {
				t.Errorf("%.60s: %d %s, want %d", question, got.status, got.body, want)
			}
		}
		away := &broken{Store: g.store, get: session.ErrUnavailable}
		h := newGateway(t, setup{store: away, config: config("one")}, map[string]http.Handler{"one": raw("a")})
		if _, status := h.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, id)); status != 503 {
			t.Errorf("store away: %d", status)
		}
	})
}

func TestSlowSessionIsOpenedAlthoughTheFilterGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		one.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method == "initialize" {
				time.Sleep(4 * time.Second)
			}
			return false
		}
		question := fmt.Sprintf(`{"session":%q,"server":"one"}`, id)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "POST", gatewayconfig.PathResolve, strings.NewReader(question))
		g.broker.Internal().ServeHTTP(httptest.NewRecorder(), r)
		began := time.Now()
		if r, status := g.resolve(question); status != 200 || r.Session != "backend" || time.Since(began) != 0 {
			t.Errorf("the next question: %d %+v after %v", status, r, time.Since(began))
		}
	})
}

func TestForgottenSessionMakesTheBrokerLookAtTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a") // has no event stream
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		question := fmt.Sprintf(`{"session":%q,"server":"one"}`, id)
		g.resolve(question)
		one.Set("tools/list", toolList("a", "b"))
		time.Sleep(10 * time.Second)
		g.resolve(question)
		synctest.Wait()
		if got := g.ask(id, "tools/list"); got != toolList("one_a") {
			t.Errorf("tools %s without a reason to look", got)
		}
		g.resolve(fmt.Sprintf(`{"session":%q,"server":"one","stale":"backend"}`, id))
		synctest.Wait()
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "one_b") {
			t.Errorf("tools %s after the restart", got)
		}
	})
}

func TestExpiredSessionsEndAtTheServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		for range 300 {
			if _, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, g.open())); status != 200 {
				t.Fatal(status)
			}
		}
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if n := len(one.Requests("DELETE", "")); n != 300 {
			t.Errorf("%d backend sessions ended, want 300", n)
		}
	})
}

func TestGoodbyesAtTheEndAreSaidButNotWaitedForLong(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"slow server": false, "hanging server": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one := raw("a")
				one.Intercept = func(_ http.ResponseWriter, r *http.Request, _, _ string) bool {
					switch {
					case r.Method != "DELETE":
					case hangs:
						<-r.Context().Done()
					default:
						time.Sleep(50 * time.Millisecond)
					}
					return false
				}
				g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
				for range 100 {
					id := g.open()
					if _, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, id)); status != 200 {
						t.Fatal(status)
					}
					if got := g.request("DELETE", "", map[string]string{"Mcp-Session-Id": id}); got.status != 204 {
						t.Fatal(got.status)
					}
				}
				began := time.Now()
				g.stop()
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the end took %v", took)
				}
				// 100 of clients, and the broker's own.
				if n := len(one.Requests("DELETE", "")); !hangs && n != 101 {
					t.Errorf("%d sessions ended, want 101", n)
				}
			})
		})
	}
}

func TestSecretGuardsTheInternalAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{opts: Options{Secret: "s3cret"}, config: config()}, nil)
		for _, test := range []struct {
			header string
			status int
		}{
			{"Bearer s3cret", 200}, {"bearer s3cret", 200},
			{"", 401}, {"s3cret", 401}, {"Bearer ", 401}, {"Bearer s3cre", 401}, {"Bearer s3cret ", 401}, {"Basic s3cret", 401},
		} {
			for _, path := range []string{gatewayconfig.PathTable, "/status"} {
				if got := g.inside("GET", path, "", map[string]string{"Authorization": test.header}); got.status != test.status {
					t.Errorf("%s with %q: %d, want %d", path, test.header, got.status, test.status)
				}
			}
			if got := g.inside("POST", gatewayconfig.PathResolve, "{}", map[string]string{"Authorization": test.header}); (got.status == 401) != (test.status == 401) {
				t.Errorf("resolve with %q: %d", test.header, got.status)
			}
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			if got := g.inside("GET", path, "", nil); got.status != 200 {
				t.Errorf("%s: %d", path, got.status)
			}
		}
	})
}

func TestReadyOnceEveryServerWasTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := raw()
		hang.Intercept = func(_ http.ResponseWriter, r *http.Request, _, _ string) bool {
			<-r.Context().Done()
			return true
		}
		g := newGateway(t, setup{unconfigured: true}, map[string]http.Handler{"one": raw("a"), "hang": hang})
		ready := func() int { return g.inside("GET", "/readyz", "", nil).status }
		if got := g.inside("GET", gatewayconfig.PathTable, "", nil); got.status != 503 || ready() != 503 {
			t.Errorf("without configuration: table %d, ready %d", got.status, ready())
		}
		g.apply(config("one", "hang"))
		synctest.Wait()
		if got := g.inside("GET", gatewayconfig.PathTable, "", nil); got.status != 200 || ready() != 503 {
			t.Errorf("in the beginning: table %d, ready %d", got.status, ready())
		}
		// Who has a table, of another replica, keeps it.
		known := map[string]string{"If-None-Match": `"other"`}
		if got := g.inside("GET", gatewayconfig.PathTable, "", known); got.status != 503 {
			t.Errorf("in the beginning, to who has a table: %d", got.status)
		}
		time.Sleep(11 * time.Second) // a list timeout for server/discover, one for initialize
		if ready() != 200 {
			t.Error("not ready although every server was tried")
		}
		if got := g.inside("GET", gatewayconfig.PathTable, "", known); got.status != 200 {
			t.Errorf("ready, to who has a table: %d", got.status)
		}
		g.apply(config("one", "hang", "hang2"))
		if ready() != 200 {
			t.Error("not ready any more because of a new server")
		}
		if got := g.inside("GET", "/healthz", "", nil); got.status != 200 {
			t.Errorf("healthz: %d", got.status)
		}
	})
}

func TestStatusTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := raw("a"), raw("b", "a")
		one.Set("tools/list", `{"tools":[{"name":"a"},{"title":"x"}]}`)
		c := config("one", "two", "down")
		c.Servers[0].Prefix, c.Servers[1].Prefix = "", ""
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": two})
		g.listen(g.open())
		time.Sleep(time.Minute)
		var got Status
		if err := json.Unmarshal([]byte(g.inside("GET", "/status", "", nil).body), &got); err != nil {
			t.Fatal(err)
		}
		minute := time.Minute.Seconds()
		info := json.RawMessage(`{"name":"raw","version":"1"}`)
		for i := range got.Servers {
			got.Servers[i].ListedAt = nil
		}
		if d := got.Servers[2].Error; strings.Contains(d, address) || !strings.Contains(d, "connection refused") {
			t.Errorf("error of the server that is down: %q", d)
		}
		got.Servers[2].Error = ""
		if f := got.Servers[2].Failure; f != gatewayconfig.FailureUnreachable {
			t.Errorf("failure of the server that is down: %q", f)
		}
		got.Servers[2].Failure = ""
		want := Status{
			Name: "gw", Version: "7", Ready: true, Streams: 1, Table: got.Table,
			Servers: []ServerStatus{
				{Name: "one", Label: "one", State: "ready", Era: "legacy", Revision: "2025-11-25", Info: info, Tools: 1, AgeSeconds: &minute,
					Faults: []FaultStatus{{List: "tools", Index: 1, Reason: "no name"}}},
				{Name: "two", Label: "two", State: "ready", Era: "legacy", Revision: "2025-11-25", Info: info, Tools: 2, AgeSeconds: &minute},
				{Name: "down", Prefix: "down_", Label: "down", State: "failed"},
			},
			Conflicts: []ConflictStatus{{List: "tools", Name: "a", Server: "two", Owner: "one"}},
			Endpoints: []EndpointStatus{{Path: "/mcp", Tools: 2}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
