package jsonrpc

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// special marks, in the high bit of its byte, the first byte of w (from the
// low end) that is a quote, a backslash, a control character or not ASCII.
// Marks above the first may be false, because subtraction borrows.
func special(w uint64) uint64 {
	quote := (w ^ '"'*ones) - ones
	backslash := (w ^ '\\'*ones) - ones
	control := w - ' '*ones
	return (quote | backslash | control | w) & highs
}

// marks sets the high bit of every byte of w that is a quote, a backslash, a
// control character or not ASCII, and no other.
func marks(w uint64) uint64 {
	low := w &^ highs
	quote := (low ^ '"'*ones) + ^uint64(highs) // high bit: is another character
	backslash := (low ^ '\\'*ones) + ^uint64(highs)
	printable := low + (0x80-' ')*ones
	return (^(quote & backslash & printable) | w) & highs
}

// simple are the characters that make an escape with the backslash before them.
var simple = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// skipString skips a string whose opening quote stands before i. Most are short: a few
// words tell before anything is set up for the long ones.
func skipString(b []byte, i int) int {
	for n := 0; n < 4 && i+8 <= len(b); n++ {
		w := binary.LittleEndian.Uint64(b[i:])
		m := special(w)
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if b[i] == '"' {
			return i + 1
		}
		if i = skipSpecial(b, i); i < 0 {
			return i
		}
	}
	if wide {
		return skipBlocks(b, i)
	}
	return skipWords(b, i)
}

// skipSpecial skips the escape, or the characters outside ASCII, that begin at i; a
// control character is a failure.
func skipSpecial(b []byte, i int) int {
	switch c := b[i]; {
	case c == '\\':
		return skipEscape(b, i)
	case c < utf8.RuneSelf:
		return ^i
	}
	return skipRunes(b, i)
}

// skipWords skips the rest of a string, from i on, eight bytes at a time.
func skipWords(b []byte, i int) int {
	for clean := 0; i+8 <= len(b); {
		m := marks(binary.LittleEndian.Uint64(b[i:]))
		if m == 0 {
			i += 8
			if clean++; clean == 4 {
				i, clean = skipPlain(b, i), 0
			}
			continue
		}
		// What is special in the word is taken from its marks; the next word does
		// not wait for that.
		clean = 0
		next := i + 8
		for m != 0 {
			at := i + bits.TrailingZeros64(m)>>3
			c := b[at]
			end := at + 2
			switch {
			case c == '"':
				return at + 1
			case c == '\\' && end <= len(b) && simple[b[at+1]]:
			default:
				if end = skipSpecial(b, at); end < 0 {
					return end
				}
			}
			if end >= next {
				next = end
				break
			}
			m &= ^uint64(0) << (uint(end-i) * 8 & 63)
		}
		i = next
	}
	return skipTail(b, i)
}

// skipTail skips the rest of a string byte by byte.
func skipTail(b []byte, i int) int {
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ', c == '\\', c >= utf8.RuneSelf:
			if i = skipSpecial(b, i); i < 0 {
				return i
			}
		default:
			i++
		}
	}
	return ^i
}

// skipPlain skips blocks of 32 bytes without anything special: most large bodies
// are one long string. Short strings are better off without the look ahead.
func skipPlain(b []byte, i int) int {
	for ; i+32 <= len(b); i += 32 {
		p := b[i : i+32 : i+32]
		if special(binary.LittleEndian.Uint64(p))|special(binary.LittleEndian.Uint64(p[8:]))|
			special(binary.LittleEndian.Uint64(p[16:]))|special(binary.LittleEndian.Uint64(p[24:])) != 0 {
			break
		}
	}
	return i
}

// skipEscape skips the escape whose backslash stands at i; both halves of a
// surrogate pair at once.
func skipEscape(b []byte, i int) int {
	_, n := decodeEscape(b[i:])
	if n == 0 {
		return ^i
	}
	return i + n
}

