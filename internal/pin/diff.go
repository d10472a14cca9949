package pin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Change is a part of a definition that is not what it was. An absent value is
// nil.
type Change struct {
	// Path is of the part, "inputSchema.properties.city"; empty for all of it.
	Path     string
	Old, New json.RawMessage
}

// Changes returns what differs between two definitions, sorted by path.
func Changes(old, next Entry) []Change {
	a, errA := decode(old.text())
	b, errB := decode(next.text())
	if errA != nil || errB != nil || old.Raw != nil || next.Raw != nil {
		if bytes.Equal(old.text(), next.text()) {
			return nil
		}
		return []Change{{Old: old.text(), New: next.text()}}
	}
	var out []Change
	compare("", a, b, &out)
	return out
}

// decode keeps numbers as they are. Keys that come twice do not get here.
func decode(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

func compare(at string, a, b any, out *[]Change) {
	x, isObject := a.(map[string]any)
	y, areObjects := b.(map[string]any)
	if !isObject || !areObjects {
		old, next := encode(a), encode(b)
		if !bytes.Equal(old, next) {
			*out = append(*out, Change{Path: at, Old: old, New: next})
		}
		return
	}
	keys := map[string]bool{}
	for k := range x {
		keys[k] = true
	}
	for k := range y {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		before, had := x[k]
		after, has := y[k]
		here := join(at, k)
		switch {
		case !had:
			*out = append(*out, Change{Path: here, New: encode(after)})
		case !has:
			*out = append(*out, Change{Path: here, Old: encode(before)})
		default:
			compare(here, before, after, out)
		}
	}
}

// join names a member. A key that could be taken for something else is quoted.
func join(at, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '.' || r == '"' }) {
		key = strconv.QuoteToASCII(key)
	}
	if at == "" {
		return key
	}
	return at + "." + key
}

func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // it was decoded before
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Members returns the paths of the changes, for a log.
func Members(changes []Change) []string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		if c.Path == "" {
			c.Path = "(all)"
		}
		out = append(out, c.Path)
	}
	return out
}

// Diff shows the changes: the path on a line, then what was with a minus sign and
// what is with a plus sign, both with every character to be seen. Every line
// begins with indent.
func Diff(old, next Entry, indent string) string {
	var b strings.Builder
	for _, c := range Changes(old, next) {
		path := c.Path
		if path == "" {
			path = "(all of it)"
		}
		fmt.Fprintf(&b, "%s%s\n", indent, path)
		removed, added := lines(c.Old), lines(c.New)
		// What both begin and end with is not worth showing twice.
		head := 0
		for head < len(removed) && head < len(added) && removed[head] == added[head] {
			head++
		}
		tail := 0
		for tail < len(removed)-head && tail < len(added)-head && removed[len(removed)-1-tail] == added[len(added)-1-tail] {
			tail++
		}
		if head > 0 {
			fmt.Fprintf(&b, "%s    %s\n", indent, omitted(head))
		}
		for _, line := range removed[head : len(removed)-tail] {
			fmt.Fprintf(&b, "%s  - %s\n", indent, line)
		}
		for _, line := range added[head : len(added)-tail] {
			fmt.Fprintf(&b, "%s  + %s\n", indent, line)
		}
		if tail > 0 {
			fmt.Fprintf(&b, "%s    %s\n", indent, omitted(tail))
		}
	}
	return b.String()
}

func omitted(n int) string {
	if n == 1 {
		return "(1 line the same)"
	}
	return fmt.Sprintf("(%d lines the same)", n)
}

// lines are those of a value: of a string its own, of anything else those of its
// indented form; none of no value.
func lines(raw []byte) []string {
	if raw == nil {
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var b bytes.Buffer
		if json.Indent(&b, raw, "", "  ") != nil {
			b.Reset()
			b.Write(raw)
		}
		text = b.String()
	}
	all := strings.Split(text, "\n")
	for i, line := range all {
		all[i] = Visible(line)
	}
	return all
}
