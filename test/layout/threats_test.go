package layout

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every threat of docs/security.md names tests that show what it claims, and each of
// them is there.
func TestThreatsNameTheirTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, threats, _ := strings.Cut(string(text), "\n## Threats\n")
	threats, _, _ = strings.Cut(threats, "\n## ")
	reference := regexp.MustCompile("`([a-z0-9/-]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	defined := map[string]bool{} // by package and name
	rows, named := 0, map[string]bool{}
	for line := range strings.Lines(threats) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| threat ") {
			continue
		}
		rows++
		found := reference.FindAllStringSubmatch(line, -1)
		if len(found) == 0 {
			t.Errorf("no test shows: %s", strings.TrimSpace(line))
		}
		for _, m := range found {
			if !defined[m[1]+"."] {
				defined[m[1]+"."] = true
				for _, name := range testsOf(t, m[1]) {
					defined[m[1]+"."+name] = true
				}
			}
			named[m[0]] = true
			if !defined[m[1]+"."+m[2]] {
				t.Errorf("there is no test %s in %s", m[2], m[1])
			}
		}
	}
	if rows < 25 || len(named) < 50 {
		t.Errorf("only %d threats with %d tests: this test sees nothing", rows, len(named))
	}
}

// testsOf are the names of the tests and fuzz targets in a folder.
func testsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`).FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}
