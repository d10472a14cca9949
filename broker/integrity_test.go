package broker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/integrity"
	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// watched is a gateway whose server "one" can change what it lists.
type watched struct {
	*gateway
	one  *rawserver.Server
	feed *rawserver.Feed
}

func newWatched(t *testing.T, s setup, settings gatewayconfig.Integrity) *watched {
	t.Helper()
	w := &watched{one: raw("a", "b"), feed: rawserver.NewFeed()}
	w.one.Results["prompts/list"] = `{"prompts":[{"name":"p"}]}`
	w.one.Stream = w.feed.ServeHTTP
	if s.config.Name == "" {
		s.config = config("one", "two")
	}
	s.config.Integrity = settings
	w.gateway = newGateway(t, s, map[string]http.Handler{"one": w.one, "two": raw("c")})
	w.settle()
	return w
}

func (w *watched) settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// list has the server list other tools, and waits until that is known.
func (w *watched) list(tools string) {
	w.one.Set("tools/list", `{"tools":[`+tools+`]}`)
	w.feed.Out <- rawserver.Notification("notifications/tools/list_changed")
	w.settle()
}

// wantTools checks which tools are listed, and that calls of the others find no
// owner.
func (w *watched) wantTools(what string, want ...string) {
	w.t.Helper()
	id := w.open()
	if got := w.ask(id, "tools/list"); got != w.listOf(want...) {
		w.t.Errorf("%s: %s, want %q", what, got, want)
	}
	names := map[string]bool{}
	for _, name := range want {
		names[name] = true
	}
	table := w.broker.view.Load().catalog.Table()
	for _, name := range []string{"one_a", "one_b", "one_x", "two_c"} {
		if _, ok := table.Tools[name]; ok != names[name] {
			w.t.Errorf("%s: %s is in the table: %v", what, name, ok)
		}
	}
	for _, s := range table.Servers {
		if !s.Listed {
			w.t.Errorf("%s: the table lets the prefix of %s decide", what, s.Name)
		}
	}
}

// listOf is a list of the tools as the servers list them now.
func (w *watched) listOf(names ...string) string {
	var own struct{ Tools []json.RawMessage }
	if err := json.Unmarshal([]byte(w.one.Results["tools/list"]), &own); err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		raw := `{"name":"two_c"}`
		for _, item := range own.Tools {
			if bare, ok := strings.CutPrefix(name, "one_"); ok && strings.Contains(string(item), `"name":"`+bare+`"`) {
				raw = strings.Replace(string(item), `"name":"`, `"name":"one_`, 1)
			}
		}
		out = append(out, raw)
	}
	return `{"tools":[` + strings.Join(out, ",") + `]}`
}

func quarantine() gatewayconfig.Integrity {
	return gatewayconfig.Integrity{Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactQuarantine}}
}

// internal sends a request to the internal API.
func (w *watched) internal(method, path, body string) (int, string) {
	w.t.Helper()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w.broker.Internal().ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func (w *watched) approve(name string) (int, string) {
	w.t.Helper()
	for _, d := range w.broker.integrity.Definitions(true).Definitions {
		if d.Name == name && d.Server == "one" {
			return w.internal("POST", gatewayconfig.PathApprove, fmt.Sprintf(`[{"server":"one","kind":%q,"name":%q,"hash":%q}]`, d.Kind, name, d.Current.Hash))
		}
	}
	w.t.Fatalf("no definition of %s", name)
	return 0, ""
}

func TestChangedToolIsQuarantined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, setup{}, quarantine())
		w.wantTools("first use", "one_a", "one_b", "two_c")
		stream := w.listen(w.open())

		w.list(`{"name":"a","description":"evil"},{"name":"b"},{"name":"x"}`)
		w.wantTools("a changed, x is new", "one_b", "two_c")
		if diff := cmp.Diff(changedEvent("tools"), stream.drain()); diff != "" {
			t.Errorf("quarantine is not announced: %s", diff)
		}
		status := w.broker.Status().Servers[0]
		want := &IntegrityStatus{Withheld: 2, Items: []NoticeStatus{
			{List: "tools", Name: "a", Why: integrity.WhyChanged, Withheld: true, Changed: []string{"description"}},
			{List: "tools", Name: "x", Why: integrity.WhyNew, Withheld: true},
		}}
		if diff := cmp.Diff(want, status.Integrity); diff != "" || status.Tools != 1 {
			t.Errorf("%d tools; %s", status.Tools, diff)
		}
		if _, got := w.internal("GET", "/metrics", ""); !strings.Contains(got, `mcp_broker_server_items_withheld{list="tools",server="one"} 2`) ||
			!strings.Contains(got, `mcp_broker_server_items_suspect{server="one",why="changed"} 1`) {
			t.Error("no metric tells of it")
		}

		if code, text := w.approve("a"); code != 204 {
			t.Fatalf("%d %s", code, text)
		}
		w.wantTools("approved", "one_a", "one_b", "two_c")
		w.settle()
		if diff := cmp.Diff(changedEvent("tools"), stream.drain()); diff != "" {
			t.Errorf("approval is not announced: %s", diff)
		}
		w.list(`{"name":"a"},{"name":"b"},{"name":"x"}`)
		w.wantTools("back to what it was at first", "one_b", "two_c")
		w.list(`{"name":"b"}`)
		w.wantTools("gone", "one_b", "two_c")
		w.list(`{"description":"evil","name":"a"},{"name":"b"}`)
		w.wantTools("back as approved, in another order", "one_a", "one_b", "two_c")
	})
}

