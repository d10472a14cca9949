package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/internal/pin"
)

func openPins(t *testing.T, o redis.Options) *redis.Pins {
	t.Helper()
	o.Timeout = patient
	p, err := redis.NewPins(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func entry(name, description string) pin.Entry {
	return pin.Of(fmt.Appendf(nil, `{"name":%q,"description":%q}`, name, description))
}

func load(t *testing.T, p *redis.Pins, server string) pin.Set {
	t.Helper()
	var got pin.Set
	eventually(t, func() (err error) {
		got, err = p.Load(t.Context(), server)
		return err
	})
	return got
}

func TestPins(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, keys := range map[string][]string{"plain": nil, "sealed": {oldKey}} {
		o := redis.Options{URL: server.URL(), Prefix: name + ":", Keys: keys}
		one, two := openPins(t, o), openPins(t, o)
		if got := load(t, one, "cal"); len(got) != 0 {
			t.Errorf("%s: at first %v", name, got)
		}
		many := map[string]pin.Entry{}
		for i := range 500 { // more than one script takes
			many[fmt.Sprintf("tool%d", i)] = entry("t", "secret text")
		}
		first := pin.Set{pin.Tools: many, pin.Prompts: {}}
		eventually(t, func() error { return one.First(t.Context(), "cal", first) })
		late := pin.Set{pin.Tools: {"tool0": entry("t", "other"), "x": entry("x", "")}, pin.Templates: {"u": entry("u", "")}}
		eventually(t, func() error { return two.First(t.Context(), "cal", late) })
		want := first.Clone()
		want.Put(pin.Item{Kind: pin.Templates, Name: "u"}, entry("u", ""))
		if diff := cmp.Diff(want, load(t, two, "cal")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		ctx, cancel := context.WithCancel(t.Context())
		changes := two.Changes(ctx)
		if got := <-changes; got != "" {
			t.Errorf("%s: the first news is of %q", name, got)
		}
		approved := map[pin.Item]pin.Entry{{Kind: pin.Tools, Name: "tool0"}: entry("t", "approved"), {Kind: pin.Prompts, Name: "p"}: entry("p", "")}
		eventually(t, func() error { return one.Put(t.Context(), "cal", approved) })
		if got := <-changes; got != "cal" {
			t.Errorf("%s: news of %q", name, got)
		}
		cancel()
		for i, e := range approved {
			want.Put(i, e)
		}
		if diff := cmp.Diff(want, load(t, two, "cal")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got := load(t, two, "other"); len(got) != 0 {
			t.Errorf("%s: of another server: %v", name, got)
		}
		c := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
		all, err := c.HGetAll(t.Context(), name+":pins:cal").Result()
		if err != nil || len(all) < 500 {
			t.Fatalf("%d %v", len(all), err)
		}
		if readable := strings.Contains(fmt.Sprint(all), "secret text"); readable != (keys == nil) {
			t.Errorf("%s: definitions are readable: %v", name, readable)
		}
		_ = c.Close()
	}
}

// A key comes and goes without an approval; what is forged or moved is new.
func TestPinsSealedAnew(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	with := func(keys ...string) *redis.Pins { return openPins(t, redis.Options{URL: server.URL(), Keys: keys}) }
	const newKey = "another key, another key, another key"
	set := pin.Set{pin.Tools: {"a": entry("a", ""), "b": entry("b", "")}}
	old := with(oldKey)
	eventually(t, func() error { return old.First(t.Context(), "cal", set) })
	load(t, with(newKey, oldKey), "cal")
	if diff := cmp.Diff(set, load(t, with(newKey), "cal")); diff != "" {
		t.Error(diff)
	}
	c := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer c.Close()
	all, err := c.HGetAll(t.Context(), "mcp:pins:cal").Result()
	if err != nil {
		t.Fatal(err)
	}
	for field, value := range all {
		if strings.HasPrefix(field, "e:") {
			for other := range all {
				if other != field && strings.HasPrefix(other, "e:") {
					c.HSet(t.Context(), "mcp:pins:cal", other, value)
				}
			}
			break
		}
	}
	if got := load(t, with(newKey), "cal"); len(got[pin.Tools]) != 1 || !got.Has(pin.Tools) {
		t.Errorf("an entry in another's place: %v", got)
	}
	if got := load(t, with(oldKey), "cal"); len(got[pin.Tools]) != 0 || !got.Has(pin.Tools) {
		t.Errorf("without the key: %v", got)
	}
}
