package policy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
)

// mostSearched is the size of arguments, in bytes, that are searched for names: in
// larger ones some name is found, or an escape, more often than not.
const mostSearched = 4096

// asked are the arguments that rules ask for, by their names. Most calls have none of
// those that some rule about all tools asks for, and it is quicker to see that than to
// evaluate the rule.
type asked struct {
	// names as lower spells them.
	names []string
	// all: some rule looks at more than single ones.
	all bool
}

// note adds what is asked of the arguments at a node.
func (a *asked) note(node ast.NavigableExpr) {
	name, ok := memberOf(node)
	if !ok || strings.ContainsFunc(name, mayBeEscaped) {
		a.all = true
		return
	}
	a.names = append(a.names, lower(name))
}

// mayBeEscaped reports whether JSON has a spelling for a character, other than by its
// number, that is not the character itself, or case a form beyond ASCII.
func mayBeEscaped(c rune) bool {
	return c < ' ' || c == '"' || c == '\\' || c == '/' || c >= 0x7f
}

func (a *asked) add(other asked) {
	a.all = a.all || other.all
	for _, name := range other.names {
		if !slices.Contains(a.names, name) {
			a.names = append(a.names, name)
		}
	}
}

// noneIn reports whether raw arguments, which were scanned before, are an object in
// which no parser finds a name that is asked for, in whatever case: no name stands
// anywhere in it, and no character that could be one of a name's in disguise.
func (a *asked) noneIn(raw []byte) bool {
	if a.all || len(raw) == 0 || len(raw) > mostSearched || raw[0] != '{' {
		return false
	}
	for i, c := range raw {
		if c >= 0x80 && folds(raw[i:]) || c == 'u' && raw[i-1] == '\\' && stands(raw[i+1:]) {
			return false
		}
	}
	for _, name := range a.names {
		if contains(raw, name) {
			return false
		}
	}
	return true
}

// folds reports whether raw begins with one of the characters beyond ASCII that fold
// makes one within.
func folds(raw []byte) bool {
	for _, c := range [...]string{"\u0130", "\u0131", "\u017f", "\u212a"} {
		if len(raw) >= len(c) && string(raw[:len(c)]) == c {
			return true
		}
	}
	return false
}

// stands reports whether the number of an escape may be that of an ASCII character, or
// of one that folds: those of the blocks 01 and 21 are among them.
func stands(digits []byte) bool {
	if len(digits) < 4 {
		return true
	}
	switch string(digits[:2]) {
	case "00":
		return digits[2] < '8'
	case "01", "21":
		return true
	}
	return false
}

// contains reports whether a name stands in raw as lower spells it.
func contains(raw []byte, name string) bool {
	for i := 0; i+len(name) <= len(raw); i++ {
		n := 0
		for n < len(name) && raw[i+n]|0x20 == name[n] {
			n++
		}
		if n == len(name) {
			return true
		}
	}
	return false
}

// lower makes one of the cases of letters, and of some other characters, which may only
// find a name where it is not.
func lower(name string) string {
	b := []byte(name)
	for i := range b {
		b[i] |= 0x20
	}
	return string(b)
}
