package filter

import (
	"fmt"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/policy"
	"mcp-gateway/internal/resourceuri"
	"mcp-gateway/internal/toolname"
)

// server is one MCP server, precomputed for routing.
type server struct {
	name      string
	nameBytes []byte
	cluster   []byte // of Envoy
	place     string // cluster, by which is kept what is for this address alone
	authority []byte
	path      []byte
	prefix    string
	label     string
	listed    bool
	resources bool
	// modern: it speaks a stateless revision; modernOnly: and no other.
	modern, modernOnly bool
	hint               uint16
	// onConflict: without lists a name without the prefix may be this server's.
	onConflict bool
	bridged    bool // the broker serves it
	rules      serverRules
	sends      sends
}

// serverRules are what a server offers, by its own names and URIs; nil admits
// all.
type serverRules struct{ tools, prompts, resources *glob.Rules }

func (r *serverRules) names(method string) *glob.Rules {
	if method == mcp.MethodPromptsGet {
		return r.prompts
	}
	return r.tools
}

// offersAll reports whether every name that a client may send is one that the
// server knows as it is.
func (s *server) offersAll() bool { return s.prefix == "" && s.rules == serverRules{} }

// target is the owner of an exposed name.
type target struct {
	server *server
	// token is the name as the server knows it, as a JSON string token.
	token []byte
	hints gatewayconfig.Hints
}

// table is an immutable routing table; a new one replaces it as a whole.
type table struct {
	version string
	tools   map[string]target
	prompts map[string]target
	labels  map[string]*server
	// nameLimit is that of exposed names.
	nameLimit int
	views     map[string]*view
	servers   []*server
	byName    map[string]*server
	// unlisted servers answer for their prefix until their lists are known.
	unlisted []*server
	// forwards are the headers of clients that some server gets; tokens tells that
	// some server is sent one.
	forwards map[string]bool
	tokens   bool
	// sole is the only server of an unlabelled gateway.
	sole *server
	// taskKey seals ids of tasks.
	taskKey []byte
	// access has the rules about who may use what; nil for none.
	access *policy.Cache
}

// newTable prepares a table; before is the one that it replaces, or nil.
func newTable(t *gatewayconfig.Table, before *table) (*table, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	access, err := newAccess(t, before)
	if err != nil {
		return nil, err
	}
	out := &table{
		version: t.Version,
		tools:   make(map[string]target, len(t.Tools)),
		prompts: make(map[string]target, len(t.Prompts)),
		labels:  make(map[string]*server, len(t.Servers)),
		byName:  make(map[string]*server, len(t.Servers)),

		nameLimit: t.NameLimit,
		forwards:  map[string]bool{},
		access:    access,
		taskKey:   t.TaskKey,
	}
	servers := make([]*server, len(t.Servers))
	for i := range t.Servers {
		s := &t.Servers[i]
		if s.Name == "" || s.Cluster == "" || s.Authority == "" || s.Path == "" || s.Path[0] != '/' {
			return nil, fmt.Errorf("table: server %d (%q) lacks a name, a cluster, an authority or a path", i, s.Name)
		}
		servers[i] = &server{
			name: s.Name, nameBytes: []byte(s.Name), cluster: []byte(s.Cluster), place: s.Cluster,
			authority: []byte(s.Authority), path: []byte(s.Path),
			prefix: s.Prefix, label: s.Label, listed: s.Listed, resources: s.Resources,
			onConflict: s.OnConflict, hint: hintOf(s.Name),
			bridged: s.Authority == gatewayconfig.BridgeAuthority && strings.HasPrefix(s.Path, gatewayconfig.PathBridge),
			modern:  s.Modern || s.ModernOnly, modernOnly: s.ModernOnly,
			sends: newSends(s.Sends),
		}
		if r := s.Rules; r != nil {
			servers[i].rules = serverRules{compile(r.Tools), compile(r.Prompts), compile(r.Resources)}
		}
		for _, name := range servers[i].sends.forward {
			out.forwards[name] = true
		}
		out.tokens = out.tokens || servers[i].sends.token != ""
		out.byName[s.Name] = servers[i]
		if s.Label != "" {
			out.labels[s.Label] = servers[i]
		}
		if !s.Listed {
			out.unlisted = append(out.unlisted, servers[i])
		}
	}
	out.servers = servers
	if len(servers) == 1 && servers[0].label == "" {
		out.sole = servers[0]
	}
	fill := func(dst map[string]target, src map[string]gatewayconfig.Target) {
		for name, t := range src {
			dst[name] = target{server: servers[t.Server], token: jsonrpc.AppendQuote(nil, []byte(t.Name)), hints: t.Hints}
		}
	}
	fill(out.tools, t.Tools)
	fill(out.prompts, t.Prompts)
	out.views = newViews(t.Views, servers)
	return out, nil
}

