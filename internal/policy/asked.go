package policy

import (
	"bytes"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
)

// mostSearched is the size of arguments, in bytes, that are searched for names: to
// search larger ones takes longer than to evaluate the rules.
const mostSearched = 1024

// asked are the arguments that rules ask for, by their names. Most calls have none of
// those that some rule about all tools asks for, and it is quicker to see that than to
// evaluate the rule.
type asked struct {
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
	a.names = append(a.names, name)
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
// which no parser finds a name that is asked for, in whatever case: no string is one,
// and no character could be one of a name's in disguise.
func (a *asked) noneIn(raw []byte) bool {
	if a.all || len(raw) == 0 || len(raw) > mostSearched || raw[0] != '{' || disguises(raw) {
		return false
	}
	for {
		i := bytes.IndexByte(raw, '"')
		if i < 0 {
			return true
		}
		raw = raw[i+1:]
		if slices.ContainsFunc(a.names, func(name string) bool { return begins(raw, name) }) {
			return false
		}
	}
}

// disguises reports whether raw has characters that are read as ASCII ones and do not
// look like them: escapes, or letters beyond ASCII that fold makes one within.
func disguises(raw []byte) bool {
	for rest := raw; ; {
		i := bytes.Index(rest, escape)
		if i < 0 {
			break
		}
		rest = rest[i+len(escape):]
		if stands(rest) {
			return true
		}
	}
	return slices.ContainsFunc(folded, func(c []byte) bool { return bytes.Contains(raw, c) })
}

var (
	escape = []byte(`\u`)
	folded = [][]byte{[]byte("\u0130"), []byte("\u0131"), []byte("\u017f"), []byte("\u212a")}
)

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

// begins reports whether the string whose inside raw begins with is name, in whatever
// case.
func begins(raw []byte, name string) bool {
	return len(raw) > len(name) && raw[len(name)] == '"' && strings.EqualFold(string(raw[:len(name)]), name)
}
