package filter

import (
	"fmt"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/policy"
	"mcp-gateway/internal/resourceuri"
)

// Who may use what. A call is decided where its owner is found, with each table
// that it is looked up in, before anybody else hears of it. What is denied is
// unknown: the answer is the same, and so is the way to it.

// access is what a stream has been told by the rules.
type access struct {
	// decided is false where there are no rules, or nothing to decide.
	decided  bool
	decision policy.Decision
	item     policy.Item
	// arguments are those of the body while that is at hand, and of a copy later.
	arguments []byte
	kept      []byte
	other     []byte
}

// newAccess compiles the rules of a table; nil for none. Those of the table before
// are taken over where they are the same.
func newAccess(t *gatewayconfig.Table, before *table) (*policy.Cache, error) {
	if t.Authorization == nil {
		return nil, nil
	}
	var old *policy.Policy
	if before != nil {
		old = before.access.Policy()
	}
	p, err := policy.Compile(*t.Authorization, old)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	return policy.NewCache(p), nil
}

// permitted decides about what was found in t. False if it is hidden, or if scopes
// are missing; s.access says which.
func (s *Stream) permitted(t *table) bool {
	a := &s.access
	if a.decided = t.access != nil; !a.decided {
		return true
	}
	g, srv := t.access.Policy().Group(s.principal), s.target.server
	a.item = policy.Item{Endpoint: s.endpoint, Server: srv.name, Hints: s.target.hints}
	switch s.want {
	case wantServer:
		// A client can make up marks of its own session, for any server.
		a.decision = t.access.Reaches(g, srv.name, s.endpoint)
		return a.decision.Outcome.Permits()
	case wantTask:
		if s.tool == "" {
			// Which tool it is of is not known: it is for whom the server has any.
			a.decision = t.access.ReachesTools(g, srv.name, s.endpoint)
			return a.decision.Outcome.Permits()
		}
		a.item.Kind, a.item.Name = policy.Tool, []byte(s.tool)
		a.decision = g.Later(&a.item)
		return a.decision.Outcome.Permits()
	case wantResource:
		a.item.Kind, a.item.URI, a.item.Own = policy.Resource, s.name, s.own
	case wantPrompt:
		a.item.Kind, a.item.Name = policy.Prompt, s.name
	default:
		a.item.Kind, a.item.Name = policy.Tool, s.name
	}
	a.decision = s.decide(t, g)
	if !srv.listed && srv.onConflict && s.want != wantResource && a.decision.Outcome != policy.Denied {
		// What its lists will show is either of two names: a rule that hides one of
		// them hides the item.
		own, bare := cutPrefix(s.name, srv.prefix)
		if a.item.Name = own; bare {
			a.other = append(append(a.other[:0], srv.prefix...), own...)
			a.item.Name = a.other
		}
		if d := s.decide(t, g); d.Outcome != policy.Allowed {
			a.decision = d
		}
	}
	return a.decision.Outcome.Permits()
}

// decide asks about s.access.item. Completion has no arguments of the item's own:
// it is for whom the item is listed.
func (s *Stream) decide(t *table, g *policy.Group) policy.Decision {
	if s.method == mcp.MethodComplete {
		return t.access.Static(g, &s.access.item)
	}
	return t.access.Decide(g, &s.access.item, s.access.arguments)
}

// keepArguments copies what rules need of the body for when the host's memory is
// gone: where another table is awaited. Without a table anything may be needed.
func (s *Stream) keepArguments() {
	a := &s.access
	if t := s.g.table.Load(); len(a.arguments) > replayLimit && t != nil && !t.access.Policy().ReadsArguments() {
		// Should the next table have rules that need them, they find none and deny.
		a.arguments = noArguments
		return
	}
	a.kept = append(a.kept[:0], a.arguments...)
	a.arguments = a.kept
}

// noArguments are in place of what was not kept. A rule that reads them fails.
var noArguments = []byte("[]")

// lacks reports whether nothing but scopes is missing, and refuses then.
func (s *Stream) lacks() *Decision {
	if a := &s.access; a.decided && a.decision.Outcome == policy.Lacking && s.g.auth != nil {
		return s.insufficientScope(a.decision.Scopes)
	}
	return nil
}

// hidden reports whether what is wanted is unknown because of a rule.
func (s *Stream) hidden() bool {
	return s.access.decided && !s.access.decision.Outcome.Permits()
}

// lacksToFollow is lacks for a subscription to a resource. The broker decides about
// it, but which scopes it needs only the filter can say.
func (s *Stream) lacksToFollow(body []byte) *Decision {
	t := s.g.table.Load()
	if t == nil || t.access == nil || !s.msg.URIIsString {
		return nil
	}
	uri, ok := jsonrpc.Unquote(s.scratch[:0], s.msg.URI.Of(body))
	if !ok {
		return nil
	}
	s.name, s.want = append(s.name[:0], uri...), wantResource
	s.find(t)
	d := s.lacks()
	s.target = target{}
	return d
}

// mayFollow reports whether the client may be told that a resource of its call's
// server has changed: one that its endpoint shows, and no rule hides, by now.
func (s *Stream) mayFollow(message []byte) bool {
	t := s.g.table.Load()
	uri, ok := jsonrpc.Unquote(nil, s.msg.URI.Of(message))
	if t == nil || !ok {
		return false
	}
	v, shown := s.view(t)
	srv := t.byName[s.target.server.name]
	if !shown || srv == nil {
		return false
	}
	exposed := resourceuri.Join(srv.label, string(uri))
	owner, own, ok := t.resource(exposed, v)
	if !ok || owner != srv || t.access == nil {
		return ok && owner == srv
	}
	item := policy.Item{Kind: policy.Resource, Endpoint: s.endpoint, Server: srv.name, URI: []byte(exposed), Own: []byte(own)}
	return t.access.Decide(t.access.Policy().Group(s.principal), &item, nil).Outcome == policy.Allowed
}

// private reports whether an answer that a cache may keep is for this client alone,
// whatever its server says: rules may hide it from others, as they may lists.
func (s *Stream) private() bool { return s.access.decided && s.method == mcp.MethodResourcesRead }

// noteAccess tells logs and the filters behind what was decided.
func (s *Stream) noteAccess() {
	a := &s.access
	if !a.decided {
		return
	}
	s.note("decision", decisions[a.decision.Outcome])
	if a.decision.Failed {
		s.note("rule_error", []byte("true"))
	}
	if a.decision.Rule != "" {
		s.note("rule", []byte(a.decision.Rule))
	}
}

// decisions are what an outcome is called. What depends on arguments that there are
// none of is allowed.
var decisions = [...][]byte{
	policy.Denied: []byte("deny"), policy.Allowed: []byte("allow"),
	policy.Lacking: []byte("scopes"), policy.Depends: []byte("allow"),
}
