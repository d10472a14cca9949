// Package catalog merges what the servers list into what the gateway lists. It
// keeps the bytes of each item as its server sent them: of a tool or prompt
// only the name is replaced, of a resource only the URI, so that unknown
// members, the order of keys and the spelling of numbers reach the client. The
// pages of all lists, of each view, are made once per change and then only
// written.
//
// Pure: no network, no clock, no log. Servers are read by broker/upstream.
package catalog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"mcp-gateway/internal/gatewayconfig"
)

// Kind is one of the four lists of MCP.
type Kind uint8

// The lists, by the member of the result that holds them.
const (
	Tools Kind = iota
	Prompts
	Resources
	Templates
	kinds // how many there are
)

// String returns the member of the list result that holds the items.
func (k Kind) String() string {
	return [kinds]string{"tools", "prompts", "resources", "resourceTemplates"}[k]
}

// Kinds is a set of lists.
type Kinds uint8

// Set returns the set of the kinds.
func Set(of ...Kind) (s Kinds) {
	for _, k := range of {
		s |= 1 << k
	}
	return s
}

// Has reports whether k is in the set.
func (s Kinds) Has(k Kind) bool { return s&(1<<k) != 0 }

// Server is one server as the catalog sees it. Comparable: a server that equals
// an earlier one has the same lists.
type Server struct {
	// Route goes into the table, with the rules of Items.
	Route gatewayconfig.TableServer
	// Items are the server's, from Prepare; nil for none.
	Items *Items
	// Hidden leaves the server out of lists. Its names stay its own, and calls
	// reach it.
	Hidden bool
	// Failing are the lists that are answered with an error, as the server's
	// part of them is not known or old.
	Failing Kinds
}

// Conflict is an item that is left out because an earlier one has its name.
type Conflict struct {
	Kind Kind
	// Name is the exposed name, or the URI.
	Name string
	// Server is the one whose item is left out, Owner the one whose is listed;
	// both are the same if a server lists a name twice.
	Server, Owner string
}

// Renamed is an item whose exposed name was too long, or had characters that
// model providers refuse.
type Renamed struct {
	Kind   Kind
	Server string
	// Own is the server's name for it.
	Own, Exposed string
}

// Options say how lists are merged and shown.
type Options struct {
	// Views are the endpoints besides the gateway's own.
	Views []gatewayconfig.View
	// NameLimit is the one that the servers' items were prepared with.
	NameLimit int
	// PageSize is how many items a page has; 0 means all.
	PageSize int
	// Authorization goes into the table as it is, and the hints of tools if Hints is
	// set.
	Authorization *gatewayconfig.Authorization
	Hints         bool
	// TaskKey goes into the table as it is.
	TaskKey []byte
	// VersionKey is what the table's version is made with. The table holds secrets,
	// its version is shown: without the key nobody can try a guess against it.
	VersionKey []byte
}

// Catalog is an immutable set of merged lists.
type Catalog struct {
	servers   []Server
	lists     [kinds][]entry
	conflicts []Conflict
	renamed   []Renamed
	own       *View
	views     map[string]*View
	table     gatewayconfig.Table
	encoded   []byte
}

// entry is a listed item.
type entry struct {
	server int
	name   string // as exposed
	own    string
	raw    []byte
	hints  gatewayconfig.Hints
	// stateless is raw for clients of stateless revisions; nil for nothing.
	stateless []byte
}

// Merge joins the lists of the servers: servers in the given order, items in
// their server's order. Of several items with one exposed name the first is
// listed, the others become conflicts; an alias goes before any other name.
func Merge(servers []Server, o Options) *Catalog {
	c := &Catalog{servers: servers, views: map[string]*View{}, table: gatewayconfig.Table{
		Servers:   make([]gatewayconfig.TableServer, len(servers)),
		Tools:     map[string]gatewayconfig.Target{},
		Prompts:   map[string]gatewayconfig.Target{},
		NameLimit: o.NameLimit, Authorization: o.Authorization, TaskKey: o.TaskKey,
	}}
	for i, s := range servers {
		c.table.Servers[i] = s.Route
		c.table.Servers[i].Rules = s.Items.serverRules()
	}
	for k := range kinds {
		c.merge(k, o.Hints)
	}
	c.own = c.view(gatewayconfig.View{}, o.PageSize)
	for _, v := range o.Views {
		made := c.view(v, o.PageSize)
		c.views[v.Name] = made
		c.table.Views = append(c.table.Views, gatewayconfig.TableView{
			Name: v.Name, Servers: made.indexes(), Tools: v.Tools, Prompts: v.Prompts, Resources: v.Resources,
		})
	}
	c.seal(o.VersionKey)
	return c
}

