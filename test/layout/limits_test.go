package layout

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLimitsAreDocumented holds the table of docs/limits.md, and the example, to the limits
// that there are.
func TestLimitsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../controlplane/source/file/config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Limits struct {
				Properties map[string]struct{ Description string }
			}
		}
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for name, p := range schema.Properties.Limits.Properties {
		_, value, _ := strings.Cut(strings.TrimSuffix(p.Description, "."), "Default ")
		defaults[name] = value
	}
	if len(defaults) == 0 {
		t.Fatal("the schema has no limits")
	}
	for name, documented := range map[string]map[string]string{"docs/limits.md": inPage(t), "config.example.yaml": inExample(t)} {
		if diff := cmp.Diff(defaults, documented); diff != "" {
			t.Errorf("%s (-schema +what it says):\n%s", name, diff)
		}
	}
}

// section returns the part of a file from one line to another.
func section(t *testing.T, file, from, to string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+from+"\n")
	if !found {
		_, rest, found = strings.Cut(string(text), "\n"+from+" ")
	}
	if !found {
		t.Fatalf("%s has no %q", file, from)
	}
	out, _, _ := strings.Cut(rest, "\n"+to)
	return out
}

func inPage(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\| ([^|]+) \\|").FindAllStringSubmatch(section(t, "docs/limits.md", "| limit", "\n"), -1) {
		values := strings.Split(row[2], ", ")
		for i, name := range strings.Split(row[1], ", ") {
			if i < len(values) {
				out[strings.Trim(name, "`")] = values[i]
			}
		}
	}
	return out
}

func inExample(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^  (\w+): (\S+)`).FindAllStringSubmatch(section(t, "config.example.yaml", "limits:", "\n"), -1) {
		out[line[1]] = line[2]
	}
	if len(out) == 0 {
		t.Fatalf("config.example.yaml shows none of %v", slices.Collect(maps.Keys(out)))
	}
	return out
}
