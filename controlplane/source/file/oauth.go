package file

import (
	"go.yaml.in/yaml/v3"

	"mcp-gateway/internal/gatewayconfig"
)

// oauth reads how tokens for a server are had.
func (d *decoder) oauth(into **gatewayconfig.OAuth) field {
	return func(n *yaml.Node, at string) {
		o := &gatewayconfig.OAuth{}
		d.object(n, at, fields{
			"tokenUrl":     d.text(&o.TokenURL),
			"clientId":     d.secret(&o.ClientID),
			"clientSecret": d.secret(&o.ClientSecret),
			"clientAuth":   d.text((*string)(&o.ClientAuth)),
			"scopes":       d.texts(&o.Scopes),
			"audience":     d.text(&o.Audience),
			"resource":     d.text(&o.Resource),
		})
		*into = o
	}
}
