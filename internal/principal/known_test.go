package principal

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestKnown(t *testing.T) {
	t.Parallel()
	payload := encoded(`{"iss":"https://a","sub":"known"}`)
	first, err := Known(payload)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Known(strings.Clone(payload))
	if err != nil || again != first {
		t.Errorf("the same payload was decoded twice: %v", err)
	}
	if p, err := Known("*"); err == nil {
		t.Errorf("no base64: %+v", p)
	}
	if _, err := Known(encoded(`{"sub":"u"}`)); err == nil {
		t.Error("a token without issuer is somebody")
	}
}

func TestKnownAllocatesNothing(t *testing.T) {
	payload := encoded(`{"iss":"https://a","sub":"warm","scope":"a b c"}`)
	if _, err := Known(payload); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = Known(payload) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is kept is bounded in number and in bytes, and does not hold on to memory
// of the caller.
func TestKnownIsBounded(t *testing.T) {
	t.Parallel()
	const entries, bytes = 8, 1 << 10
	k := newKnown(entries, bytes)
	for i := range 10_000 {
		buf := []byte(encoded(fmt.Sprintf(`{"iss":"https://a","sub":"%d","pad":%q}`, i, strings.Repeat("x", i%200))))
		p, err := k.get(string(buf))
		if err != nil || p.Subject != fmt.Sprint(i) {
			t.Fatalf("%d: %+v, %v", i, p, err)
		}
	}
	for i := range k.shards {
		s := &k.shards[i]
		size := 0
		for payload := range s.m {
			size += len(payload)
		}
		if len(s.m) > entries || size > bytes || size != s.size || len(s.m) == 0 {
			t.Errorf("shard %d has %d principals of %d bytes, counted as %d", i, len(s.m), size, s.size)
		}
	}
	large := encoded(`{"iss":"https://a","sub":"u","pad":"` + strings.Repeat("x", bytes) + `"}`)
	if p, err := k.get(large); err != nil || p.Subject != "u" {
		t.Errorf("a large one: %+v, %v", p, err)
	}
}

func TestKnownFromManySides(t *testing.T) {
	t.Parallel()
	k := newKnown(2, 1<<10)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 2000 {
				sub := fmt.Sprint((i + w) % 300)
				p, err := k.get(encoded(`{"iss":"https://a","sub":"` + sub + `"}`))
				if err != nil || p.Subject != sub {
					t.Errorf("%s: %+v, %v", sub, p, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestFromHeaders(t *testing.T) {
	t.Parallel()
	token := encoded(`{"iss":"https://a","sub":"u"}`)
	for _, test := range []struct {
		name            string
		claims, clients []string
		subject         string
	}{
		{"a token", []string{token}, nil, "u"},
		{"an API key", nil, []string{"ci"}, "ci"},
		{"neither", nil, nil, ""},
		{"both", []string{token}, []string{"ci"}, ""},
		{"two tokens", []string{token, token}, nil, ""},
		{"two keys", nil, []string{"ci", "ci"}, ""},
		{"an empty name", nil, []string{""}, ""},
		{"no claims", []string{""}, nil, ""},
	} {
		p, err := FromHeaders(test.claims, test.clients)
		if (err == nil) != (test.subject != "") || err == nil && p.Subject != test.subject {
			t.Errorf("%s: %+v, %v", test.name, p, err)
		}
	}
}
