package pin

import (
	"fmt"
	"strings"
	"unicode"
)

// visible reports whether a character can be told on a screen from its absence
// and does nothing else there.
func visible(r rune) bool {
	return r == ' ' || unicode.IsPrint(r) && !unicode.Is(unicode.Variation_Selector, r) &&
		!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && r != '\uFFFD' && r != '\u2800'
}

// Visible returns s with every character that cannot be seen written as
// \u{202e}, line breaks too. A backslash stays one: it is not meant to be read
// back.
func Visible(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !visible(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case visible(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	return b.String()
}

// Excerpt is Visible in ASCII alone and of at most so many characters, for logs.
func Excerpt(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		next := fmt.Sprintf(`\u{%x}`, r)
		if r >= ' ' && r < 0x7f {
			next = string(r)
		}
		if b.Len()+len(next) > most {
			b.WriteString("...")
			break
		}
		b.WriteString(next)
	}
	return b.String()
}
