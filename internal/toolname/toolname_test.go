package toolname_test

import (
	"strings"
	"testing"

	"mcp-gateway/internal/toolname"
)

func TestFit(t *testing.T) {
	t.Parallel()
	ten := "0123456789"
	for _, tt := range []struct {
		name, full string
		limit      int
		want       string
	}{
		{"Usual", "weather_get.weather-1", 64, "weather_get.weather-1"},
		{"Empty", "", 64, ""},
		{"SixtyFour", strings.Repeat(ten, 6) + "abcd", 64, strings.Repeat(ten, 6) + "abcd"},
		// The digests are those of sha256sum over the whole name.
		{"SixtyFive", strings.Repeat(ten, 6) + "abcde", 64, strings.Repeat(ten, 5) + "01234_2786df60"},
		{"CutInsideCharacter", strings.Repeat(ten, 5) + "0123é" + ten, 64, strings.Repeat(ten, 5) + "0123__bfffea1a"},
		{"OtherLimit", strings.Repeat(ten, 4), 32, ten + ten + "012_fb526cd4"},
		{"NoLimit", strings.Repeat(ten, 10) + " é", 0, strings.Repeat(ten, 10) + " é"},
		{"Slash", "a/b", 64, "a_b_c14cddc0"},
		{"Space", "a b", 64, "a_b_c8687a08"},
	} {
		if got := toolname.Fit(tt.full, tt.limit); got != tt.want {
			t.Errorf("%s: Fit = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Names that differ behind the cut, or in what is replaced, stay different.
func TestChangedNamesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 1000 {
		seen[toolname.Fit(strings.Repeat("p", 60)+strings.Repeat("n", i+5), toolname.DefaultLimit)] = true
		seen[toolname.Fit("a"+string(rune(0x1000+i)), toolname.DefaultLimit)] = true
	}
	if len(seen) != 2000 {
		t.Errorf("%d names from 2000", len(seen))
	}
}

func FuzzFit(f *testing.F) {
	f.Add("weather_get_weather", 64)
	f.Add(strings.Repeat("é", 40), 64)
	f.Add(strings.Repeat("\xff", 70), 32)
	f.Fuzz(func(t *testing.T, name string, limit int) {
		if limit != 0 && (limit < toolname.MinLimit || limit > 1000) {
			return
		}
		got := toolname.Fit(name, limit)
		if !toolname.Fits(got, limit) || got != toolname.Fit(got, limit) {
			t.Errorf("Fit = %q does not fit", got)
		}
		if toolname.Fits([]byte(name), limit) != (got == name) {
			t.Errorf("Fit = %q of %q", got, name)
		}
	})
}
