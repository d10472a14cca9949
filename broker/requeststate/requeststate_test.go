package requeststate

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	now   = time.Unix(1_800_000_000, 0)
	state = State{Instance: "a1", Call: "call-7-of-the-instance", Round: 2, Expires: now.Add(time.Minute).Unix()}
	bound = Binding{Principal: "p", Endpoint: "e", Method: "tools/call", Target: "t", Arguments: []byte(`{"a":1,"b":[2]}`)}
)

func sealer(t *testing.T, secret string) *Sealer {
	t.Helper()
	return New(secret)
}

func TestOpenUndoesSeal(t *testing.T) {
	t.Parallel()
	text := sealer(t, "s").Seal(state, bound)
	if strings.Contains(text, state.Call) || strings.ContainsAny(text, "+/= ") {
		t.Errorf("not opaque: %s", text)
	}
	// Another replica, and a client that writes its arguments another way.
	again := bound
	again.Arguments = []byte(` {"b": [2], "a":1} `)
	got, err := sealer(t, "s").Open(text, again, now.Add(time.Minute))
	if err != nil || !reflect.DeepEqual(got, state) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	s := sealer(t, "s")
	text := s.Seal(state, bound)
	for name, change := range map[string]func(*Binding){
		"principal":   func(b *Binding) { b.Principal = "q" },
		"endpoint":    func(b *Binding) { b.Endpoint = "" },
		"method":      func(b *Binding) { b.Method = "prompts/get" },
		"target":      func(b *Binding) { b.Target = "u" },
		"arguments":   func(b *Binding) { b.Arguments = []byte(`{"a":1,"b":[3]}`) },
		"no argument": func(b *Binding) { b.Arguments = nil },
		"shifted":     func(b *Binding) { b.Principal, b.Endpoint = "pe", "" },
	} {
		other := bound
		change(&other)
		if got, err := s.Open(text, other, now); err != ErrInvalid {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := s.Open(text, bound, now.Add(time.Minute+time.Second)); err != ErrInvalid {
		t.Errorf("expired: %v", err)
	}
	if _, err := sealer(t, "other").Open(text, bound, now); err != ErrInvalid {
		t.Errorf("other secret: %v", err)
	}
	alone := sealer(t, "")
	if _, err := sealer(t, "").Open(alone.Seal(state, bound), bound, now); err != ErrInvalid {
		t.Errorf("two sealers without a secret: %v", err)
	}
	for _, made := range []string{"", "x", text + "A", text + "-TAMPERED", strings.Repeat("A", 5000), "é"} {
		if _, err := s.Open(made, bound, now); err != ErrInvalid {
			t.Errorf("%.20s: %v", made, err)
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		if _, err := s.Open(base64.RawURLEncoding.EncodeToString(raw), bound, now); err != ErrInvalid {
			t.Errorf("byte %d changed: %v", i, err)
		}
		raw[i] ^= 1
	}
}
