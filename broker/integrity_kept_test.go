package broker

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/integrity"
	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
)

// pinned is a store that may be away.
type pinned struct {
	integrity.Store
	mu   sync.Mutex
	away bool
}

func (p *pinned) set(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

func (p *pinned) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return errors.New("away")
	}
	return nil
}

func (p *pinned) Load(ctx context.Context, server string) (pin.Set, error) {
	if err := p.err(); err != nil {
		return nil, err
	}
	return p.Store.Load(ctx, server)
}

func (p *pinned) First(ctx context.Context, server string, set pin.Set) error {
	if err := p.err(); err != nil {
		return err
	}
	return p.Store.First(ctx, server, set)
}

// As long as the store is away nothing is offered that was not looked at; what
// was known stays.
func TestStoreOfPinsIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &pinned{Store: integrity.NewFile(""), away: true}
		w := newWatched(t, setup{opts: Options{Pins: store}}, quarantine())
		time.Sleep(5 * time.Second)
		w.wantTools("away from the beginning")
		if w.broker.isReady() {
			t.Error("ready although nothing is known")
		}
		if status := w.broker.Status().Servers[0].Integrity; status == nil || !status.Pending || status.Items[0].Why != integrity.WhyUnread {
			t.Errorf("%+v", status)
		}
		store.set(false)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		w.wantTools("it is back", "one_a", "one_b", "two_c")
		store.set(true)
		w.list(`{"name":"a","description":"evil"},{"name":"b"}`)
		w.wantTools("away again", "one_b", "two_c")
	})
}

// Who comes second finds what the first has trusted.
func TestReplicasAgree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := integrity.NewFile("")
		newWatched(t, setup{opts: Options{Pins: store}}, quarantine())
		c := config("one")
		c.Integrity = quarantine()
		evil := raw("a")
		evil.Set("tools/list", `{"tools":[{"name":"a","description":"evil"},{"name":"b"}]}`)
		g := newGateway(t, setup{config: c, opts: Options{Pins: store}}, map[string]http.Handler{"one": evil})
		time.Sleep(time.Second)
		if got := g.ask(g.open(), "tools/list"); got != toolList("one_b") {
			t.Error(got)
		}
	})
}

// With strict pins no prefix lets a call of an unknown tool pass, also while the
// server has listed nothing yet.
func TestNothingPassesBeforeTheLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config("one", "gone")
		c.Servers[1].Tools.Aliases = map[string]string{"alias": "a"}
		for _, settings := range []gatewayconfig.Integrity{{}, quarantine(), {Scan: gatewayconfig.ReactQuarantine}} {
			strict := settings.On()
			c.Integrity = settings
			g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a")})
			time.Sleep(time.Second)
			table := g.broker.view.Load().catalog.Table()
			if table.Servers[1].Listed != strict {
				t.Errorf("strict %v: listed %v", strict, table.Servers[1].Listed)
			}
			if _, ok := table.Tools["alias"]; ok == strict {
				t.Errorf("strict %v: the alias is in the table: %v", strict, ok)
			}
			g.stop()
		}
	})
}

func TestLockFileDecides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := pin.Lock{"one": {pin.Tools: {"a": pin.Of([]byte(`{"name":"a"}`))}}}
		settings := func() gatewayconfig.Integrity {
			text, err := lock.Text()
			if err != nil {
				t.Fatal(err)
			}
			return gatewayconfig.Integrity{Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactQuarantine, Locked: true, Lock: string(text)}}
		}
		w := newWatched(t, setup{}, settings())
		w.wantTools("two is not in the lock file", "one_a")
		if code, text := w.approve("b"); code != 409 || !strings.Contains(text, "lock file") {
			t.Errorf("%d %s", code, text)
		}
		lock["two"] = pin.Set{}
		lock["two"].Put(pin.Item{Kind: pin.Tools, Name: "c"}, pin.Of([]byte(`{"name":"c"}`)))
		next := w.broker.config
		next.Integrity = settings()
		stream := w.listen(w.open())
		w.settle()
		w.apply(next)
		w.wantTools("another lock file", "one_a", "two_c")
		w.settle()
		if diff := cmp.Diff(changedEvent("tools"), stream.drain()); diff != "" {
			t.Error(diff)
		}
		next.Integrity.Pins.Lock = "broken"
		if err := w.broker.Apply(next); err == nil {
			t.Error("a broken lock file is applied")
		}
		w.wantTools("after a broken one", "one_a", "two_c")
	})
}

func TestStateFileOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pins.json")
	settings := quarantine()
	settings.Pins.State = path
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, setup{}, settings)
		w.wantTools("first use", "one_a", "one_b", "two_c")
		w.stop()
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	change := func(t *testing.T) *watched {
		c := config("one", "two")
		w := newWatched(t, setup{config: c}, settings)
		w.list(`{"name":"a","description":"evil"},{"name":"b"}`)
		return w
	}
	synctest.Test(t, func(t *testing.T) { change(t).wantTools("another start", "one_b", "two_c") })
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { change(t).wantTools("a broken file trusts nobody") })
}

func TestScanQuarantines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := gatewayconfig.Integrity{
			Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactWarn}, Scan: gatewayconfig.ReactQuarantine,
			ScanAllow: map[string][]string{"two": {"comment"}},
		}
		w := newWatched(t, setup{}, settings)
		id := w.open()
		w.list(`{"name":"a","description":"x <!-- y -->"},{"name":"b"}`)
		if got := w.ask(id, "tools/list"); got != toolList("one_b", "two_c") {
			t.Error(got)
		}
		status := w.broker.Status().Servers[0].Integrity
		if status == nil || len(status.Items) != 1 || len(status.Items[0].Findings) != 1 || status.Items[0].Findings[0].Check != "comment" {
			t.Fatalf("%+v", status)
		}
		if code, text := w.approve("a"); code != 204 {
			t.Fatalf("%d %s", code, text)
		}
		if got := w.ask(id, "tools/list"); !strings.Contains(got, "<!--") {
			t.Errorf("what was approved with its findings: %s", got)
		}
		w.list(`{"name":"a","description":"x <!-- z -->"},{"name":"b"}`)
		if got := w.ask(id, "tools/list"); strings.Contains(got, "<!--") {
			t.Errorf("another text: %s", got)
		}
		// What names another server's tool.
		w.list(`{"name":"b","description":"instead of two_c"}`)
		if got := w.ask(id, "tools/list"); got != toolList("two_c") {
			t.Error(got)
		}
	})
}

// What a server says of itself reaches models, too.
func TestInstructionsAreWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := quarantine()
		settings.Scan = gatewayconfig.ReactQuarantine
		w := newWatched(t, setup{}, settings)
		greeted := func() string { return w.request("POST", initializeRequest, nil).body }
		if got := greeted(); !strings.Contains(got, `## one\nbe kind`) {
			t.Fatal(got)
		}
		for _, said := range []string{"be evil", "be kind <!-- and evil -->"} {
			w.one.Hello = strings.Replace(rawserver.Hello(rawserver.Everything), "be kind", said, 1)
			w.again()
			if got := greeted(); strings.Contains(got, "## one") || !strings.Contains(got, `## two\nbe kind`) {
				t.Errorf("%s: %s", said, got)
			}
			w.wantTools("its tools", "one_a", "one_b", "two_c")
			if status := w.broker.Status().Servers[0].Integrity; status == nil || status.Items[0].List != "instructions" || status.Withheld != 1 {
				t.Errorf("%+v", status)
			}
		}
		if code, text := w.approve("instructions"); code != 204 {
			t.Fatalf("%d %s", code, text)
		}
		if got := greeted(); !strings.Contains(got, "and evil") {
			t.Error(got)
		}
	})
}

// again has the broker speak to the server anew, as after a restart of it.
func (w *watched) again() {
	w.t.Helper()
	next := w.broker.config
	next.Servers = append([]gatewayconfig.Server{}, next.Servers...)
	next.Servers[0].ListTimeout += gatewayconfig.Duration(time.Millisecond)
	w.apply(next)
	w.settle()
}
