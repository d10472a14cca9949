//go:build panics

package fault

import "testing"

func TestAt(t *testing.T) {
	panics := func(place string) (did bool) {
		defer func() { did = recover() != nil }()
		At(place)
		return false
	}
	Arm("a,b*2")
	for i, step := range []struct {
		place string
		want  bool
	}{{"c", false}, {"b", false}, {"a", true}, {"a", false}, {"b", true}, {"b", false}} {
		if got := panics(step.place); got != step.want {
			t.Errorf("step %d, %s: panic %v, want %v", i, step.place, got, step.want)
		}
	}
}
