package file

import (
	"go.yaml.in/yaml/v3"

	"mcp-gateway/controlplane/gateway"
)

// auth reads who may use the endpoint.
func (d *decoder) auth(into **gateway.Auth) field {
	return func(n *yaml.Node, at string) {
		*into = &gateway.Auth{}
		d.object(n, at, d.authFields(*into))
	}
}

func (d *decoder) authFields(a *gateway.Auth) fields {
	return fields{
		"resource": d.text(&a.Resource),
		"issuers": func(n *yaml.Node, at string) {
			d.list(n, at, func(n *yaml.Node, at string) {
				var i gateway.Issuer
				d.object(n, at, d.issuer(&i))
				// One report is enough: keys that cannot be read are not missing.
				d.failed[at+".jwks"] = d.failed[at+".jwks"] || d.failed[at+".jwks.file"] || d.failed[at+".jwks.url"]
				a.Issuers = append(a.Issuers, i)
			})
		},
		"scopes":          d.texts(&a.Scopes),
		"scopesSupported": d.presentTexts(&a.ScopesSupported),
		"keysRefresh":     d.duration(&a.KeysRefresh),
		"apiKeys":         func(n *yaml.Node, at string) { d.object(n, at, d.apiKeys(&a.APIKeys)) },
	}
}

func (d *decoder) issuer(i *gateway.Issuer) fields {
	return fields{
		"issuer":    d.text(&i.Issuer),
		"audiences": d.texts(&i.Audiences),
		"jwks":      func(n *yaml.Node, at string) { d.object(n, at, d.jwks(&i.JWKS)) },
	}
}

func (d *decoder) jwks(j *gateway.JWKS) fields {
	return fields{"url": d.text(&j.URL), "file": d.content(&j.Text)}
}

func (d *decoder) apiKeys(k *gateway.APIKeys) fields {
	return fields{
		"header": d.text(&k.Header),
		"clients": func(n *yaml.Node, at string) {
			d.list(n, at, func(n *yaml.Node, at string) {
				var c gateway.KeyClient
				d.object(n, at, d.keyClient(&c))
				k.Clients = append(k.Clients, c)
			})
		},
	}
}

func (d *decoder) keyClient(c *gateway.KeyClient) fields {
	return fields{"name": d.text(&c.Name), "key": d.secret(&c.Key)}
}

// content reads the path of a file, relative to the configuration's folder, and
// gives what is in it.
func (d *decoder) content(into *string) field {
	return func(n *yaml.Node, at string) {
		path, _, ok := d.scalar(n, at, "a string", "!!str")
		if !ok {
			return
		}
		data, err := d.read(path)
		switch {
		case err != nil:
			d.errorf(n, at, "%s %v", path, err)
		case len(data) == 0:
			d.errorf(n, at, "%s is empty", path)
		}
		*into = string(data)
	}
}
