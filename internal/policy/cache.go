package policy

import (
	"hash/maphash"
	"sync"
)

const (
	shards = 64
	// mostDecisions bounds a shard, which is emptied when it is full.
	mostDecisions = 1024
	// longestName is that of names, in bytes, about which decisions are remembered: for
	// the completion of a prompt of a sole server a client may name whatever it likes.
	longestName = 512
)

// Cache remembers what a Policy decides by all but the arguments, for as long as
// names mean the same: it belongs to one table. Safe for concurrent use; the nil
// Cache is that of no policy.
type Cache struct {
	policy *Policy
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu sync.RWMutex
	m  map[key]Decision
}

type key struct {
	group                  *Group
	kind                   Kind
	server, endpoint, name string
}

// NewCache returns an empty cache; nil for no policy.
func NewCache(p *Policy) *Cache {
	if p == nil {
		return nil
	}
	return &Cache{policy: p, seed: maphash.MakeSeed()}
}

// Policy returns the policy whose decisions it holds.
func (c *Cache) Policy() *Policy {
	if c == nil {
		return nil
	}
	return c.policy
}

// Decide is Group.Decide of a group of the cache's policy. What it has decided
// before, and needs no arguments, or none that are there, allocates nothing.
func (c *Cache) Decide(g *Group, it *Item, arguments []byte) Decision {
	d := c.Static(g, it)
	switch {
	case d.Outcome != Depends:
		return d
	case len(it.Name) > longestName:
		return g.Decide(it, arguments)
	case !c.policy.mentions.asked.noneIn(arguments):
		return g.ask(it, arguments)
	}
	return c.once(it.Kind+withoutArguments, g, it.Server, it.Endpoint, it.Name, func() Decision { return g.ask(it, nil) })
}

// Static is Group.Static.
func (c *Cache) Static(g *Group, it *Item) Decision {
	name := it.Name
	if it.Kind == Resource {
		if c.policy.readsURI { // there is no end of URIs
			return g.Static(it)
		}
		name = nil
	}
	if len(name) > longestName {
		return g.Static(it)
	}
	return c.once(it.Kind, g, it.Server, it.Endpoint, name, func() Decision { return g.Static(it) })
}

// What is remembered in place of a kind: of Group.Reaches, and, added to a kind, of
// calls without the arguments that rules ask for.
const (
	anyTool = kinds + iota
	anything
	withoutArguments
)

// Reaches is Group.Reaches of all kinds, as a Decision: denied, or that it depends.
func (c *Cache) Reaches(g *Group, server string, endpoint []byte) Decision {
	return c.reaches(anything, g, server, endpoint, Tool, Prompt, Resource)
}

// ReachesTools is Reaches of tools.
func (c *Cache) ReachesTools(g *Group, server string, endpoint []byte) Decision {
	return c.reaches(anyTool, g, server, endpoint, Tool)
}

func (c *Cache) reaches(as Kind, g *Group, server string, endpoint []byte, of ...Kind) Decision {
	return c.once(as, g, server, endpoint, nil, func() Decision {
		if g.Reaches(server, endpoint, of...) {
			return Decision{Outcome: Depends}
		}
		return Decision{Outcome: Denied}
	})
}

// once is what decide says, which is asked if it is not remembered.
func (c *Cache) once(as Kind, g *Group, server string, endpoint, name []byte, decide func() Decision) Decision {
	if d, ok := c.get(g, as, server, endpoint, name); ok {
		return d
	}
	d := decide()
	c.put(key{g, as, server, string(endpoint), string(name)}, d)
	return d
}

func (c *Cache) shard(name []byte) *shard { return &c.shards[maphash.Bytes(c.seed, name)%shards] }

func (c *Cache) get(g *Group, k Kind, server string, endpoint, name []byte) (Decision, bool) {
	sh := c.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	d, ok := sh.m[key{g, k, server, string(endpoint), string(name)}]
	return d, ok
}

func (c *Cache) put(k key, d Decision) {
	sh := c.shard([]byte(k.name))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m == nil || len(sh.m) >= mostDecisions {
		sh.m = make(map[key]Decision)
	}
	sh.m[k] = d
}
