// Package catalog merges what the servers list into what the gateway lists. It
// keeps the bytes of each item as its server sent them: of a tool or prompt
// only the name is replaced, of a resource only the URI, so that unknown
// members, the order of keys and the spelling of numbers reach the client. The
// answers to all list methods are made once per change and then only written.
//
// Pure: no network, no clock, no log. Servers are read by broker/upstream.
package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

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

// Server is one server as the catalog sees it.
type Server struct {
	// Route goes into the table as it is. Its Prefix and Label are those that
	// Items was prepared with.
	Route gatewayconfig.TableServer
	// Items are the server's, from Prepare; nil for none.
	Items *Items
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

// Catalog is an immutable set of merged lists.
type Catalog struct {
	answers   [kinds][]byte
	counts    [kinds]int
	conflicts []Conflict
	table     gatewayconfig.Table
	encoded   []byte
}

// Merge joins the lists of the servers: servers in the given order, items in
// their server's order. Of several items with one exposed name the first is
// listed, the others become conflicts.
func Merge(servers []Server) *Catalog {
	c := &Catalog{table: gatewayconfig.Table{
		Servers: make([]gatewayconfig.TableServer, len(servers)),
		Tools:   map[string]gatewayconfig.Target{},
		Prompts: map[string]gatewayconfig.Target{},
	}}
	for i, s := range servers {
		c.table.Servers[i] = s.Route
	}
	for k := range kinds {
		c.merge(k, servers)
	}
	c.seal()
	return c
}

func (c *Catalog) merge(k Kind, servers []Server) {
	size := 0
	for _, s := range servers {
		size += s.Items.size(k)
	}
	answer := make([]byte, 0, size+64)
	answer = append(answer, `,"result":{"`...)
	answer = append(answer, k.String()...)
	answer = append(answer, `":[`...)
	owners := map[string]int{}
	for i, s := range servers {
		for _, it := range s.Items.of(k) {
			if owner, taken := owners[it.name]; taken {
				c.conflicts = append(c.conflicts, Conflict{
					Kind: k, Name: it.name, Server: s.Route.Name, Owner: servers[owner].Route.Name,
				})
				continue
			}
			owners[it.name] = i
			if c.counts[k]++; c.counts[k] > 1 {
				answer = append(answer, ',')
			}
			answer = append(answer, it.raw...)
			switch k {
			case Tools:
				c.table.Tools[it.name] = gatewayconfig.Target{Server: i, Name: it.own}
			case Prompts:
				c.table.Prompts[it.name] = gatewayconfig.Target{Server: i, Name: it.own}
			}
		}
	}
	c.answers[k] = append(answer, `]}}`...)
}

// seal encodes the table and names the version after its content. Maps are
// encoded in the order of their keys, so every replica finds the same version.
func (c *Catalog) seal() {
	sum := sha256.Sum256(mustEncode(c.table))
	c.table.Version = hex.EncodeToString(sum[:12])
	c.encoded = mustEncode(c.table)
}

func mustEncode(t gatewayconfig.Table) []byte {
	b, err := json.Marshal(t)
	if err != nil {
		panic("catalog: a table of strings and numbers cannot be encoded: " + err.Error())
	}
	return b
}

// Answer returns what follows the request's id in the response to a list
// method, up to the last byte: `,"result":{"tools":[...]}}`. Not to be changed.
func (c *Catalog) Answer(k Kind) []byte { return c.answers[k] }

// Count returns the number of items that the list shows.
func (c *Catalog) Count(k Kind) int { return c.counts[k] }

// Conflicts returns the items that are left out, in the order of the lists.
func (c *Catalog) Conflicts() []Conflict { return c.conflicts }

// Table returns who owns which name. Its maps are not to be changed.
func (c *Catalog) Table() gatewayconfig.Table { return c.table }

// EncodedTable returns Table as JSON. Not to be changed.
func (c *Catalog) EncodedTable() []byte { return c.encoded }

// Differs reports whether a list is not the same, byte for byte, in both
// catalogs.
func (c *Catalog) Differs(k Kind, other *Catalog) bool {
	return !bytes.Equal(c.answers[k], other.answers[k])
}
