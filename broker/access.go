package broker

import (
	"net/http"
	"sync"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/policy"
	"mcp-gateway/internal/principal"
)

// Who may use what. The filter decides calls before it sends them anywhere; the
// broker decides what lists show, by the same rules, and again whatever call comes
// its way.

// compile makes the rules of a configuration, with what is compiled already.
func (b *Broker) compile(config gatewayconfig.Broker) (*policy.Policy, error) {
	if config.Authorization == nil {
		return nil, nil
	}
	return policy.Compile(*config.Authorization, b.policy)
}

// kindOf is what the rules call the items of a list.
func kindOf(k catalog.Kind) policy.Kind {
	switch k {
	case catalog.Tools:
		return policy.Tool
	case catalog.Prompts:
		return policy.Prompt
	}
	return policy.Resource
}

// groupOf returns whom the rules take the client for; nil if there are none.
func (v *view) groupOf(who *principal.Principal) *policy.Group {
	if v.policy == nil {
		return nil
	}
	return v.policy.Group(who)
}

// itemOf returns an item as the rules see it, by its exposed name or URI and by
// what its server calls it.
func itemOf(endpoint string, k catalog.Kind, l catalog.Listed) *policy.Item {
	it := &policy.Item{Kind: kindOf(k), Endpoint: []byte(endpoint), Server: l.Server, Hints: l.Hints}
	if it.Kind == policy.Resource {
		it.URI, it.Own = []byte(l.Name), []byte(l.Own)
	} else {
		it.Name = []byte(l.Name)
	}
	return it
}

// shows reports whether an item is in the lists of a group.
func shows(g *policy.Group, endpoint string, k catalog.Kind, l catalog.Listed) bool {
	return g == nil || g.Static(itemOf(endpoint, k, l)).Outcome != policy.Denied
}

// reaches reports whether there can be anything of a server for a group.
func reaches(g *policy.Group, endpoint, server string, of ...policy.Kind) bool {
	return g == nil || g.Reaches(server, []byte(endpoint), of...)
}

// reachesAny is reaches for all kinds.
func reachesAny(g *policy.Group, endpoint, server string) bool {
	return reaches(g, endpoint, server, policy.Tool, policy.Prompt, policy.Resource)
}

// may decides a call. Completion has no arguments of the item's own: it is for
// whom the item is listed. False if the call is denied, and then answered is true if
// that has been told: of what is hidden nothing is, as it is unknown.
func (c *call) may(k catalog.Kind, l catalog.Listed) (ok, answered bool) {
	g := c.view.groupOf(c.who)
	if g == nil {
		return true, false
	}
	it := itemOf(c.endpoint, k, l)
	var d policy.Decision
	if c.method == mcp.MethodComplete {
		d = g.Static(it)
	} else {
		d = g.Decide(it, c.msg.Arguments.Of(c.body))
	}
	if d.Outcome == policy.Lacking {
		// The filter tells which, and how to get them.
		c.fail(http.StatusForbidden, mcp.CodeInvalidRequest, "insufficient scope")
		return false, true
	}
	return d.Outcome != policy.Denied, false
}

// mayFollow reports whether a client may be told of a resource, by its URI and by
// what its server calls it.
func mayFollow(g *policy.Group, endpoint, server, uri, own string) bool {
	return g == nil || g.Decide(itemOf(endpoint, catalog.Resources, catalog.Listed{Server: server, Name: uri, Own: own}), nil).Outcome == policy.Allowed
}

// mostParts bounds what is kept of lists and greetings for groups.
const mostParts = 512

// parts are what groups of clients are shown, for as long as the catalog and the
// rules stay the same. Emptied when it is full.
type parts struct {
	mu    sync.Mutex
	lists map[partKey]*catalog.Part
}

type partKey struct {
	group     *policy.Group
	endpoint  string
	kind      catalog.Kind
	stateless bool
}

// part returns what the client is shown of a list.
func (c *call) part(g *policy.Group, kind catalog.Kind) *catalog.Part {
	key := partKey{g, c.endpoint, kind, c.modern != nil}
	p := c.view.parts
	p.mu.Lock()
	made := p.lists[key]
	p.mu.Unlock()
	if made != nil {
		return made
	}
	made = c.shown.Part(kind, key.stateless, func(l catalog.Listed) bool { return shows(g, c.endpoint, kind, l) })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lists == nil || len(p.lists) >= mostParts {
		p.lists = map[partKey]*catalog.Part{}
	}
	p.lists[key] = made
	return made
}

// greeting returns the client's endpoint without what servers say of themselves of
// which nothing is for the client.
func (c *call) greeting() endpoint {
	e := c.view.endpoints[c.endpoint]
	g := c.view.groupOf(c.who)
	if g == nil {
		return e
	}
	part, all := e.config, true
	part.Servers = nil
	var seen []*upstream.Snapshot
	for i, s := range e.servers {
		if name := e.config.Servers[i].Name; !reachesAny(g, c.endpoint, name) {
			all = false
			continue
		}
		part.Servers, seen = append(part.Servers, e.config.Servers[i]), append(seen, s)
	}
	if !all {
		e.hello, e.discovered = encodeHello(part, e.offers, seen), encodeDiscovered(part, e.offers, seen)
	}
	return e
}
