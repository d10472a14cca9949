package scan

import (
	"fmt"
	"unicode"
)

// characters looks for characters that cannot be seen or that move others.
func (w *walker) characters(s string, isName bool) {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f || !isName && (s[i] == '\n' || s[i] == '\t' || s[i] == '\r')
	}
	if plain {
		return
	}
	runes := []rune(s)
	rightToLeft := writesRightToLeft(runes)
	type seen struct {
		count int
		first rune
		at    int
	}
	counts := map[Check]*seen{}
	for i := 0; i < len(runes); i++ {
		if n := flagLength(runes[i:]); n > 0 {
			i += n - 1
			continue
		}
		check := unseen(runes, i, rightToLeft, isName)
		if check == "" {
			continue
		}
		if counts[check] == nil {
			counts[check] = &seen{first: runes[i], at: i}
		}
		counts[check].count++
	}
	for _, check := range []Check{Control, Invisible, Tags, Bidi, Variation} {
		c := counts[check]
		if c == nil {
			continue
		}
		before := string(runes[max(0, c.at-20):c.at])
		w.found(check, fmt.Sprintf("%d, the first U+%04X behind %q", c.count, c.first, ascii(before, 60)))
	}
}

// unseen returns the check that the character at i fails; empty for none.
func unseen(all []rune, i int, rightToLeft, isName bool) Check {
	r := all[i]
	switch {
	case r == '\n' || r == '\t' || r == '\r':
		if isName {
			return Control
		}
		return ""
	case r < ' ' || 0x7f <= r && r <= 0x9f:
		return Control
	case r < 0xad:
		return ""
	case 0xE0000 <= r && r <= 0xE007F:
		return Tags
	case 0x202A <= r && r <= 0x202E, 0x2066 <= r && r <= 0x2069:
		return Bidi
	case r == 0x200E, r == 0x200F, r == 0x061C:
		if rightToLeft {
			return ""
		}
		return Bidi
	case unicode.Is(unicode.Variation_Selector, r):
		if varies(all, i) {
			return ""
		}
		return Variation
	case r == 0x200C, r == 0x200D:
		if joins(all, i) {
			return ""
		}
		return Invisible
	case r == 0x2028, r == 0x2029, r == 0x2800:
		return Invisible
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r):
		return "" // of the category Cf, and to be seen
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
		return Invisible
	}
	return ""
}

// flags are those emoji flags that end in a word of tag characters (RGI emoji tag
// sequences): England, Scotland, Wales.
var flags = map[string]bool{"gbeng": true, "gbsct": true, "gbwls": true}

// flagLength returns how many characters such a flag takes; 0 for another text.
func flagLength(text []rune) int {
	const words = 5
	if len(text) < words+2 || text[0] != 0x1F3F4 || text[words+1] != 0xE007F {
		return 0
	}
	var word []byte
	for _, r := range text[1 : words+1] {
		if r < 0xE0061 || r > 0xE007A {
			return 0
		}
		word = append(word, byte(r-0xE0000))
	}
	if !flags[string(word)] {
		return 0
	}
	return words + 2
}

// varies reports whether a variation selector stands behind something that has
// variants: of emoji those as text and as picture, of ideographs and Mongolian
// letters many. Never behind another one.
func varies(all []rune, i int) bool {
	if i == 0 {
		return false
	}
	before := all[i-1]
	switch r := all[i]; {
	case r == 0xFE0E || r == 0xFE0F:
		return before == '#' || before == '*' || '0' <= before && before <= '9' || before > 0x7f && !unicode.IsLetter(before) && !unicode.IsMark(before) && !unicode.IsSpace(before) && !unicode.Is(unicode.Cf, before) ||
			before == 0x2139 // information, by its category a letter
	case 0x180B <= r && r <= 0x180F:
		return unicode.Is(unicode.Mongolian, before)
	default:
		return unicode.Is(unicode.Han, before) || unicode.Is(unicode.Sm, before)
	}
}

// joining are the scripts in which U+200C and U+200D decide how letters look.
var joining = []*unicode.RangeTable{
	unicode.Arabic, unicode.Syriac, unicode.Mongolian, unicode.Nko, unicode.Mandaic, unicode.Devanagari, unicode.Bengali,
	unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam,
	unicode.Sinhala, unicode.Khmer, unicode.Myanmar, unicode.Tibetan,
}

// joins reports whether a joiner or non-joiner stands where one belongs: behind a
// letter of a script that knows it, or between the parts of an emoji.
func joins(all []rune, i int) bool {
	if i == 0 || i == len(all)-1 {
		return false
	}
	before, after := all[i-1], all[i+1]
	if unicode.In(before, joining...) && unicode.In(after, joining...) {
		return true
	}
	return all[i] == 0x200D && (pictorial(before) || before == 0xFE0F) && pictorial(after)
}

// pictorial reports whether a character is an emoji, or a skin tone of one.
func pictorial(r rune) bool {
	return unicode.Is(unicode.So, r) || 0x1F3FB <= r && r <= 0x1F3FF || r == 0x2194 || r == 0x2195 || r == 0x27A1
}

func writesRightToLeft(all []rune) bool {
	for _, r := range all {
		if r > 0x58f && unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko) && unicode.IsLetter(r) {
			return true
		}
	}
	return false
}
