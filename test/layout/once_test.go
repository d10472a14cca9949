package layout

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestOnceNamesTests holds test/e2e/once to tests that there are, sorted: a name
// that is none would be left out nowhere.
func TestOnceNamesTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../e2e/once")
	if err != nil {
		t.Fatal(err)
	}
	tests := slices.Concat(testsOf(t, "test/e2e"), testsOf(t, "test/program"))
	names := regexp.MustCompile(`(?m)^[^#\s]+$`).FindAllString(string(text), -1)
	for _, name := range names {
		if !slices.Contains(tests, name) {
			t.Errorf("test/e2e/once: there is no %s", name)
		}
	}
	byName := func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) }
	if len(names) == 0 || !slices.IsSortedFunc(names, byName) {
		t.Errorf("test/e2e/once is not sorted, or empty: %q", names)
	}
}
