package file

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/httpfilter"
	"mcp-gateway/internal/gatewayconfig"
)

// decode turns YAML into a valid gateway. read opens a file that a header
// refers to.
func decode(file string, data []byte, env func(string) (string, bool), read func(string) ([]byte, error), options ...Option) (*gateway.Gateway, []Problem) {
	d := &decoder{file: file, env: env, read: read, at: map[string]*yaml.Node{}, failed: map[string]bool{}, empty: map[string]string{}, readLock: read}
	for _, o := range options {
		o(d)
	}
	g := gateway.Default()
	if root := d.parse(data); root != nil {
		d.object(root, "", d.document(&g))
		if d.listen != "" {
			d.declared(g.Listen)
			g.Listen = d.listen
		}
		if _, ok := d.at["servers"]; !ok && root.Kind == yaml.MappingNode {
			d.errorf(root, "servers", "is missing (write servers: [] for none)")
		}
		for _, p := range g.Validate() {
			d.adopt(p)
		}
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if HasErrors(d.problems) {
		return nil, d.problems
	}
	return &g, d.problems
}

// decoder walks the nodes of one file and collects problems.
type decoder struct {
	file     string
	env      func(string) (string, bool)
	read     func(string) ([]byte, error)
	problems []Problem
	// readLock opens a lock file; withoutLock leaves it unread.
	readLock    func(string) ([]byte, error)
	withoutLock bool
	// listen is in the place of gateway.listen, which declared is told of; see
	// WithListen.
	listen   string
	declared func(string)
	// at has the node of every path that was decoded, so that a fault found
	// later in the model has a line; failed has the paths already reported.
	at     map[string]*yaml.Node
	failed map[string]bool
	// empty says of paths whose variable or file is there and empty which that is.
	empty map[string]string
}

// explains has what is wrong with the value at by explain what is missing at of,
// which needs it: one report is enough.
func (d *decoder) explains(by, of string) {
	d.failed[of] = d.failed[of] || d.failed[by]
	if d.empty[of] == "" {
		d.empty[of] = d.empty[by]
	}
}

// adopt adds a problem of the model, at the node that it speaks of or the
// nearest one around it.
func (d *decoder) adopt(p gateway.Problem) {
	if d.listen != "" {
		p.Path = strings.Replace(p.Path, "gateway.listen", "--listen", 1)
		p.Message = strings.Replace(p.Message, "gateway.listen", "--listen", 1)
	}
	if d.failed[p.Path] {
		return
	}
	at := p.Path
	for d.at[at] == nil && at != "" {
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
	if at != p.Path && d.failed[at] {
		return // a broken parent explains what is missing in it
	}
	if what := d.empty[p.Path]; what != "" {
		p.Message += " (" + what + " is empty)"
	}
	d.report(d.at[at], Problem{Path: p.Path, Message: p.Message, Warning: p.Warning})
}

func (d *decoder) report(n *yaml.Node, p Problem) {
	if !strings.HasPrefix(p.Path, "--") {
		p.File = d.file
		if n != nil {
			p.Line, p.Column = n.Line, n.Column
		}
	}
	if !p.Warning {
		d.failed[p.Path] = true
	}
	d.problems = append(d.problems, p)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// parse returns the root of the only document in data, or nil with the problem
// reported.
func (d *decoder) parse(data []byte) *yaml.Node {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && isNull(doc.Content[0]) {
		d.report(nil, Problem{Line: 1, Column: 1, Message: "the file is empty"})
		return nil
	}
	if err == nil {
		err = dec.Decode(&more)
		if err == nil {
			d.report(&more, Problem{Message: "the file holds more than one document: keep one"})
			return nil
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		p := Problem{Message: "no valid YAML: " + yamlLine.ReplaceAllString(err.Error(), "")}
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil && m[1] != "" {
			p.Line, _ = strconv.Atoi(m[1])
			p.Column = 1
		}
		d.report(nil, p)
		return nil
	}
	return doc.Content[0]
}

// unwrapPath drops the path from an error of package os.
func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// document is the file's top.
func (d *decoder) document(g *gateway.Gateway) fields {
	return fields{
		"gateway": func(n *yaml.Node, at string) { d.object(n, at, d.gateway(g)) },
		"servers": func(n *yaml.Node, at string) {
			d.list(n, at, func(n *yaml.Node, at string) {
				s, state := gateway.DefaultServer(), ""
				d.object(n, at, d.server(&s, &state))
				d.reconcile(&s, state, at)
				if d.at[at+".listTimeout"] == nil && len(s.Command) > 0 {
					s.ListTimeout = gateway.CommandListTimeout
				}
				// One report is enough: a faulty command is no missing url.
				d.failed[at+".url"] = d.failed[at+".url"] || d.failed[at+".command"]
				g.Servers = append(g.Servers, s)
			})
		},
		"sessions": func(n *yaml.Node, at string) { d.object(n, at, d.sessions(&g.Sessions)) },
		"auth":     d.auth(&g.Auth),
		"limits":   func(n *yaml.Node, at string) { d.object(n, at, d.limits(&g.Limits)) },

		"integrity": func(n *yaml.Node, at string) { d.object(n, at, d.integrity(&g.Integrity)) },

		"authorization": func(n *yaml.Node, at string) {
			g.Authorization = &gatewayconfig.Authorization{Default: gatewayconfig.Deny}
			d.object(n, at, d.authorization(g.Authorization))
		},
		"virtualServers": func(n *yaml.Node, at string) {
			if d.visit(n, at); isBlank(n) {
				return
			}
			d.list(n, at, func(n *yaml.Node, at string) {
				var v gateway.VirtualServer
				d.object(n, at, d.virtualServer(&v))
				g.VirtualServers = append(g.VirtualServers, v)
			})
		},

		"envoyFilters":  d.envoyFilters(&g.EnvoyFilters, httpfilter.Filter),
		"envoyClusters": d.envoyClusters(&g.EnvoyClusters),

		"gatewayCACertPEM": d.unsupported("additional certificate authorities: give servers a caCert, or name a file with --trusted-ca"),
	}
}

func (d *decoder) gateway(g *gateway.Gateway) fields {
	return fields{
		"listen":         d.text(&g.Listen),
		"path":           d.text(&g.Path),
		"ssePath":        d.text(&g.SSEPath),
		"internalUrl":    d.text(&g.InternalURL),
		"hostnames":      d.texts(&g.Hostnames),
		"allowedOrigins": d.texts(&g.AllowedOrigins),
		"proxies":        d.amount(&g.Proxies),
		"name":           d.text(&g.Name),
		"description":    d.text(&g.Description),
		"instructions":   d.text(&g.Instructions),
		"nameLength":     d.amount(&g.NameLength),
		"pageSize":       d.amount(&g.PageSize),
		"partial":        d.text((*string)(&g.Partial)),
		"sessionless":    d.text(&g.Sessionless),
		"accessLog":      d.text(&g.AccessLog),
		"serverStats":    d.boolean(&g.ServerStats),
	}
}

func (d *decoder) sessions(s *gateway.Sessions) fields {
	return fields{
		"store": d.text(&s.Store),
		"redis": func(n *yaml.Node, at string) {
			d.object(n, at, d.redis(&s.Redis))
			d.explains(at+".password", at+".username")
			d.explains(at+".sentinelPassword", at+".sentinelUsername")
			d.explains(at+".tls.key", at+".tls.certificate")
		},
		"idleTimeout": d.duration(&s.IdleTimeout),
		"lifetime":    d.duration(&s.Lifetime),
		"keys": func(n *yaml.Node, at string) {
			d.list(n, at, func(n *yaml.Node, at string) {
				var key string
				d.secret(&key)(n, at)
				s.Keys = append(s.Keys, key)
			})
		},
	}
}

func (d *decoder) redis(r *gatewayconfig.Redis) fields {
	return fields{
		"username":         d.secret(&r.Username),
		"password":         d.given(&r.Password),
		"sentinelUsername": d.secret(&r.SentinelUsername),
		"sentinelPassword": d.given(&r.SentinelPassword),
		"tls":              func(n *yaml.Node, at string) { d.object(n, at, d.redisTLS(&r.TLS)) },
	}
}

func (d *decoder) redisTLS(t *gatewayconfig.RedisTLS) fields {
	return fields{
		"ca":          d.secret(&t.CA),
		"certificate": d.secret(&t.Certificate),
		"key":         d.secret(&t.Key),
		"serverName":  d.text(&t.ServerName),
		"skipVerify":  d.boolean(&t.SkipVerify),
	}
}

func (d *decoder) server(s *gateway.Server, state *string) fields {
	f := fields{
		"name":           d.text(&s.Name),
		"url":            d.text(&s.URL),
		"host":           d.text(&s.Host),
		"caCert":         d.unlessBlank(d.secret(&s.CACert)),
		"prefix":         d.text(&s.Prefix),
		"prefixPolicy":   d.text((*string)(&s.PrefixPolicy)),
		"tools":          d.items(&s.Tools),
		"prompts":        d.items(&s.Prompts),
		"resources":      d.rules(&s.Resources),
		"era":            d.text((*string)(&s.Era)),
		"partial":        d.text((*string)(&s.Partial)),
		"enabled":        d.boolean(&s.Enabled),
		"timeout":        d.duration(&s.Timeout),
		"idleTimeout":    d.duration(&s.IdleTimeout),
		"connectTimeout": d.duration(&s.ConnectTimeout),
		"listTimeout":    d.duration(&s.ListTimeout),
		"headers":        d.headers(&s.Headers),
		"forwardHeaders": d.texts(&s.ForwardHeaders),
		"credential":     d.given(&s.Credential),
		"oauth":          d.oauth(&s.OAuth),
		"exchange":       d.oauth(&s.Exchange),
		"transport":      d.text(&s.Transport),
		"command":        d.texts(&s.Command),
		"env":            d.headers(&s.Env),
		"dir":            d.text(&s.Dir),
		"process":        d.text(&s.Process),
		"maxProcesses":   d.count(&s.MaxProcesses),
		"envoyFilters":   d.envoyFilters(&s.EnvoyFilters, httpfilter.Route),
	}
	for key, read := range d.kuadrantServer(state) {
		f[key] = read
	}
	return f
}
