package filter

import (
	"fmt"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// server is one MCP server, precomputed for routing.
type server struct {
	name      string
	nameBytes []byte
	authority []byte
	path      []byte
	prefix    string
	label     string
	listed    bool
	resources bool
	hint      uint16
}

// target is the owner of an exposed name.
type target struct {
	server *server
	// token is the name as the server knows it, as a JSON string token.
	token []byte
}

// table is an immutable routing table; a new one replaces it as a whole.
type table struct {
	version string
	tools   map[string]target
	prompts map[string]target
	labels  map[string]*server
	servers []*server
	byName  map[string]*server
	// unlisted servers answer for their prefix until their lists are known.
	unlisted []*server
	// sole is the only server of an unlabelled gateway.
	sole *server
}

func newTable(t *gatewayconfig.Table) (*table, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	out := &table{
		version: t.Version,
		tools:   make(map[string]target, len(t.Tools)),
		prompts: make(map[string]target, len(t.Prompts)),
		labels:  make(map[string]*server, len(t.Servers)),
		byName:  make(map[string]*server, len(t.Servers)),
	}
	servers := make([]*server, len(t.Servers))
	for i := range t.Servers {
		s := &t.Servers[i]
		if s.Name == "" || s.Authority == "" || s.Path == "" || s.Path[0] != '/' {
			return nil, fmt.Errorf("table: server %d (%q) lacks a name, an authority or a path", i, s.Name)
		}
		servers[i] = &server{
			name: s.Name, nameBytes: []byte(s.Name),
			authority: []byte(s.Authority), path: []byte(s.Path),
			prefix: s.Prefix, label: s.Label, listed: s.Listed, resources: s.Resources,
			hint: hintOf(s.Name),
		}
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
			dst[name] = target{server: servers[t.Server], token: jsonrpc.AppendQuote(nil, []byte(t.Name))}
		}
	}
	fill(out.tools, t.Tools)
	fill(out.prompts, t.Prompts)
	return out, nil
}

// owner finds who answers for an exposed name of a tools/call or prompts/get.
// For a server whose lists were never read the longest prefix decides; its
// token is then made in scratch.
func (t *table) owner(method string, name, scratch []byte) (target, []byte, bool) {
	names := t.tools
	if method == mcp.MethodPromptsGet {
		names = t.prompts
	}
	if found, ok := names[string(name)]; ok {
		return found, scratch, true
	}
	var best *server
	for _, s := range t.unlisted {
		if len(name) > len(s.prefix) && string(name[:len(s.prefix)]) == s.prefix &&
			(best == nil || len(s.prefix) > len(best.prefix)) {
			best = s
		}
	}
	if best == nil {
		return target{}, scratch, false
	}
	scratch = jsonrpc.AppendQuote(scratch[:0], name[len(best.prefix):])
	return target{server: best, token: scratch}, scratch, true
}