func TestChangedPromptAndTemplate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, setup{}, quarantine())
		w.one.Set("prompts/list", `{"prompts":[{"name":"p","description":"evil"},{"name":"q"}]}`)
		w.one.Set("resources/templates/list", `{"resourceTemplates":[{"uriTemplate":"x:{y}","name":"n"}]}`)
		w.one.Set("resources/list", `{"resources":[{"uri":"x:1","name":"n"}]}`)
		w.feed.Out <- rawserver.Notification("notifications/prompts/list_changed")
		w.feed.Out <- rawserver.Notification("notifications/resources/list_changed")
		w.settle()
		id := w.open()
		if got := w.ask(id, "prompts/list") + w.ask(id, "resources/templates/list"); got != `{"prompts":[]}{"resourceTemplates":[]}` {
			t.Error(got)
		}
		if got := w.ask(id, "resources/list"); !strings.Contains(got, `"one+x:1"`) {
			t.Errorf("resources are content: %s", got)
		}
		if code, text := w.approve("q"); code != 204 {
			t.Fatalf("%d %s", code, text)
		}
		if got := w.ask(id, "prompts/list"); got != `{"prompts":[{"name":"one_q"}]}` {
			t.Error(got)
		}
	})
}

func TestBlockHidesTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := gatewayconfig.Integrity{Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactBlock, OnNew: gatewayconfig.ReactTrust}}
		w := newWatched(t, setup{}, settings)
		id := w.open()
		question := fmt.Sprintf(`{"session":%q,"server":"one"}`, id)
		if _, code := w.resolve(question); code != 200 {
			t.Fatalf("resolve: %d", code)
		}
		w.list(`{"name":"a"},{"name":"b"},{"name":"x"}`)
		w.wantTools("a new one is trusted", "one_a", "one_b", "one_x", "two_c")
		w.list(`{"name":"a"},{"name":"b"},{"name":"x","title":"X"}`)
		w.wantTools("it has changed", "two_c")
		if _, code := w.resolve(question); code != 410 {
			t.Errorf("a session of a blocked server: %d", code)
		}
		if got := w.ask(id, "prompts/list"); got != `{"prompts":[]}` {
			t.Error(got)
		}
		status := w.broker.Status().Servers
		if len(status) != 2 || status[1].Name != "one" || !status[1].Integrity.Blocked {
			t.Errorf("%+v", status)
		}
		if code, text := w.approve("x"); code != 204 {
			t.Fatalf("%d %s", code, text)
		}
		w.wantTools("approved", "one_a", "one_b", "one_x", "two_c")
		if _, code := w.resolve(question); code != 200 {
			t.Errorf("resolve after the approval: %d", code)
		}
	})
}

func TestWarnServesWhatHasChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, setup{}, gatewayconfig.Integrity{Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactWarn}})
		w.list(`{"name":"a","description":"evil"},{"name":"b"}`)
		id := w.open()
		if got := w.ask(id, "tools/list"); !strings.Contains(got, `"description":"evil"`) {
			t.Error(got)
		}
		status := w.broker.Status().Servers[0].Integrity
		if status == nil || len(status.Items) != 1 || status.Items[0].Withheld || status.Items[0].Why != integrity.WhyChanged {
			t.Errorf("%+v", status)
		}
		if code, text := w.approve("a"); code != 204 || w.broker.Status().Servers[0].Integrity != nil {
			t.Errorf("%d %s: %+v", code, text, w.broker.Status().Servers[0].Integrity)
		}
	})
}

func TestApprovalsThatDoNotFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, setup{}, quarantine())
		for body, want := range map[string]int{
			`[{"server":"one","kind":"tools","name":"a","hash":"sha256:00"}]`: 409,
			`[{"server":"one","kind":"tools","name":"nope","hash":"x"}]`:      409,
			`[{"server":"nobody","kind":"tools","name":"a","hash":"x"}]`:      409,
			`[{"server":"one","kind":"resources","name":"a","hash":""}]`:      409,
			`{}`: 400, `[{"more":1}]`: 400, ``: 400,
		} {
			if code, text := w.internal("POST", gatewayconfig.PathApprove, body); code != want {
				t.Errorf("%s: %d %s", body, code, text)
			}
		}
		if code, _ := w.internal("POST", gatewayconfig.PathIntegrity, ""); code != 405 {
			t.Errorf("POST: %d", code)
		}
		// As a page in a browser would.
		for name, value := range map[string]string{"Content-Type": "text/plain", "Origin": "http://127.0.0.1:8891"} {
			r := httptest.NewRequest("POST", gatewayconfig.PathApprove, strings.NewReader("[]"))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set(name, value)
			rec := httptest.NewRecorder()
			if w.broker.Internal().ServeHTTP(rec, r); rec.Code != 403 {
				t.Errorf("%s %s: %d", name, value, rec.Code)
			}
		}
	})
}
