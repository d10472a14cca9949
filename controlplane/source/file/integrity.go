package file

import (
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/pin"
)

// integrity reads what is made of definitions that change or look wrong.
func (d *decoder) integrity(i *gateway.Integrity) fields {
	return fields{
		"pins": func(n *yaml.Node, at string) { d.object(n, at, d.pins(&i.Pins)) },
		"scan": d.text((*string)(&i.Scan)),
		"scanAllow": func(n *yaml.Node, at string) {
			i.ScanAllow = map[string][]string{}
			d.members(n, at, func(key, value *yaml.Node, path string) {
				var checks []string
				d.texts(&checks)(value, path)
				i.ScanAllow[key.Value] = checks
			})
		},
	}
}

func (d *decoder) pins(p *gateway.Pins) fields {
	return fields{
		"onChange": d.text((*string)(&p.OnChange)),
		"onNew":    d.text((*string)(&p.OnNew)),
		"file":     d.lockFile(p),
		"state":    d.text(&p.State),
	}
}

// lockFile reads the path of a lock file, relative to the configuration's folder,
// and what is in it.
func (d *decoder) lockFile(p *gateway.Pins) field {
	return func(n *yaml.Node, at string) {
		d.text(&p.File)(n, at)
		switch {
		case p.File == "" || strings.ContainsRune(p.File, 0):
			if !d.failed[at] {
				d.errorf(n, at, "want the path of a lock file")
			}
		case d.withoutLock:
			text, err := pin.Lock{}.Text()
			if err != nil {
				d.errorf(n, at, "%v", err)
			}
			p.Lock = string(text)
		default:
			text, err := d.readLock(p.File)
			if err != nil {
				d.errorf(n, at, "%s %v: mcp-gateway pin makes one", p.File, err)
			}
			p.Lock = string(text)
		}
		if p.File != "" && !filepath.IsAbs(p.File) {
			p.File = filepath.Join(filepath.Dir(d.file), p.File)
		}
	}
}
