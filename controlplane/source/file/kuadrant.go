package file

import (
	"go.yaml.in/yaml/v3"

	"mcp-gateway/controlplane/gateway"
)

// The keys below are those of Kuadrant's standalone file that are not ours.
// One that has a meaning here is translated, one that only informs is a
// warning, and one whose loss would change who may do what is an error.

// kuadrantServer reads Kuadrant's further keys of a server. The value of state
// is for reconcile.
func (d *decoder) kuadrantServer(state *string) fields {
	return fields{
		"hostname": func(n *yaml.Node, at string) {
			var name string
			d.text(&name)(n, at)
			if name != "" && !d.failed[at] {
				d.warnf(n, at, "has no effect: calls are routed by the server's name. To send another Host header, write host:")
			}
		},
		"state": func(n *yaml.Node, at string) {
			d.text(state)(n, at)
			if *state != "Enabled" && *state != "Disabled" && *state != "" {
				d.errorf(n, at, "want Enabled or Disabled")
			}
		},
		"category":            d.ignored("there is no tool search"),
		"hint":                d.ignored("there is no tool search"),
		"tags":                d.ignored("there is no tool search"),
		"auth":                d.ignored("write credential: or headers:"),
		"guardrailsConfigIDs": d.unsupported("guardrails"),
		"tokenURLElicitation": d.unsupported("asking users for a token by URL elicitation"),
		"userSpecificList":    d.unsupported("lists that differ by user"),
	}
}

// reconcile settles enabled, our key, with state, Kuadrant's, once both were
// read in whatever order.
func (d *decoder) reconcile(s *gateway.Server, state, at string) {
	enabled := state == "Enabled"
	switch {
	case state == "" || d.failed[at+".enabled"] || d.failed[at+".state"]:
	case d.at[at+".enabled"] == nil:
		s.Enabled = enabled
	case s.Enabled != enabled:
		d.errorf(d.at[at+".state"], at+".state", "contradicts enabled: keep one of the two")
	}
}

// unlessBlank leaves a key alone whose value asks for nothing, as Kuadrant's files may
// have it.
func (d *decoder) unlessBlank(read field) field {
	return func(n *yaml.Node, at string) {
		if isBlank(n) {
			d.visit(n, at)
			return
		}
		read(n, at)
	}
}

// ignored warns of a key without effect, whatever its value, unless it says
// nothing.
func (d *decoder) ignored(why string) field {
	return func(n *yaml.Node, at string) {
		if d.visit(n, at); !isBlank(n) {
			d.warnf(n, at, "has no effect: %s", why)
		}
	}
}

// unsupported refuses a key unless its value asks for nothing.
func (d *decoder) unsupported(what string) field {
	return func(n *yaml.Node, at string) {
		if d.visit(n, at); !isBlank(n) {
			d.errorf(n, at, "not supported: %s", what)
		}
	}
}

// isBlank reports whether n is null, false, "" or []. A mapping is not: in
// Kuadrant's file an empty one can switch a feature on.
func isBlank(n *yaml.Node) bool {
	n = deref(n)
	if n.Kind == yaml.SequenceNode {
		return len(n.Content) == 0
	}
	return n.Kind == yaml.ScalarNode && (n.Value == "" || isNull(n) || n.ShortTag() == "!!bool" && n.Value == "false")
}
