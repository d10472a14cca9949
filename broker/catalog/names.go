package catalog

// aliases returns the servers that the configured aliases of a kind belong to,
// whether or not anything is listed for them: which name an alias takes from
// others does not depend on what has been read already.
func (c *Catalog) aliases(k Kind) map[string]int {
	out := map[string]int{}
	for i, s := range c.servers {
		for name := range s.Items.aliases(k) {
			if _, taken := out[name]; !taken {
				out[name] = i
			}
		}
	}
	return out
}

// contested returns the items that need their server's prefix, as another server
// claims the name without it. Every name that an item might have counts as a
// claim, also one that it loses, so that the outcome does not depend on the
// order in which conflicts are met: it is the least set that is closed.
//
// An item that moves claims its new name, upon which others may have to move.
// Each moves once, hence this ends.
func (c *Catalog) contested(k Kind) map[*item]bool {
	if k != Tools && k != Prompts || !c.anyOnConflict() {
		return nil
	}
	type member struct {
		server int
		item   *item
	}
	type claim struct {
		server  int
		several bool
		// bare are the items that would move.
		bare []member
	}
	claims := map[string]*claim{}
	moved := map[*item]bool{}
	var due []member
	// claimed notes a claim of a server; with an item it is one that can move.
	claimed := func(name string, server int, can *item) {
		cl := claims[name]
		if cl == nil {
			cl = &claim{server: server}
			claims[name] = cl
		}
		cl.several = cl.several || cl.server != server
		if can != nil {
			cl.bare = append(cl.bare, member{server, can})
		}
		if cl.several {
			due = append(due, cl.bare...)
			cl.bare = nil
		}
	}
	for i, s := range c.servers {
		for name := range s.Items.aliases(k) {
			// A claim of its own: the server's other items make room as well.
			claimed(name, -1-i, nil)
		}
	}
	for i, s := range c.servers {
		for j := range s.Items.of(k) {
			switch it := &s.Items.of(k)[j]; {
			case it.alias, it.withheld && !it.claims:
			case it.prefixed == "":
				claimed(it.name, i, nil)
			default:
				claimed(it.name, i, it)
			}
		}
	}
	for len(due) > 0 {
		m := due[len(due)-1]
		due = due[:len(due)-1]
		if !moved[m.item] {
			moved[m.item] = true
			claimed(m.item.prefixed, m.server, nil)
		}
	}
	return moved
}

func (c *Catalog) anyOnConflict() bool {
	for _, s := range c.servers {
		if s.Items.onConflict() {
			return true
		}
	}
	return false
}
