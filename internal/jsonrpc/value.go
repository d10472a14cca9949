package jsonrpc

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// The functions skip* take the offset of a token and return the offset behind
// it. A negative answer is a failure: ^offset where the text breaks the
// grammar, or tooDeep.
const tooDeep = math.MinInt

// spaces has a bit for each byte that RFC 8259 calls whitespace.
const spaces = 1<<' ' | 1<<'\t' | 1<<'\n' | 1<<'\r'

// skipSpace returns the offset of the first byte at or behind i that is no
// whitespace.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && spaces>>b[i]&1 != 0 {
		i++
	}
	return i
}

// skipValue skips one value of any type and the whitespace in front of it.
// depth counts the containers that are open around it. It is iterative, so that
// no text can grow the stack.
func skipValue(b []byte, i, depth int) int {
	// One bit for each container opened here, 1 for an object; the innermost
	// is the lowest bit of lo.
	var hi, lo uint64
	level := 0
	for {
		i = skipSpace(b, i)
		if i >= len(b) {
			return ^i
		}
		switch c := b[i]; c {
		case '"':
			if i = skipString(b, i+1); i < 0 {
				return i
			}
		case '{':
			if depth+level >= MaxDepth {
				return tooDeep
			}
			if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
				i++
				break
			}
			level++
			hi, lo = hi<<1|lo>>63, lo<<1|1
			if i = skipKey(b, i); i < 0 {
				return i
			}
			continue
		case '[':
			if depth+level >= MaxDepth {
				return tooDeep
			}
			if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
				i++
				break
			}
			level++
			hi, lo = hi<<1|lo>>63, lo<<1
			continue
		case 't':
			i = skipLiteral(b, i, "true")
		case 'f':
			i = skipLiteral(b, i, "false")
		case 'n':
			i = skipLiteral(b, i, "null")
		default:
			i = skipNumber(b, i)
		}
		if i < 0 {
			return i
		}
		// A value ends at i: close what it completes, then go to the next.
		for {
			if level == 0 {
				return i
			}
			i = skipSpace(b, i)
			if i >= len(b) {
				return ^i
			}
			c := b[i]
			if c == ',' {
				i++
				break
			}
			// ']' and '}' differ in bit 5 only.
			if c != ']'|byte(lo&1)<<5 {
				return ^i
			}
			i++
			level--
			hi, lo = hi>>1, lo>>1|hi<<63
		}
		if lo&1 != 0 {
			if i = skipKey(b, skipSpace(b, i)); i < 0 {
				return i
			}
		}
	}
}

// skipKey skips a key that begins at i, and the colon.
func skipKey(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return ^i
	}
	if i = skipString(b, i+1); i < 0 {
		return i
	}
	return skipColon(b, i)
}

func skipColon(b []byte, i int) int {
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != ':' {
		return ^i
	}
	return i + 1
}

func skipLiteral(b []byte, i int, word string) int {
	for j := 0; j < len(word); j++ {
		if i+j >= len(b) || b[i+j] != word[j] {
			return ^(i + j)
		}
	}
	return i + len(word)
}

// skipNumber skips a number (RFC 8259 section 6). Its size is not judged: 1e400
// is valid JSON and passes as it is.
func skipNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return ^i
	case b[i] == '0':
		i++
	case '1' <= b[i] && b[i] <= '9':
		i = skipDigits(b, i+1)
	default:
		return ^i
	}
	if i < len(b) && b[i] == '.' {
		i++
		if i >= len(b) || b[i]-'0' > 9 {
			return ^i
		}
		i = skipDigits(b, i+1)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || b[i]-'0' > 9 {
			return ^i
		}
		i = skipDigits(b, i+1)
	}
	return i
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// skipText skips one value and the whitespace around it, which must be all of b.
func skipText(b []byte) int {
	i := skipValue(b, 0, 0)
	return skipEnd(b, i)
}

// skipEnd skips whitespace to the end of b; it hands an earlier failure on.
func skipEnd(b []byte, i int) int {
	if i < 0 {
		return i
	}
	if i = skipSpace(b, i); i != len(b) {
		return ^i
	}
	return i
}

// reason describes the failure that a skip function returned; depth is how deep the
// text may be nested.
func reason(b []byte, failure, depth int) string {
	if failure == tooDeep {
		return "JSON is nested more than " + strconv.Itoa(depth) + " levels deep"
	}
	i := ^failure
	if i >= len(b) {
		return "JSON ends too early"
	}
	what := "invalid JSON"
	if b[i] >= utf8.RuneSelf {
		if r, n := utf8.DecodeRune(b[i:]); r == utf8.RuneError && n == 1 {
			what = "invalid UTF-8"
		}
	}
	return what + " at byte " + strconv.Itoa(i)
}
