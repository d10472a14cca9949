package integrity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
	"mcp-gateway/internal/scan"
)

// listing is a server with tools, as Judge sees it.
func listing(name string, tools ...string) Server {
	lists := &catalog.Lists{}
	for _, tool := range tools {
		lists.Tools = append(lists.Tools, []byte(tool))
	}
	return Server{
		Name: name, Lists: lists, Listed: true, Complete: true,
		Items: catalog.Prepare(*lists, gatewayconfig.Server{Name: name}, catalog.Limits{}),
	}
}

func tool(name, description string) string {
	text, err := json.Marshal(map[string]string{"name": name, "description": description})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// keeper runs a Keeper in a bubble.
func keeper(t *testing.T, settings gatewayconfig.Integrity, o Options) *Keeper {
	t.Helper()
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	k := New(o)
	if err := k.Configure(settings); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return k
}

func quarantine() gatewayconfig.Integrity {
	return gatewayconfig.Integrity{Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactQuarantine}}
}

// judge returns the verdict on one server once nothing is due any more.
func judge(k *Keeper, servers ...Server) *Verdict {
	for range 2 { // what is known is read, then first use is written
		k.Judge(servers)
		synctest.Wait()
	}
	return k.Judge(servers)[0]
}

func whys(v *Verdict) map[string]Why {
	out := map[string]Why{}
	for _, n := range v.Notices {
		out[n.Name] = n.Why
	}
	return out
}

func TestOffLooksAtNothing(t *testing.T) {
	t.Parallel()
	k := New(Options{})
	for _, v := range k.Judge([]Server{{Name: "a"}, {Name: "b"}}) { // without lists: it would panic
		if v != nil {
			t.Errorf("%+v", v)
		}
	}
}

// Each pair of settings, for an item that has changed and one that is new.
func TestReactions(t *testing.T) {
	t.Parallel()
	type outcome struct {
		Changed, New bool // withheld
		Told         int
		Blocked      bool
	}
	for settings, want := range map[gatewayconfig.Pins]outcome{
		{OnChange: gatewayconfig.ReactWarn}:                                              {false, false, 2, false},
		{OnChange: gatewayconfig.ReactQuarantine}:                                        {true, true, 2, false},
		{OnChange: gatewayconfig.ReactBlock}:                                             {true, true, 2, true},
		{OnChange: gatewayconfig.ReactWarn, OnNew: gatewayconfig.ReactQuarantine}:        {false, true, 2, false},
		{OnChange: gatewayconfig.ReactWarn, OnNew: gatewayconfig.ReactBlock}:             {false, true, 2, true},
		{OnChange: gatewayconfig.ReactQuarantine, OnNew: gatewayconfig.ReactTrust}:       {true, false, 1, false},
		{OnChange: gatewayconfig.ReactQuarantine, OnNew: gatewayconfig.ReactWarn}:        {true, false, 2, false},
		{OnChange: gatewayconfig.ReactOff}:                                               {false, false, 0, false},
		{OnChange: gatewayconfig.ReactOff, State: "/nowhere/that/could/be/written/to/x"}: {false, false, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := keeper(t, gatewayconfig.Integrity{Pins: settings}, Options{})
			judge(k, listing("s", tool("a", "1"), tool("b", "1")))
			v := judge(k, listing("s", tool("a", "2"), tool("b", "1"), tool("c", "1")))
			if v == nil {
				v = &Verdict{}
			}
			var got outcome
			_, got.Changed = v.Withheld[catalog.Tools][0]
			_, got.New = v.Withheld[catalog.Tools][2]
			got.Told, got.Blocked = len(v.Notices), v.Blocked
			if got != want {
				t.Errorf("%+v: %+v, want %+v", settings, got, want)
			}
		})
	}
}

// What is trusted as it comes is from then on held to that.
func TestTrustedNewItemsAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := quarantine()
		settings.Pins.OnNew = gatewayconfig.ReactTrust
		k := keeper(t, settings, Options{})
		judge(k, listing("s", tool("a", "1")))
		judge(k, listing("s", tool("a", "1"), tool("b", "1")))
		v := judge(k, listing("s", tool("a", "1"), tool("b", "2")))
		if diff := cmp.Diff(map[string]Why{"b": WhyChanged}, whys(v)); diff != "" {
			t.Error(diff)
		}
	})
}

