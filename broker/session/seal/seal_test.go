package seal_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mcp-gateway/broker/session/seal"
)

func ring(tb testing.TB, secrets ...string) *seal.Ring {
	tb.Helper()
	r, err := seal.New(secrets...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestOpensItsOwn(t *testing.T) {
	t.Parallel()
	r := ring(t, "one")
	for _, value := range []string{"", "x", "\x00\xff", strings.Repeat("long", 1<<18)} {
		sealed := r.Seal("r", "f", value)
		if len(sealed) != len(value)+seal.Overhead || len(value) > 2 && strings.Contains(sealed, value) {
			t.Fatalf("%d bytes become %d, want %d more, and not readable", len(value), len(sealed), seal.Overhead)
		}
		if sealed != r.Seal("r", "f", value) {
			t.Error("the same, sealed twice, differs")
		}
		if got, err := r.Open("r", "f", sealed); err != nil || got != value {
			t.Fatalf("got %.20q, %v, want %.20q", got, err, value)
		}
	}
}

func TestIsBoundToItsPlace(t *testing.T) {
	t.Parallel()
	r := ring(t, "one")
	sealed := r.Seal("record", "field", "value")
	for _, place := range [][2]string{{"other", "field"}, {"record", "other"}, {"recor", "dfield"}, {"", "recordfield"}, {"field", "record"}} {
		if got, err := r.Open(place[0], place[1], sealed); !errors.Is(err, seal.ErrForged) {
			t.Errorf("at %v: got %q, %v, want ErrForged", place, got, err)
		}
	}
	for i := range sealed {
		b := []byte(sealed)
		b[i] ^= 1
		if got, err := r.Open("record", "field", string(b)); err == nil {
			t.Errorf("with byte %d changed: got %q", i, got)
		}
		if got, err := r.Open("record", "field", sealed[:i]); err == nil {
			t.Errorf("the first %d bytes: got %q", i, got)
		}
	}
	if sealed == r.Seal("other", "field", "value") || sealed == r.Seal("record", "other", "value") {
		t.Error("equal values show in other places")
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	// The order of stages in which replicas run side by side.
	stages := []*seal.Ring{ring(t, "old"), ring(t, "old", "new"), ring(t, "new", "old"), ring(t, "new")}
	for i := range stages[1:] {
		for _, pair := range [][2]*seal.Ring{{stages[i], stages[i+1]}, {stages[i+1], stages[i]}} {
			sealed := pair[0].Seal("r", "f", "v")
			if got, err := pair[1].Open("r", "f", sealed); err != nil || got != "v" {
				t.Errorf("stages %d and %d: got %q, %v", i, i+1, got, err)
			}
		}
	}
	if _, err := stages[3].Open("r", "f", stages[0].Seal("r", "f", "v")); !errors.Is(err, seal.ErrUnknownKey) || strings.Contains(err.Error(), "old") {
		t.Errorf("a key that has gone: got error %v, want ErrUnknownKey", err)
	}
	all := stages[2].SealAll("r", "f", "v")
	if !slices.Equal(all, []string{stages[3].Seal("r", "f", "v"), stages[0].Seal("r", "f", "v")}) {
		t.Error("SealAll is not what each key seals, the first one first")
	}
}

func TestWithoutKeys(t *testing.T) {
	t.Parallel()
	none, r := ring(t), ring(t, "one")
	if none != nil {
		t.Fatal("no keys make a ring")
	}
	if got := none.Seal("r", "f", "v"); got != "v" {
		t.Errorf("Seal: got %q", got)
	}
	if got := none.SealAll("r", "f", "v"); !slices.Equal(got, []string{"v"}) {
		t.Errorf("SealAll: got %q", got)
	}
	for _, v := range []string{"", "v"} {
		if got, err := none.Open("r", "f", v); err != nil || got != v {
			t.Errorf("Open: got %q, %v", got, err)
		}
		if _, err := r.Open("r", "f", v); !errors.Is(err, seal.ErrPlain) {
			t.Errorf("Open of what is not sealed: got error %v, want ErrPlain", err)
		}
	}
	if _, err := none.Open("r", "f", r.Seal("r", "f", "v")); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("Open of what is sealed: got error %v, want ErrUnknownKey", err)
	}
	if none.Name("v") == r.Name("v") || r.Name("v") == r.Name("w") || len(r.Name("v")) != 12 {
		t.Error("names: want 12 bytes that depend on the keys and the value")
	}
	if ring(t, "two", "one").Name("v") != ring(t, "one", "two").Name("v") {
		t.Error("the order of keys changes names")
	}
}

func TestRefusesBadRings(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{{""}, {"hunter2", ""}, {"hunter2", "hunter2"}} {
		if _, err := seal.New(secrets...); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got error %v", secrets, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r, err := seal.New("one", "two")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Seal("r", "f", "v"))
	f.Add("\x00abcd")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := r.Open("r", "f", s); err == nil && !slices.Contains(r.SealAll("r", "f", got), s) {
			t.Errorf("%q opens, but is not what was sealed", s)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	r := ring(b, "one", "two")
	sealed := r.Seal("a record with a name of 43 characters or so", "b:weather", strings.Repeat("x", 36))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open("a record with a name of 43 characters or so", "b:weather", sealed); err != nil {
			b.Fatal(err)
		}
	}
}
