package catalog

import (
	"crypto/sha256"
	"slices"

	"mcp-gateway/internal/gatewayconfig"
)

// Listed is an item of a list, as it is chosen by.
type Listed struct {
	Server string
	// Name is the exposed name, or the URI; Own is what the server calls it.
	Name, Own string
	Hints     gatewayconfig.Hints
}

// Part is what some clients are shown of a list. It holds no item of its own.
// Immutable.
type Part struct {
	kind Kind
	// whole is the list, if all of it is shown.
	whole *pages
	items []*entry
	// stateless tells which form of the items it shows.
	stateless bool
	size      int
	// cursors have the index of the first item on their page.
	cursors map[string]int
}

// Part returns the part of a list that admits reports, for clients of stateless
// revisions or for others. Like those of a whole list its cursors are found in every
// replica that shows the same, and in no other part.
func (v *View) Part(k Kind, stateless bool, admits func(Listed) bool) *Part {
	l := &v.lists[k]
	p := &Part{kind: k, stateless: stateless, size: v.pageSize}
	chosen := make([]byte, 0, (len(l.shown)+7)/8)
	all := true
	for i, e := range l.shown {
		if i%8 == 0 {
			chosen = append(chosen, 0)
		}
		if !admits(Listed{Server: v.catalog.servers[e.server].Route.Name, Name: e.name, Own: e.own, Hints: e.hints}) {
			all = false
			continue
		}
		chosen[i/8] |= 1 << (i % 8)
		if !stateless || e.stateless != nil {
			p.items = append(p.items, e)
		}
	}
	if all {
		p.items, p.whole = nil, &l.pages
		if stateless {
			p.whole = &v.stateless[k]
		}
		return p
	}
	p.items = slices.Clip(p.items)
	if p.size <= 0 {
		p.size = max(1, len(p.items))
	}
	if len(p.items) > p.size {
		p.cursors = map[string]int{}
		content := l.digest()
		sum := sha256.New()
		sum.Write([]byte("part"))
		sum.Write(content[:])
		sum.Write(chosen)
		base := sum.Sum(nil)
		for next := p.size; next < len(p.items); next += p.size {
			p.cursors[cursorOf(base, next)] = next
		}
	}
	return p
}

// First returns the first page as View.First and FirstStateless do.
func (p *Part) First() []byte {
	if p.whole != nil {
		return p.form(p.whole.all[0])
	}
	return p.form(p.from(0))
}

// Page returns the page of a cursor as View.Page and PageStateless do.
func (p *Part) Page(cursor string) ([]byte, bool) {
	if p.whole != nil {
		out, ok := p.whole.page(cursor)
		if !ok {
			return nil, false
		}
		return p.form(out), true
	}
	at, ok := p.cursors[cursor]
	if !ok {
		return nil, false
	}
	return p.form(p.from(at)), true
}

func (p *Part) form(page []byte) []byte {
	if p.stateless {
		return page[len(resultMember):]
	}
	return page
}

// from returns the page that begins with the item at an index.
func (p *Part) from(at int) []byte {
	end := min(at+p.size, len(p.items))
	raws := make([][]byte, 0, end-at)
	for _, e := range p.items[at:end] {
		if p.stateless {
			raws = append(raws, e.stateless)
		} else {
			raws = append(raws, e.raw)
		}
	}
	next := ""
	for c, i := range p.cursors {
		if i == end {
			next = c
		}
	}
	return page(p.kind, raws, next)
}
