package file

import (
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"

	"mcp-gateway/controlplane/gateway"
)

// rules reads what is offered, {allow: [...], deny: [...]}.
func (d *decoder) rules(r *gateway.Rules) field {
	return func(n *yaml.Node, at string) { d.object(n, at, d.rulesFields(r)) }
}

func (d *decoder) rulesFields(r *gateway.Rules) fields {
	return fields{"allow": d.presentTexts(&r.Allow), "deny": d.presentTexts(&r.Deny)}
}

// items reads rules with aliases.
func (d *decoder) items(i *gateway.Items) field {
	return func(n *yaml.Node, at string) { d.object(n, at, d.itemsFields(i)) }
}

func (d *decoder) itemsFields(i *gateway.Items) fields {
	f := d.rulesFields(&i.Rules)
	f["aliases"] = func(n *yaml.Node, at string) {
		i.Aliases = map[string]string{}
		d.members(n, at, func(key, value *yaml.Node, path string) {
			var own string
			d.text(&own)(value, path)
			i.Aliases[key.Value] = own
		})
	}
	return f
}

// virtualServer reads one of ours. Kuadrant's, which clients choose with a
// header, has lists where ours has rules.
func (d *decoder) virtualServer(v *gateway.VirtualServer) fields {
	part := func(r *gateway.Rules) field {
		return func(n *yaml.Node, at string) {
			if deref(n).Kind == yaml.SequenceNode {
				d.visit(n, at)
				d.errorf(n, at, "want allow: and deny: with lists; clients choose a virtual server by its path, not by the header X-Mcp-Virtualserver")
				return
			}
			d.rules(r)(n, at)
		}
	}
	return fields{
		"name":         d.text(&v.Name),
		"description":  d.text(&v.Description),
		"instructions": d.text(&v.Instructions),
		"servers":      d.presentTexts(&v.Servers),
		"tools":        part(&v.Tools),
		"prompts":      part(&v.Prompts),
		"resources":    part(&v.Resources),
	}
}

// presentTexts is texts that tells an empty list from none.
func (d *decoder) presentTexts(into *[]string) field {
	return func(n *yaml.Node, at string) {
		*into = []string{}
		d.texts(into)(n, at)
	}
}

var amount = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

// amount reads a number from 0 on.
func (d *decoder) amount(into *int) field {
	return func(n *yaml.Node, at string) {
		text, _, ok := d.scalar(n, at, "a number", "!!int", "!!str")
		if !ok {
			return
		}
		if !amount.MatchString(text) {
			d.errorf(n, at, "want a whole number, 0 or more")
			return
		}
		*into, _ = strconv.Atoi(text) // nine digits fit
	}
}
