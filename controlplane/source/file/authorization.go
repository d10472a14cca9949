package file

import (
	"go.yaml.in/yaml/v3"

	"mcp-gateway/internal/gatewayconfig"
)

// authorization reads who may use what.
func (d *decoder) authorization(a *gatewayconfig.Authorization) fields {
	return fields{
		"default": d.text((*string)(&a.Default)),
		"rules": func(n *yaml.Node, at string) {
			d.list(n, at, func(n *yaml.Node, at string) {
				r := gatewayconfig.AccessRule{Effect: gatewayconfig.Allow}
				d.object(n, at, d.accessRule(&r))
				a.Rules = append(a.Rules, r)
			})
		},
	}
}

func (d *decoder) accessRule(r *gatewayconfig.AccessRule) fields {
	return fields{
		"name":      d.text(&r.Name),
		"effect":    d.text((*string)(&r.Effect)),
		"servers":   d.presentTexts(&r.Servers),
		"tools":     d.presentTexts(&r.Tools),
		"prompts":   d.presentTexts(&r.Prompts),
		"resources": d.presentTexts(&r.Resources),
		"when":      d.verbatim(&r.When),
		"scopes":    d.presentTexts(&r.Scopes),
	}
}

// verbatim reads a text in which a variable of the environment has no place: what
// is in one is not to become code.
func (d *decoder) verbatim(into *string) field {
	return func(n *yaml.Node, at string) {
		n = d.visit(n, at)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
			d.errorf(n, at, "want an expression in quotes, have %s", kind(n))
			return
		}
		*into = n.Value
	}
}
