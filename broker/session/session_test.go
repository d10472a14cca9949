package session_test

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"mcp-gateway/broker/session"
)

func TestNewID(t *testing.T) {
	t.Parallel()
	seen := map[session.ID]bool{}
	for range 1000 {
		id := session.NewID()
		if b, err := base64.RawURLEncoding.DecodeString(string(id)); err != nil || len(b) != 32 {
			t.Fatalf("id of %d characters is not base64url of 32 bytes: %v", len(id), err)
		}
		if seen[id] {
			t.Fatal("two ids are equal")
		}
		seen[id] = true
	}
}

func TestKeyIsSHA256(t *testing.T) {
	t.Parallel()
	for id, want := range map[session.ID]string{
		"":    "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
		"abc": "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0",
		// longer than any of ours
		session.ID(strings.Repeat("a", 100)): "KBZZeIjkoNOja4K4MxarMmgOuPAPjNO5BNaBJG0oWg4",
	} {
		if got := id.Key().String(); got != want {
			t.Errorf("key of %q: got %s, want %s", id, got, want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(session.NewID().Key().String())
	f.Add("")
	f.Add(strings.Repeat("A", 42) + "B") // spare bits set
	f.Add(strings.Repeat("é", 22))
	f.Add(strings.Repeat("A", 41) + "\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := session.ParseKey(s)
		if err == nil && k.String() != s {
			t.Errorf("%q: comes back as %q", s, k)
		}
		if err != nil && k != (session.Key{}) {
			t.Errorf("%q: a key in spite of error %v", s, err)
		}
	})
}

func TestTimeoutsValidate(t *testing.T) {
	t.Parallel()
	for _, ok := range []session.Timeouts{
		{Idle: time.Millisecond, Lifetime: time.Millisecond},
		{Idle: time.Hour, Lifetime: time.Minute}, // the shorter one counts
	} {
		if err := ok.Validate(); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
	for _, bad := range []session.Timeouts{{}, {Idle: time.Hour}, {Lifetime: time.Hour}, {Idle: time.Hour, Lifetime: 1}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v: accepted", bad)
		}
	}
	if err := (session.Timeouts{}).Validate(); !strings.Contains(err.Error(), "idle") || !strings.Contains(err.Error(), "lifetime") {
		t.Errorf("want both errors at once, got %v", err)
	}
}

func TestBroadcast(t *testing.T) {
	t.Parallel()
	var b session.Broadcast
	b.Publish(session.Invalidation{Server: "nobody listens"})
	ctx, cancel := context.WithCancel(t.Context())
	fast := b.Subscribe(ctx, session.Invalidation{Flush: true})
	slow := b.Subscribe(ctx)

	if inv := <-fast; !inv.Flush {
		t.Errorf("first: got %+v, want Flush", inv)
	}
	const n = 10_000
	for i := range n {
		want := session.Invalidation{Server: strings.Repeat("x", i%7)}
		b.Publish(want)
		if got := <-fast; got != want {
			t.Fatalf("%d: got %+v, want %+v", i, got, want)
		}
	}
	b.Publish(session.Invalidation{Server: "last"})
	cancel()
	<-fast
	if inv, ok := <-fast; ok {
		t.Errorf("after its context: got %+v, want a closed channel", inv)
	}

	// The slow one lost many, knows so, and has all that came after.
	got := slices.Collect(func(yield func(session.Invalidation) bool) {
		for inv := range slow {
			if !yield(inv) {
				return
			}
		}
	})
	if len(got) == 0 || len(got) > 256 || !got[0].Flush || got[len(got)-1].Server != "last" {
		t.Errorf("slow receiver: got %d values, want Flush first and the last one last", len(got))
	}
	for _, inv := range got[1:] {
		if inv.Flush {
			t.Error("slow receiver: a second Flush without need")
		}
	}
}
