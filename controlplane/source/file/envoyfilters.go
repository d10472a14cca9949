package file

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/httpfilter"
)

// envoyFilters reads a list of {name, typed_config}.
func (d *decoder) envoyFilters(into *[]gateway.EnvoyFilter, scope httpfilter.Scope) field {
	return func(n *yaml.Node, at string) {
		d.list(n, at, func(n *yaml.Node, at string) {
			var f gateway.EnvoyFilter
			d.object(n, at, d.envoyFilter(&f, scope))
			if d.at[at+".typed_config"] == nil && deref(n).Kind == yaml.MappingNode {
				d.errorf(n, at+".typed_config", "is missing")
			}
			*into = append(*into, f)
		})
	}
}

func (d *decoder) envoyFilter(f *gateway.EnvoyFilter, scope httpfilter.Scope) fields {
	return fields{
		"name":         d.text(&f.Name),
		"typed_config": func(n *yaml.Node, at string) { d.typedConfig(n, at, &f.Config, scope) },
	}
}

func (d *decoder) envoyClusters(into *[]gateway.EnvoyCluster) field {
	return func(n *yaml.Node, at string) {
		d.list(n, at, func(n *yaml.Node, at string) {
			c := gateway.DefaultEnvoyCluster()
			d.object(n, at, d.envoyCluster(&c))
			*into = append(*into, c)
		})
	}
}

func (d *decoder) envoyCluster(c *gateway.EnvoyCluster) fields {
	return fields{
		"name":           d.text(&c.Name),
		"url":            d.text(&c.URL),
		"connectTimeout": d.duration(&c.ConnectTimeout),
	}
}

// typedConfig reads what Envoy's documentation shows under typed_config. Its
// fields are Envoy's, so what is read here is only YAML, as JSON.
func (d *decoder) typedConfig(n *yaml.Node, at string, into *gateway.TypedConfig, scope httpfilter.Scope) {
	n = d.visit(n, at)
	if n.Kind != yaml.MappingNode {
		d.errorf(n, at, "want a mapping (key: value), have %s", kind(n))
		return
	}
	w := typedWriter{d: d, top: at}
	before := len(d.problems)
	w.object(n, at, 0)
	if HasErrors(d.problems[before:]) {
		return
	}
	if w.typeURL == "" {
		d.errorf(n, at, `"@type" is missing`)
		return
	}
	config, warnings, fault := scope.Decode(w.typeURL, w.out.Bytes())
	if fault != nil {
		n, path := n, at
		switch {
		case fault.Line > 0 && fault.Line <= len(w.lines):
			n, path = w.lines[fault.Line-1].node, w.lines[fault.Line-1].path
		case fault.Type:
			n, path = w.typeNode, at+`."@type"`
		}
		d.errorf(n, path, "%s", fault.Message)
		d.failed[at] = true
		return
	}
	for _, warning := range warnings {
		d.warnf(n, at, "%s", warning)
	}
	*into = config
}

// Bounds of one typed_config: deeper or longer ones are made with aliases.
const (
	maxTypedDepth = 32
	maxTypedSize  = 256 << 10
)

// typedWriter writes YAML as JSON, each member and element on a line of its own,
// so that a fault at a line of the JSON is one at a node of the file.
type typedWriter struct {
	d        *decoder
	top      string // the path of the whole
	out      bytes.Buffer
	lines    []typedLine
	typeURL  string // of the outermost object, which is not written
	typeNode *yaml.Node
}

type typedLine struct {
	node *yaml.Node
	path string
}

func (w *typedWriter) line(n *yaml.Node, at string) {
	if len(w.lines) > 0 {
		w.out.WriteByte('\n')
	}
	w.lines = append(w.lines, typedLine{n, at})
}

func (w *typedWriter) object(n *yaml.Node, at string, depth int) {
	if depth == 0 {
		w.line(n, at)
	}
	w.out.WriteByte('{')
	first := true
	w.d.members(n, at, func(key, value *yaml.Node, path string) {
		if depth == 0 && key.Value == "@type" {
			w.typeNode = value
			w.d.text(&w.typeURL)(value, path)
			return
		}
		if !first {
			w.out.WriteByte(',')
		}
		first = false
		w.line(value, path)
		w.text(key.Value)
		w.out.WriteByte(':')
		w.value(value, path, depth+1)
	})
	w.out.WriteByte('}')
}

func (w *typedWriter) value(n *yaml.Node, at string, depth int) {
	if depth > maxTypedDepth || w.out.Len() > maxTypedSize {
		if !w.d.failed[w.top] {
			w.d.errorf(n, w.top, "is deeper than %d levels or longer than %d bytes", maxTypedDepth, maxTypedSize)
		}
		w.out.WriteString("null")
		return
	}
	switch node := w.d.visit(n, at); node.Kind {
	case yaml.MappingNode:
		w.object(n, at, depth)
	case yaml.SequenceNode:
		w.out.WriteByte('[')
		for i, item := range node.Content {
			if i > 0 {
				w.out.WriteByte(',')
			}
			path := fmt.Sprintf("%s[%d]", at, i)
			w.line(item, path)
			w.value(item, path, depth+1)
		}
		w.out.WriteByte(']')
	default:
		w.scalar(n, at)
	}
}

func (w *typedWriter) scalar(n *yaml.Node, at string) {
	switch node := deref(n); node.ShortTag() {
	case "!!null":
		w.out.WriteString("null")
	case "!!bool":
		var b bool
		if err := node.Decode(&b); err != nil {
			w.d.errorf(n, at, "want true or false")
		}
		w.out.WriteString(strconv.FormatBool(b))
	case "!!int":
		i, err := strconv.ParseInt(strings.ReplaceAll(node.Value, "_", ""), 0, 64)
		if err != nil {
			w.d.errorf(n, at, "is no whole number of 64 bits")
		}
		w.out.WriteString(strconv.FormatInt(i, 10))
	case "!!float":
		var f float64
		err := node.Decode(&f)
		text, _ := json.Marshal(f)
		if err != nil || text == nil {
			w.d.errorf(n, at, "is no number")
			text = []byte("0")
		}
		w.out.Write(text)
	default:
		var text string
		w.d.text(&text)(n, at)
		w.text(text)
	}
}

func (w *typedWriter) text(s string) {
	text, _ := json.Marshal(s) // of a string: no error
	w.out.Write(text)
}
