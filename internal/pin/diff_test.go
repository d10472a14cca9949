package pin

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	old := Of([]byte(`{"name":"get","description":"Weather.\nOf a city.","inputSchema":{"type":"object","properties":{"city":{"type":"string"}}},"annotations":{"readOnlyHint":true}}`))
	next := Of([]byte(`{"name":"get","description":"Weather.\nOf a city\u202e.\u001b[8m","inputSchema":{"type":"object","properties":{"city":{"type":"string"},"note":{"type":"string"}}},"x.y":1}`))
	want := `| annotations
|   - {
|   -   "readOnlyHint": true
|   - }
| description
|     (1 line the same)
|   - Of a city.
|   + Of a city\u{202e}.\u{1b}[8m
| inputSchema.properties.note
|   + {
|   +   "type": "string"
|   + }
| "x.y"
|   + 1
`
	if diff := cmp.Diff(want, Diff(old, next, "| ")); diff != "" {
		t.Error(diff)
	}
	paths := []string{"annotations", "description", "inputSchema.properties.note", `"x.y"`}
	if diff := cmp.Diff(paths, Members(Changes(old, next))); diff != "" {
		t.Error(diff)
	}
	if got := Diff(old, old, ""); got != "" {
		t.Errorf("a difference to itself: %s", got)
	}
}

func TestDiffOfWhatHasNoCanonicalForm(t *testing.T) {
	t.Parallel()
	old, next := Of([]byte(`{"name":"a"}`)), Of([]byte(`{"name":"a","name":"b"}`))
	if got := Members(Changes(old, next)); len(got) != 1 || got[0] != "(all)" {
		t.Errorf("%q", got)
	}
	if got := Diff(old, next, ""); got == "" {
		t.Error("no difference is shown")
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain, grün, 天気":            "plain, grün, 天気",
		"a\u200bb":                   `a\u{200b}b`,
		"\x1b[31m":                   `\u{1b}[31m`,
		"\U000E0041":                 `\u{e0041}`,
		"a\nb\tc":                    `a\nb\tc`,
		"x\ufe0f\u3164\u00ad\u2028z": `x\u{fe0f}\u{3164}\u{ad}\u{2028}z`,
		"a\u00a0b":                   `a\u{a0}b`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
	if got := Excerpt("аbc\U000E0041defghij", 20); got != `\u{430}bc\u{e0041}de...` {
		t.Error(got)
	}
}
