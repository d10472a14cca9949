package file

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar returns the text of a scalar whose type is one of tags, references
// expanded; ok is false with the problem reported.
func (d *decoder) scalar(n *yaml.Node, at, want string, tags ...string) (text, tag string, ok bool) {
	n = d.visit(n, at)
	tag = n.ShortTag()
	for _, t := range tags {
		if n.Kind != yaml.ScalarNode || t != tag {
			continue
		}
		if tag != "!!str" {
			return n.Value, tag, true
		}
		text, faults := expand(n.Value, d.env)
		for _, fault := range faults {
			d.errorf(n, at, "%s", fault)
		}
		if text == "" && n.Value != "" {
			d.empty[at] = n.Value // nothing but ${NAME}
		}
		return text, tag, len(faults) == 0
	}
	hint := ""
	if n.Kind == yaml.ScalarNode && want == "a string" && tag != "!!null" {
		hint = " (quote it)"
	}
	d.errorf(n, at, "want %s, have %s%s", want, kind(n), hint)
	return "", "", false
}

func (d *decoder) text(into *string) field {
	return func(n *yaml.Node, at string) {
		if text, _, ok := d.scalar(n, at, "a string", "!!str"); ok {
			*into = text
		}
	}
}

func (d *decoder) texts(into *[]string) field {
	return func(n *yaml.Node, at string) {
		d.list(n, at, func(n *yaml.Node, at string) {
			var text string
			d.text(&text)(n, at)
			*into = append(*into, text)
		})
	}
}

func (d *decoder) boolean(into *bool) field {
	return func(n *yaml.Node, at string) {
		text, _, ok := d.scalar(n, at, "true or false", "!!bool", "!!str")
		if !ok {
			return
		}
		switch strings.ToLower(text) {
		case "true":
			*into = true
		case "false":
			*into = false
		default:
			d.errorf(n, at, "want true or false")
		}
	}
}

func (d *decoder) duration(into *time.Duration) field {
	return func(n *yaml.Node, at string) {
		text, tag, ok := d.scalar(n, at, "a duration, as 30s", "!!str", "!!int", "!!float")
		if !ok {
			return
		}
		value, err := time.ParseDuration(text)
		if err != nil || tag == "!!float" {
			d.errorf(n, at, "want a duration with its unit, as 500ms, 30s, 5m or 24h")
			return
		}
		*into = value
	}
}

func (d *decoder) size(into *int64) field {
	return func(n *yaml.Node, at string) {
		text, _, ok := d.scalar(n, at, "a size, as 4MiB", "!!str", "!!int")
		if !ok {
			return
		}
		value, ok := parseSize(text)
		if !ok {
			d.errorf(n, at, "want a size in bytes, or with the unit KiB, MiB or GiB")
			return
		}
		*into = value
	}
}

var size = regexp.MustCompile(`^([0-9]{1,18}) ?(|B|KiB|MiB|GiB)$`)

func parseSize(text string) (int64, bool) {
	m := size.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[2]]
	if err != nil || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

// count reads a number from 1 on.
func (d *decoder) count(into *int) field {
	return func(n *yaml.Node, at string) {
		text, _, ok := d.scalar(n, at, "a number", "!!str", "!!int")
		if !ok {
			return
		}
		value, err := strconv.Atoi(text)
		if err != nil || value < 1 {
			d.errorf(n, at, "want a whole number from 1 on")
			return
		}
		*into = value
	}
}

// headers reads name: secret.
func (d *decoder) headers(into *map[string]string) field {
	return func(n *yaml.Node, at string) {
		d.members(n, at, func(key, value *yaml.Node, path string) {
			if *into == nil {
				*into = map[string]string{}
			}
			var text string
			d.secret(&text)(value, path)
			(*into)[key.Value] = text
		})
	}
}

// secret reads a string, {env: NAME} or {file: PATH}; the path is relative to
// the configuration's folder.
func (d *decoder) secret(into *string) field {
	return func(n *yaml.Node, at string) {
		if deref(n).Kind == yaml.MappingNode {
			*into = d.reference(n, at)
		} else {
			d.text(into)(n, at)
		}
	}
}

// given is secret of a value that means something only if it is not empty: who has
// written it has not left it out.
func (d *decoder) given(into *string) field {
	return func(n *yaml.Node, at string) {
		before := len(d.problems)
		d.secret(into)(n, at)
		if *into != "" || len(d.problems) > before {
			return
		}
		why := ""
		if what := d.empty[at]; what != "" {
			why = " (" + what + " is empty)"
		}
		d.errorf(n, at, "has no value%s", why)
	}
}

// reference reads {env: NAME} or {file: PATH}.
func (d *decoder) reference(n *yaml.Node, at string) string {
	var name, path string
	before := len(d.problems)
	d.object(n, at, d.referenceFields(&name, &path))
	// One report is enough: the value that is missing now is none of its own.
	defer func() { d.failed[at] = d.failed[at] || len(d.problems) > before }()
	switch {
	case len(d.problems) > before:
	case (name == "") == (path == ""):
		d.errorf(n, at, "want either env: NAME or file: PATH")
	case name != "":
		if value, ok := d.env(name); ok {
			if value == "" {
				d.empty[at] = "environment variable " + name
			}
			return value
		}
		d.errorf(d.at[at+".env"], at+".env", "environment variable %s is not set", name)
	default:
		data, err := d.read(path)
		if err != nil {
			d.errorf(d.at[at+".file"], at+".file", "%s %v", path, err)
		}
		value := strings.TrimRight(string(data), "\r\n")
		if value == "" {
			d.empty[at] = path
		}
		return value
	}
	return ""
}

func (d *decoder) referenceFields(name, path *string) fields {
	return fields{"env": d.text(name), "file": d.text(path)}
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} by the variable's value and $$ by $. A lone $ stays.
// What a variable holds is not expanded again.
func expand(s string, env func(string) (string, bool)) (text string, faults []string) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			b.WriteString(s)
			return b.String(), faults
		}
		b.WriteString(s[:i])
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			s = s[i+2:]
			continue
		case '{':
		default:
			b.WriteByte('$')
			s = s[i+1:]
			continue
		}
		name, rest, closed := strings.Cut(s[i+2:], "}")
		value, set := "", false
		switch {
		case !closed:
			return "", append(faults, "${ without } (write $${ for the characters themselves)")
		case !variable.MatchString(name):
			faults = append(faults, fmt.Sprintf("${%s}: no name of an environment variable (write $${ for the characters themselves)", name))
		default:
			if value, set = env(name); !set {
				faults = append(faults, fmt.Sprintf("environment variable %s is not set", name))
			}
		}
		b.WriteString(value)
		s = rest
	}
}