// The pins of a server whose templates could not be read yet are of its tools.
func TestTemplatesAreTrustedWhenTheyAreThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keeper(t, quarantine(), Options{})
		early := listing("s", tool("a", "1"))
		early.Complete = false
		if v := judge(k, early); len(v.Notices) > 0 || v.Pending {
			t.Errorf("%+v", v)
		}
		late := listing("s", tool("a", "1"), tool("b", "1"))
		late.Lists.Templates = [][]byte{[]byte(`{"uriTemplate":"x:{y}","name":"n"}`)}
		late.Items = catalog.Prepare(*late.Lists, gatewayconfig.Server{}, catalog.Limits{})
		if diff := cmp.Diff(map[string]Why{"b": WhyNew}, whys(judge(k, late))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNobodyIsTrustedBeforeTheListsAreRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keeper(t, quarantine(), Options{})
		s := listing("s", tool("a", "1"))
		s.Listed, s.Complete = false, false
		if v := judge(k, s); len(v.Withheld[catalog.Tools]) != 1 {
			t.Errorf("%+v", v)
		}
		if diff := cmp.Diff(map[string]Why{}, whys(judge(k, listing("s", tool("a", "2"))))); diff != "" {
			t.Error(diff)
		}
	})
}

// The same lists have the same verdict, and nothing is looked at again.
func TestVerdictsAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keeper(t, quarantine(), Options{})
		a, b := listing("a", tool("x", "1")), listing("b", tool("y", "1"))
		first := judge(k, a, b)
		if again := k.Judge([]Server{a, b}); again[0] != first {
			t.Error("another verdict on the same lists")
		}
		if other := k.Judge([]Server{a, listing("b", tool("y", "2"))}); other[0] != first || len(other[1].Notices) != 1 {
			t.Errorf("another server's change: %+v", other[1])
		}
	})
}

func TestScanAllow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for allow, want := range map[string]int{"": 1, "s": 0, "*": 0, "other": 1} {
			settings := gatewayconfig.Integrity{Scan: gatewayconfig.ReactQuarantine}
			if allow != "" {
				settings.ScanAllow = map[string][]string{allow: {string(scan.Comment)}}
			}
			k := keeper(t, settings, Options{})
			if v := judge(k, listing("s", tool("a", "<!-- x -->"))); len(v.Notices) != want || len(v.Withheld[catalog.Tools]) != want {
				t.Errorf("allowed at %q: %+v", allow, v)
			}
		}
	})
}

// The log tells of each change once, in few and short lines without raw text.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		settings := quarantine()
		settings.Scan = gatewayconfig.ReactWarn
		k := keeper(t, settings, Options{Log: zap.New(core)})
		judge(k, listing("s"))
		var many []string
		for i := range 100 {
			many = append(many, tool(fmt.Sprintf("t%d\u202e", i), strings.Repeat("\x1b[8m\u202e<!-- x", 1000)))
		}
		logs.TakeAll()
		changed := listing("s", many...)
		judge(k, changed)
		k.mu.Lock()
		k.judged = nil
		k.mu.Unlock()
		judge(k, changed)
		all := logs.TakeAll()
		if len(all) != mostLogged+1 {
			t.Errorf("%d lines", len(all))
		}
		for _, line := range all {
			text := fmt.Sprint(line.Message, line.ContextMap())
			if len(text) > 1500 || strings.ContainsAny(text, "\x1b\u202e") {
				t.Errorf("%d bytes: %q", len(text), text)
			}
		}
	})
}

// The log says how to look and approve, where that is possible.
func TestLogSaysHowToApprove(t *testing.T) {
	t.Parallel()
	for on, want := range map[gatewayconfig.Reaction]bool{gatewayconfig.ReactQuarantine: true, gatewayconfig.ReactOff: false} {
		synctest.Test(t, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			settings := gatewayconfig.Integrity{Pins: gatewayconfig.Pins{OnChange: on}, Scan: gatewayconfig.ReactWarn}
			k := keeper(t, settings, Options{Log: zap.New(core)})
			judge(k, listing("s", tool("a", "<!-- x -->")))
			all := logs.All()
			if len(all) == 0 {
				t.Fatalf("%s: nothing in the log", on)
			}
			see, _ := all[0].ContextMap()["see"].(string)
			if strings.Contains(see, "mcp-gateway diff") != want || strings.Contains(see, "mcp-gateway approve") != want {
				t.Errorf("%s: %v", on, all[0].ContextMap())
			}
		})
	}
}