// decodeEscape returns the character of the escape at the start of b and its
// length in bytes; length 0 if it is malformed or a lone surrogate.
func decodeEscape(b []byte) (rune, int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r := hex4(b)
	switch {
	case r < 0:
		return 0, 0
	case r < 0xD800 || r > 0xDFFF:
		return r, 6
	case r > 0xDBFF:
		return 0, 0
	}
	low := hex4(b[6:])
	if low < 0xDC00 || low > 0xDFFF {
		return 0, 0
	}
	return 0x10000 + (r-0xD800)<<10 + (low - 0xDC00), 12
}

// hexDigit is the value of a hexadecimal digit, 0xFF for any other character.
var hexDigit = func() (values [256]uint8) {
	for i := range values {
		switch c := byte(i); {
		case '0' <= c && c <= '9':
			values[i] = c - '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			values[i] = c | 0x20 - 'a' + 10
		default:
			values[i] = 0xFF
		}
	}
	return values
}()

// hex4 returns the code unit of \uXXXX at the start of b, -1 if there is none.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	h0, h1, h2, h3 := hexDigit[b[2]], hexDigit[b[3]], hexDigit[b[4]], hexDigit[b[5]]
	if h0|h1|h2|h3 == 0xFF {
		return -1
	}
	return rune(h0)<<12 | rune(h1)<<8 | rune(h2)<<4 | rune(h3)
}

// skipRunes skips the characters outside ASCII that begin at i, a few at most: for more
// of them there are faster ways. The limits of the second byte keep out overlong forms,
// surrogates and what is beyond U+10FFFF (RFC 3629 section 4).
func skipRunes(b []byte, i int) int {
	for n := 0; n < 8 && i < len(b) && b[i] >= utf8.RuneSelf; n++ {
		c := b[i]
		if 0xC2 <= c && c < 0xE0 && i+1 < len(b) && b[i+1]&0xC0 == 0x80 {
			i += 2 // most letters outside ASCII
			continue
		}
		size, low, high := 2, byte(0x80), byte(0xBF)
		switch {
		case c < 0xC2:
			return ^i
		case c < 0xE0:
		case c < 0xF0:
			size = 3
			if c == 0xE0 {
				low = 0xA0
			} else if c == 0xED {
				high = 0x9F
			}
		case c < 0xF5:
			size = 4
			if c == 0xF0 {
				low = 0x90
			} else if c == 0xF4 {
				high = 0x8F
			}
		default:
			return ^i
		}
		if i+size > len(b) || b[i+1] < low || b[i+1] > high {
			return ^i
		}
		for j := i + 2; j < i+size; j++ {
			if b[j]&0xC0 != 0x80 {
				return ^i
			}
		}
		i += size
	}
	return i
}

// Unquote returns the characters of a string token as UTF-8; false if token is
// anything but one strict JSON string without whitespace around it. Without
// escapes the answer is a part of token, not a copy. With escapes it is written
// over dst[:0], which must not overlap token.
func Unquote(dst, token []byte) ([]byte, bool) {
	if len(token) < 2 || token[0] != '"' || skipString(token, 1) != len(token) {
		return nil, false
	}
	inside := token[1 : len(token)-1 : len(token)-1]
	next := bytes.IndexByte(inside, '\\')
	if next < 0 {
		return inside, true
	}
	dst = dst[:0]
	for ; next >= 0; next = bytes.IndexByte(inside, '\\') {
		dst = append(dst, inside[:next]...)
		r, n := decodeEscape(inside[next:])
		dst = utf8.AppendRune(dst, r)
		inside = inside[next+n:]
	}
	return append(dst, inside...), true
}

// AppendQuote appends s as a JSON string token. Only what RFC 8259 section 7
// demands is escaped; a byte that is no UTF-8 becomes U+FFFD.
func AppendQuote(dst []byte, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for len(s) > 0 {
		n := 0
		for n < len(s) && s[n] >= ' ' && s[n] != '"' && s[n] != '\\' && s[n] < utf8.RuneSelf {
			n++
		}
		dst = append(dst, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			break
		}
		c := s[0]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s)
			dst = utf8.AppendRune(dst, r)
			s = s[size:]
			continue
		}
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		s = s[1:]
	}
	return append(dst, '"')
}
