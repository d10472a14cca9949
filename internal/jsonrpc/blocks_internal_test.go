package jsonrpc

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// parts of strings, sound ones first. What makes a block hard stands often.
var parts = []string{
	"a", "u", "d", "0", "f", "plain text of some length, ", strings.Repeat("x", 61), strings.Repeat("y", 64),
	`\"`, `\\`, `\n`, `\/`, `\u00e9`, `\u0022`, `\ud55c`, `\uD7ff`, `\ud83d\ude00`, `\\\\\\`,
	"é", "ß", "多", "云", "😀", "\u07ff", "\u0800", "\uffff",
	`"`, // ends it
	`\`, `\x`, `\u12`, `\u12g4`, `\ud83d`, `\ude00`, `\ud83d\u0041`,
	"\x00", "\x1f", "\n", "\x80", "\xc3", "\xe5\xa4", "\xf0\x9f\x98", "\xed\xa0\x80", "\xc0\xaf", "\xff",
}

const soundParts = 26

// Blocks and words agree on where a string ends and on where it breaks, whatever stands
// where.
func TestBlocksAgainstWords(t *testing.T) {
	t.Parallel()
	if !wide {
		t.Skip("this processor looks at words only")
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300_000 {
		b := []byte(strings.Repeat("z", r.IntN(70)))
		for range r.IntN(40) {
			n := soundParts
			if r.IntN(40) == 0 {
				n = len(parts)
			}
			b = append(b, parts[r.IntN(n)]...)
		}
		if r.IntN(4) > 0 {
			b = append(b, '"')
		}
		b = append(b, strings.Repeat("\x80w", r.IntN(70))...)
		if got, want := skipBlocks(b, 0), skipWords(b, 0); got != want {
			t.Fatalf("seed %d: skipBlocks(%q) = %d, skipWords %d", seed, b, got, want)
		}
	}
}

// Every byte is judged the same at every place of a block.
func TestByteAtEveryPlaceOfABlock(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", `\`, `\\`, `\u`, `\u00`, `\ud83d\u`, "\xc3", "\xe5", "\xe5\xa4"} {
		for at := range 130 {
			for c := range 256 {
				b := []byte(strings.Repeat("a", at) + before + string([]byte{byte(c)}) + `9e00` + strings.Repeat("b", 200) + `"`)
				if got, want := skipString(b, 0), skipTail(b, 0); got != want {
					t.Fatalf("skipString(%q) = %d, want %d", b, got, want)
				}
			}
		}
	}
}
