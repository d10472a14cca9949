package dynamicmodule

import "testing"

func TestNumbersOfConfigurations(t *testing.T) {
	t.Parallel()
	var s Configs
	if s.Get(0) != nil || s.Get(1) != nil || s.Len() != 0 {
		t.Error("a number that was never given finds a configuration")
	}
	a, b := newConfig(t, ""), newConfig(t, "")
	first, second := s.Add(a), s.Add(b)
	if first == 0 || second == 0 || s.Get(first) != a || s.Get(second) != b || s.Len() != 2 {
		t.Fatalf("numbers %d and %d find %p and %p, want %p and %p", first, second, s.Get(first), s.Get(second), a, b)
	}
	s.Remove(first)
	s.Remove(first)
	s.Remove(0)
	if s.Get(first) != nil || s.Get(second) != b || s.Len() != 1 {
		t.Error("a configuration that was removed is found, or the other is not")
	}
	if again := s.Add(a); again != first || s.Get(again) != a {
		t.Errorf("number %d for another one, want %d", again, first)
	}
	for _, none := range []uint64{0, 3, ^uint64(0)} {
		if s.Get(none) != nil {
			t.Errorf("number %d finds a configuration", none)
		}
	}
}