// owner finds who answers for an exposed name of a tools/call or prompts/get at
// the endpoint of v. For a server whose lists were never read the longest prefix
// decides, as far as the server's rules admit the rest; its token is then made
// in scratch.
func (t *table) owner(method string, name, scratch []byte, v *view) (target, []byte, bool) {
	names := t.tools
	if method == mcp.MethodPromptsGet {
		names = t.prompts
	}
	if found, ok := names[string(name)]; ok {
		return found, scratch, v.shows(found.server) && v.names(method).Admits(name)
	}
	best := t.guess(name)
	// No list would show a name that is changed when it is exposed.
	if best == nil || !toolname.Fits(name, t.nameLimit) {
		return target{}, scratch, false
	}
	own, bare := cutPrefix(name, best.prefix)
	if !best.rules.names(method).Admits(own) || !v.shows(best) || !v.names(method).Admits(name) {
		return target{}, scratch, false
	}
	if best.onConflict {
		// What its lists will show is either of two: a view that hides one of
		// them hides the item.
		other := own
		if bare {
			scratch = append(append(scratch[:0], best.prefix...), own...)
			other = scratch
		}
		if !v.names(method).Admits(other) {
			return target{}, scratch, false
		}
	}
	scratch = jsonrpc.AppendQuote(scratch[:0], own)
	return target{server: best, token: scratch}, scratch, true
}

// guess returns the server that a name belongs to by its prefix, of those whose
// lists were never read.
func (t *table) guess(name []byte) *server {
	var best *server
	length := -1
	for _, s := range t.unlisted {
		own, bare := cutPrefix(name, s.prefix)
		if len(own) == 0 || bare && !s.onConflict {
			continue
		}
		if n := len(name) - len(own); n > length {
			best, length = s, n
		}
	}
	return best
}

// cutPrefix returns the name without the prefix; bare tells that it has none.
func cutPrefix(name []byte, prefix string) (own []byte, bare bool) {
	if len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix {
		return name[len(prefix):], false
	}
	return name, true
}

// resource finds whose URI, or URI template, it is at the endpoint of v. own is
// the URI as the server knows it.
func (t *table) resource(uri string, v *view) (srv *server, own string, ok bool) {
	srv, own, ok = t.labelled(uri, v)
	if !ok {
		return nil, "", false
	}
	if srv.rules.resources == nil && (v == nil || v.resources == nil) {
		return srv, own, true
	}
	raw := []byte(own)
	if !srv.rules.resources.AdmitsURI(raw, raw) ||
		v != nil && !v.resources.AdmitsURI([]byte(resourceuri.Join(srv.label, own)), raw) {
		return nil, "", false
	}
	return srv, own, true
}

// labelled finds whose label what has, a URI or the id of a task, at the
// endpoint of v. own is what the server knows it by.
func (t *table) labelled(what string, v *view) (srv *server, own string, ok bool) {
	srv, own = t.sole, what
	if srv == nil {
		var label string
		if label, own, ok = resourceuri.Split(what); !ok {
			return nil, "", false
		}
		srv = t.labels[label]
	}
	return srv, own, srv != nil && v.shows(srv)
}
