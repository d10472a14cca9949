package policy

import (
	"sync"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"mcp-gateway/internal/principal"
)

// Bounds of what a Policy remembers of those who ask.
const (
	mostKnown  = 8192 // principals, mostly one for each token
	mostGroups = 4096
)

// Group is all principals that the rules of a Policy cannot tell apart: for them
// all decisions are the same. Immutable.
type Group struct {
	policy *Policy
	key    string
	who    *principal.Principal
	// The variables about the principal, as CEL has them.
	issuer, subject, client, scopes, claims ref.Val
	// settled is what each rule's expression is for the group, whatever the item.
	settled []verdict
}

// nobody is who has no principal.
var nobody = &principal.Principal{}

// Key tells groups of one policy apart. It holds claims: not for logs.
func (g *Group) Key() string { return g.key }

// Policy returns the policy whose group it is.
func (g *Group) Policy() *Policy { return g.policy }

// groups are the known ones, by their keys and by those who are in them. The maps
// are emptied when they are full: all in them can be made again.
type groups struct {
	mu    sync.RWMutex
	byKey map[string]*Group
	byWho map[*principal.Principal]*Group
}

// Group returns the group of a principal; nil is who has none. Of one that it was
// asked for lately it allocates nothing.
func (p *Policy) Group(who *principal.Principal) *Group {
	if who == nil {
		who = nobody
	}
	all := &p.groups
	all.mu.RLock()
	g := all.byWho[who]
	all.mu.RUnlock()
	if g != nil {
		return g
	}
	key := p.mentions.of(who)
	all.mu.RLock()
	g = all.byKey[key]
	all.mu.RUnlock()
	if g == nil {
		g = p.newGroup(who, key)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byKey == nil || len(all.byKey) >= mostGroups {
		all.byKey = map[string]*Group{}
	}
	if all.byWho == nil || len(all.byWho) >= mostKnown {
		all.byWho = map[*principal.Principal]*Group{}
	}
	if other := all.byKey[key]; other != nil {
		g = other
	}
	all.byKey[key], all.byWho[who] = g, g
	return g
}

func (p *Policy) newGroup(who *principal.Principal, key string) *Group {
	scopes := make([]ref.Val, len(who.Scopes))
	for i, s := range who.Scopes {
		scopes[i] = types.String(s)
	}
	g := &Group{
		policy: p, key: key, who: who, settled: make([]verdict, len(p.rules)),
		issuer: types.String(who.Issuer), subject: types.String(who.Subject), client: types.String(who.Client),
		scopes: types.NewRefValList(types.DefaultTypeAdapter, scopes), claims: claimOf(who.Claims),
	}
	for i := range p.rules {
		g.settled[i] = p.rules[i].evaluate(&question{group: g, unknown: unknownItem})
	}
	return g
}

// claimOf returns a decoded JSON value. Numbers that were rounded when they were
// decoded fail what looks at them: two of them look alike.
func claimOf(v any) ref.Val {
	switch v := v.(type) {
	case map[string]any:
		values := make(map[string]any, len(v))
		for name, one := range v {
			values[name] = claimOf(one)
		}
		return types.NewStringInterfaceMap(types.DefaultTypeAdapter, values)
	case []any:
		values := make([]ref.Val, len(v))
		for i, one := range v {
			values[i] = claimOf(one)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, values)
	case float64:
		switch {
		case v > largestInteger || v < -largestInteger:
			return types.WrapErr(errNumber)
		case v == float64(int64(v)):
			return types.Int(int64(v))
		}
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}
