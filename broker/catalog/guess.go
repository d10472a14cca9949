package catalog

import (
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
	"mcp-gateway/internal/toolname"
)

// Owner is Find, and of a server whose lists were never read it returns what its
// prefix alone says, by the rules that the filter has for that: a call meets the
// server's own state and not "unknown tool". Other, if not empty, is a second name
// that the lists may come to show the item under: what hides it hides the item.
func (v *View) Owner(k Kind, name string) (it Item, other string, ok bool) {
	if it, ok = v.Find(k, name); ok {
		return it, "", true
	}
	rules := v.names[k]
	servers := v.catalog.table.Servers
	if t, known := v.catalog.targets(k)[name]; known {
		// Of a server that was never listed the table has aliases.
		s := &servers[t.Server]
		return Item{Server: s.Name, Own: t.Name}, "", !s.Listed && v.shows[t.Server] && rules.Admits([]byte(name))
	}
	i, own := v.catalog.guess(name)
	if i < 0 || !v.shows[i] || !rules.Admits([]byte(name)) || !toolname.Fits(name, v.catalog.table.NameLimit) {
		return Item{}, "", false
	}
	s := &servers[i]
	if of := s.Rules; of != nil {
		admitted := of.Tools
		if k == Prompts {
			admitted = of.Prompts
		}
		if !glob.New(admitted.Allow, admitted.Deny).Admits([]byte(own)) {
			return Item{}, "", false
		}
	}
	if s.OnConflict {
		if other = own; own == name {
			other = s.Prefix + own
		}
		if !rules.Admits([]byte(other)) {
			return Item{}, "", false
		}
	}
	return Item{Server: s.Name, Own: own}, other, true
}

// guess returns the server with the longest prefix that a name has, of those that
// were never listed, and the name without it; -1 if there is none.
func (c *Catalog) guess(name string) (best int, own string) {
	best = -1
	for i := range c.table.Servers {
		s := &c.table.Servers[i]
		if rest, ok := unprefixed(s, name); !s.Listed && ok && (best < 0 || len(rest) < len(own)) {
			best, own = i, rest
		}
	}
	return best, own
}

// unprefixed returns the name that a server may have for an exposed one.
func unprefixed(s *gatewayconfig.TableServer, name string) (own string, ok bool) {
	if own, ok = strings.CutPrefix(name, s.Prefix); !ok {
		own, ok = name, s.OnConflict
	}
	return own, ok && own != ""
}