// merge fills the list of a kind; with hints the table has those of tools.
func (c *Catalog) merge(k Kind, hints bool) {
	aliases, moved := c.aliases(k), c.contested(k)
	owners := map[string]int{}
	for i, s := range c.servers {
		for j := range s.Items.of(k) {
			it := &s.Items.of(k)[j]
			if it.withheld && !it.claims {
				continue
			}
			e := entry{server: i, name: it.name, own: it.own, raw: it.raw, hints: it.hints}
			if moved[it] {
				e.name, e.raw = it.prefixed, it.as(it.prefixed)
			}
			owner, taken := aliases[e.name]
			if taken && owner == i && it.alias {
				taken = false
			}
			if !taken {
				owner, taken = owners[e.name]
			}
			if taken {
				c.conflicts = append(c.conflicts, Conflict{
					Kind: k, Name: e.name, Server: s.Route.Name, Owner: c.servers[owner].Route.Name,
				})
				continue
			}
			owners[e.name] = i
			if it.withheld {
				continue
			}
			e.stateless = e.raw
			switch {
			case k != Tools:
			case s.Route.Modern:
				e.raw = forSessions(e.raw)
			default:
				e.stateless = withoutTasks(e.raw)
			}
			c.lists[k] = append(c.lists[k], e)
			if !it.alias && s.Items.changes(k, e.own, e.name) {
				c.renamed = append(c.renamed, Renamed{Kind: k, Server: s.Route.Name, Own: e.own, Exposed: e.name})
			}
			if names := c.targets(k); names != nil {
				target := gatewayconfig.Target{Server: i, Name: e.own}
				if hints {
					target.Hints = e.hints
				}
				names[e.name] = target
			}
		}
	}
	// What an alias means is known before its server has listed anything.
	for name, i := range aliases {
		if s := c.servers[i]; !s.Route.Listed {
			c.targets(k)[name] = gatewayconfig.Target{Server: i, Name: s.Items.aliases(k)[name]}
		}
	}
}

func (c *Catalog) targets(k Kind) map[string]gatewayconfig.Target {
	switch k {
	case Tools:
		return c.table.Tools
	case Prompts:
		return c.table.Prompts
	}
	return nil
}

// withoutVersion begins an encoded table that has no version yet.
const withoutVersion = `{"version":""`

// seal encodes the table and names the version after its content. Maps are
// encoded in the order of their keys, so every replica with the key finds the same
// version. Encoding is most of a merge: the version is put into what was encoded
// for it.
func (c *Catalog) seal(key []byte) {
	bare := mustEncode(c.table)
	sum := hmac.New(sha256.New, key)
	sum.Write(bare)
	c.table.Version = hex.EncodeToString(sum.Sum(nil)[:12])
	c.encoded = slices.Concat([]byte(`{"version":"`+c.table.Version+`"`), bare[len(withoutVersion):])
}

func mustEncode(t gatewayconfig.Table) []byte {
	b, err := json.Marshal(t)
	if err != nil {
		panic("catalog: a table of strings and numbers cannot be encoded: " + err.Error())
	}
	return b
}

// View returns what an endpoint shows, by its name; empty for the gateway's own.
// Nil if there is none of that name.
func (c *Catalog) View(name string) *View {
	if name == "" {
		return c.own
	}
	return c.views[name]
}

// Conflicts returns the items that are left out, in the order of the lists.
func (c *Catalog) Conflicts() []Conflict { return c.conflicts }

// Renamed returns the listed items whose names had to be changed.
func (c *Catalog) Renamed() []Renamed { return c.renamed }

// Table returns who owns which name. Its maps are not to be changed.
func (c *Catalog) Table() gatewayconfig.Table { return c.table }

// EncodedTable returns Table as JSON. Not to be changed.
func (c *Catalog) EncodedTable() []byte { return c.encoded }
