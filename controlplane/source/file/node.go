package file

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// field reads the value of one key; at is its path. Values of a shape that it
// does not know are reported, never guessed.
type field func(n *yaml.Node, at string)

// fields are the keys that an object may have.
type fields map[string]field

func (d *decoder) errorf(n *yaml.Node, at, format string, args ...any) {
	d.report(n, Problem{Path: at, Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) warnf(n *yaml.Node, at, format string, args ...any) {
	d.report(n, Problem{Path: at, Message: fmt.Sprintf(format, args...), Warning: true})
}

// object reads a mapping: each key at most once, and only known ones.
func (d *decoder) object(n *yaml.Node, at string, known fields) {
	d.members(n, at, func(key *yaml.Node, value *yaml.Node, path string) {
		if read, ok := known[key.Value]; ok {
			read(value, path)
			return
		}
		hint := ""
		if key.Value == "<<" {
			hint = "; merge keys are not supported"
		} else if near := nearest(key.Value, slices.Sorted(maps.Keys(known))); near != "" {
			hint = fmt.Sprintf("; did you mean %s?", near)
		}
		d.errorf(key, path, "unknown key%s", hint)
	})
}

// plainKey is a key that is readable in a path without quotes.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.<-]+$`)

// members walks a mapping and reports keys that are no strings or come twice.
func (d *decoder) members(n *yaml.Node, at string, f func(key, value *yaml.Node, path string)) {
	n = d.visit(n, at)
	if n.Kind != yaml.MappingNode {
		d.errorf(n, at, "want a mapping (key: value), have %s", kind(n))
		return
	}
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.errorf(key, at, "want a string as key, have %s", kind(key))
			continue
		}
		path := key.Value
		if !plainKey.MatchString(path) {
			path = strconv.Quote(path)
		}
		if at != "" {
			path = at + "." + path
		}
		if earlier, twice := first[key.Value]; twice {
			d.errorf(key, path, "duplicate key, first on line %d", earlier.Line)
			continue
		}
		first[key.Value] = key
		f(key, value, path)
	}
}

func (d *decoder) list(n *yaml.Node, at string, f field) {
	n = d.visit(n, at)
	if n.Kind != yaml.SequenceNode {
		d.errorf(n, at, "want a list, have %s", kind(n))
		return
	}
	for i, item := range n.Content {
		f(item, fmt.Sprintf("%s[%d]", at, i))
	}
}

// visit remembers where at is and follows an alias.
func (d *decoder) visit(n *yaml.Node, at string) *yaml.Node {
	d.at[at] = n
	return deref(n)
}

// deref follows an alias. Aliases of aliases do not exist in YAML.
func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// kind names what a node holds, for messages. Never its value.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "no value"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	case "!!str":
		return "a string"
	}
	return "a value of type " + n.ShortTag()
}

// nearest returns the known key that was likely meant, or "".
func nearest(key string, known []string) string {
	best, distance := "", 3
	if len(key) < 6 {
		distance = 2
	}
	for _, k := range known {
		if strings.EqualFold(k, key) || strings.EqualFold(strings.NewReplacer("_", "", "-", "").Replace(key), k) {
			return k
		}
		if n := editDistance(key, k); n < distance {
			best, distance = k, n
		}
	}
	return best
}

// editDistance is the number of insertions, deletions, substitutions and swaps
// of neighbours between a and b.
func editDistance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	two, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, prev = prev, row
	}
	return prev[len(b)]
}
