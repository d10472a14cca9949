package jsonrpc

import (
	"math/bits"

	"github.com/segmentio/asm/utf8"
)

// block marks 64 bytes, the first in the lowest bit.
type block struct {
	quote, backslash uint64
	control          uint64
	high             uint64 // not ASCII
	// These are not set if there is no backslash.
	u, d   uint64 // the letter u; the letter d of both cases
	hex    uint64 // hexadecimal digits
	simple uint64 // what makes an escape with the backslash before it
}

// skipBlocks is skipWords with 64 bytes at a time, which wide has to tell of. It is
// three to ten times as fast where there are many escapes, or no ASCII.
func skipBlocks(b []byte, i int) int {
	var blocks [16]block
	for room := 2; ; room = len(blocks) {
		n := min((len(b)-i)/64, room)
		if n == 0 {
			return skipWords(b, i)
		}
		markBlocks(&blocks[0], &b[i], n)
		start, end := i, i+64*n
		if anyHigh(blocks[:n]) {
			if end = lastCharacter(b, end); end < 0 || !utf8.Valid(b[start:end]) {
				return skipWords(b, start) // says where
			}
		}
		for k := 0; k < n; k = (i - start) >> 6 {
			var closed bool
			if i, closed = blocks[k].skip(b, start+64*k, i); closed || i < 0 {
				return i
			}
		}
		// The character that the blocks end in begins the next ones. Nothing that
		// was skipped reaches into it.
		if i == start+64*n {
			i = end
		}
	}
}

// skip skips what of the block that begins at first is at i or behind it. The answer
// is behind the block, where an escape that begins in it ends, or behind the string if
// it is closed.
func (m *block) skip(b []byte, first, i int) (next int, closed bool) {
	next = first + 64
	if m.quote|m.backslash|m.control == 0 {
		return next, false
	}
	live := ^uint64(0) << uint(i-first)
	// A backslash that no other one escapes begins an escape. The subtraction borrows
	// through each run of them, so that its length decides.
	const odd = 0xAAAAAAAAAAAAAAAA
	backslash := m.backslash & live
	ends := (backslash<<1 | odd) - backslash ^ odd
	escaped := ends ^ backslash
	quote := m.quote & live &^ escaped
	inside := (quote - 1) &^ quote & live
	// \uD... may be half a character.
	unicode := m.u & (m.hex >> 1) & (m.hex >> 2) & (m.hex >> 3) & (m.hex >> 4) &^ (m.d >> 1)
	for left := (escaped&^(m.simple|unicode) | m.control) & inside; left != 0; {
		bit := bits.TrailingZeros64(left)
		at := first + bit - int(escaped>>uint(bit)&1)
		end := skipSpecial(b, at)
		if end < 0 || end >= next {
			return end, false
		}
		left &= ^uint64(0) << uint(end-first)
	}
	if quote != 0 {
		return first + bits.TrailingZeros64(quote) + 1, true
	}
	if ends&backslash>>63 != 0 {
		next = skipSpecial(b, next-1)
	}
	return next, false
}

func anyHigh(blocks []block) bool {
	var all uint64
	for k := range blocks {
		all |= blocks[k].high
	}
	return all != 0
}

// lastCharacter returns the start of the character that goes on at end, or end if
// none does; -1 if nothing that begins one is in front.
func lastCharacter(b []byte, end int) int {
	start := end
	for start < len(b) && b[start]&0xC0 == 0x80 {
		if start--; end-start > 3 {
			return -1
		}
	}
	if start < end && b[start] < 0xC0 {
		return -1
	}
	return start
}
