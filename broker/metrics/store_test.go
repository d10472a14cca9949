package metrics

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"mcp-gateway/broker/session"
)

// Each step of a store is noted, but those that last or stay in the process.
func TestOperationsAreThoseOfAStore(t *testing.T) {
	t.Parallel()
	want := []string{}
	for m := range reflect.TypeFor[session.Store]().Methods() {
		var name strings.Builder
		for i, r := range m.Name {
			if i > 0 && r >= 'A' && r <= 'Z' {
				name.WriteByte('_')
			}
			name.WriteString(strings.ToLower(string(r)))
		}
		if !slices.Contains([]string{"mint", "mail", "invalidations"}, name.String()) {
			want = append(want, name.String())
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(operations)); !slices.Equal(got, want) {
		t.Errorf("operations are %v, want %v", got, want)
	}
}
