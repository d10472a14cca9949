package policy

import (
	"hash/maphash"
	"sync"
)

const (
	shards = 64
	// mostDecisions bounds a shard, which is emptied when it is full.
	mostDecisions = 1024
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
// before, and needs no arguments, allocates nothing.
func (c *Cache) Decide(g *Group, it *Item, arguments []byte) Decision {
	d := c.static(g, it)
	if d.Outcome == Depends {
		return g.Decide(it, arguments)
	}
	return d
}

func (c *Cache) static(g *Group, it *Item) Decision {
	name := it.Name
	if it.Kind == Resource {
		if c.policy.readsURI { // there is no end of URIs
			return g.Static(it)
		}
		name = nil
	}
	sh := &c.shards[maphash.Bytes(c.seed, name)%shards]
	sh.mu.RLock()
	d, ok := sh.m[key{g, it.Kind, it.Server, string(it.Endpoint), string(name)}]
	sh.mu.RUnlock()
	if ok {
		return d
	}
	d = g.Static(it)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m == nil || len(sh.m) >= mostDecisions {
		sh.m = make(map[key]Decision)
	}
	sh.m[key{g, it.Kind, it.Server, string(it.Endpoint), string(name)}] = d
	return d
}
