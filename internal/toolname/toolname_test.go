package toolname_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"mcp-gateway/internal/toolname"
)

func TestJoin(t *testing.T) {
	t.Parallel()
	ten := "0123456789"
	for _, tt := range []struct{ name, prefix, tool, want string }{
		{"Prefixed", "weather_", "get_weather", "weather_get_weather"},
		{"NoPrefix", "", "get_weather", "get_weather"},
		{"Empty", "", "", ""},
		{"SixtyFour", strings.Repeat(ten, 6), "abcd", strings.Repeat(ten, 6) + "abcd"},
		// The digests are those of sha256sum over the whole name.
		{"SixtyFive", strings.Repeat(ten, 6), "abcde", strings.Repeat(ten, 5) + "01234_2786df60"},
		{"CutInsideCharacter", strings.Repeat(ten, 5) + "0123", "é" + ten, strings.Repeat(ten, 5) + "0123_bfffea1a"},
	} {
		if got := toolname.Join(tt.prefix, tt.tool); got != tt.want {
			t.Errorf("%s: Join = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Names that differ behind the cut stay different.
func TestShortenedNamesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 1000 {
		seen[toolname.Join(strings.Repeat("p", 60), strings.Repeat("n", i+5))] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d names from 1000", len(seen))
	}
}

func FuzzJoin(f *testing.F) {
	f.Add("weather_", "get_weather")
	f.Add(strings.Repeat("p", 40), strings.Repeat("é", 40))
	f.Add(strings.Repeat("\xff", 70), "\x80")
	f.Fuzz(func(t *testing.T, prefix, name string) {
		got := toolname.Join(prefix, name)
		if len(got) > toolname.MaxLen {
			t.Errorf("%d bytes", len(got))
		}
		if full := prefix + name; len(full) <= toolname.MaxLen && got != full {
			t.Errorf("Join = %q, want %q", got, full)
		}
		if got != toolname.Join(prefix+name, "") {
			t.Error("the answer depends on where the prefix ends")
		}
		if utf8.ValidString(prefix+name) && !utf8.ValidString(got) {
			t.Errorf("Join = %q is not UTF-8", got)
		}
	})
}