func TestApprove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keeper(t, quarantine(), Options{})
		judge(k, listing("s", tool("a", "1")))
		judge(k, listing("s", tool("a", "2"), tool("b", "1")))
		overview := k.Definitions(false)
		var approvals []Approval
		for _, d := range overview.Definitions {
			approvals = append(approvals, Approval{d.Server, d.Kind, d.Name, d.Current.Hash})
		}
		if len(approvals) != 2 || overview.Definitions[0].Pinned == nil || overview.Definitions[1].Pinned != nil {
			t.Fatalf("%+v", overview)
		}
		stale := append([]Approval{}, approvals...)
		stale[1].Hash = "sha256:0"
		if err := k.Approve(t.Context(), stale); !errors.Is(err, ErrStale) {
			t.Errorf("%v", err)
		}
		if v := judge(k, k.judged.of[0]); len(v.Notices) != 2 {
			t.Errorf("a part of what was refused is approved: %+v", v)
		}
		if err := k.Approve(t.Context(), approvals); err != nil {
			t.Fatal(err)
		}
		if v := judge(k, listing("s", tool("a", "2"), tool("b", "1"))); len(v.Notices) != 0 {
			t.Errorf("%+v", v)
		}
		if err := New(Options{}).Approve(t.Context(), approvals); !errors.Is(err, ErrOff) {
			t.Errorf("%v", err)
		}
	})
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pins.json")
	f := NewFile(path)
	set := pin.Set{pin.Tools: {"a": pin.Of([]byte(tool("a", "1")))}}
	if err := f.First(t.Context(), "s", set); err != nil {
		t.Fatal(err)
	}
	if err := f.First(t.Context(), "s", pin.Set{pin.Tools: {}}); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), "s", map[pin.Item]pin.Entry{{Kind: pin.Prompts, Name: "p"}: pin.Of([]byte(`{"name":"p"}`))}); err != nil {
		t.Fatal(err)
	}
	want := set.Clone()
	want.Put(pin.Item{Kind: pin.Prompts, Name: "p"}, pin.Of([]byte(`{"name":"p"}`)))
	for _, store := range []*File{f, NewFile(path)} {
		if got, err := store.Load(t.Context(), "s"); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%v %v", got, err)
		}
	}
	if rest, err := os.ReadDir(filepath.Dir(path)); err != nil || len(rest) != 1 {
		t.Errorf("%v %v", rest, err)
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := NewFile(path)
	for range 2 {
		if _, err := broken.Load(t.Context(), "s"); err == nil {
			t.Error("a broken file is read")
		}
		if err := broken.First(t.Context(), "s", set); err == nil {
			t.Error("a broken file is written over")
		}
	}
	err := NewFile("/nowhere/at/all/pins.json").First(t.Context(), "s", set)
	if want := "keep what is trusted: make the directory /nowhere/at/all: it is not there"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// BenchmarkJudge is for 10,000 tools: looking at them first, after one of them has
// changed, and after nothing has.
func BenchmarkJudge(b *testing.B) {
	const tools = 10_000
	text := strings.Repeat("Returns the weather of a city. ", 12)
	make := func(odd string) Server {
		lists := &catalog.Lists{}
		for i := range tools {
			lists.Tools = append(lists.Tools, fmt.Appendf(nil,
				`{"name":"get_weather_%d","title":"Weather","description":"%s%s","inputSchema":{"type":"object","properties":{"city":{"type":"string","description":"Name of the city"},"unit":{"type":"string","enum":["c","f"]}},"required":["city"]}}`,
				i, text, map[bool]string{true: odd}[i == 7]))
		}
		return Server{Name: "s", Lists: lists, Listed: true, Complete: true, Items: catalog.Prepare(*lists, gatewayconfig.Server{}, catalog.Limits{})}
	}
	tools10k, odd := make(""), make("now")
	other := listing("o", tool("x", "1"))
	for name, settings := range map[string]gatewayconfig.Integrity{
		"off":  {},
		"pins": {Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactWarn}},
		"scan": {Scan: gatewayconfig.ReactWarn},
		"both": {Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactWarn}, Scan: gatewayconfig.ReactWarn},
	} {
		k := New(Options{Log: zap.NewNop(), Changed: func() {}})
		if err := k.Configure(settings); err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/first", func(b *testing.B) {
			for b.Loop() {
				k.servers, k.judged = map[string]*server{}, nil
				k.Judge([]Server{tools10k, other})
			}
		})
		for range 3 {
			k.Judge([]Server{tools10k, other})
			k.step(b.Context())
		}
		b.Run(name+"/changed", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				k.Judge([]Server{map[bool]Server{true: tools10k, false: odd}[i%2 == 0], other})
			}
		})
		b.Run(name+"/same", func(b *testing.B) {
			for b.Loop() {
				k.Judge([]Server{tools10k, other})
			}
		})
	}
}
