package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"sync"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
	"mcp-gateway/internal/resourceuri"
)

// View is what one endpoint shows of a Catalog. Immutable.
type View struct {
	catalog *Catalog
	shows   []bool // by server
	// pageSize is how many items a page has; 0 means all.
	pageSize int
	// resources is nil where every URI is admitted.
	resources *glob.Rules
	// names are the rules of Tools and Prompts, by exposed names; nil admits all.
	names [Prompts + 1]*glob.Rules
	lists [kinds]list
	// stateless are the lists for clients of stateless revisions.
	stateless [kinds]pages
}

// list is one list of a view, serialised.
type list struct {
	pages
	shown []*entry
	// digest is of all that is shown, made when it is asked for first.
	digest func() [sha256.Size]byte
	// failing names the servers for which the list is answered with an error.
	failing []string
	// byName holds the items by their exposed names, also those of servers that
	// lists leave out.
	byName map[string]*entry
}

// pages are a list as it is sent.
type pages struct {
	// all are what follows the request's id in the answers, up to the last byte;
	// at least one.
	all [][]byte
	// cursors tell the pages but the first.
	cursors map[string]int
}

// view makes a view. One without a name shows everything.
func (c *Catalog) view(config gatewayconfig.View, pageSize int) *View {
	v := &View{catalog: c, shows: make([]bool, len(c.servers)), pageSize: pageSize}
	for i, s := range c.servers {
		v.shows[i] = config.Name == ""
		for _, name := range config.Servers {
			v.shows[i] = v.shows[i] || name == s.Route.Name
		}
	}
	v.resources = glob.New(config.Resources.Allow, config.Resources.Deny)
	for k := range kinds {
		rules := v.resources
		switch k {
		case Tools:
			rules = glob.New(config.Tools.Allow, config.Tools.Deny)
			v.names[k] = rules
		case Prompts:
			rules = glob.New(config.Prompts.Allow, config.Prompts.Deny)
			v.names[k] = rules
		}
		var shown []*entry
		found := map[string]*entry{}
		for i := range c.lists[k] {
			e := &c.lists[k][i]
			admitted := rules.Admits([]byte(e.name))
			if k == Resources || k == Templates {
				admitted = rules.AdmitsURI([]byte(e.name), []byte(e.own))
			}
			if !v.shows[e.server] || !admitted {
				continue
			}
			found[e.name] = e
			if !c.servers[e.server].Hidden {
				shown = append(shown, e)
			}
		}
		v.lists[k] = list{pages: paginate(config.Name, k, rawOf(shown), pageSize), shown: shown, byName: found}
		v.lists[k].digest = sync.OnceValue(func() [sha256.Size]byte { return digestOf(config.Name, k, rawOf(shown)) })
		v.stateless[k] = v.lists[k].pages
		if differ := slices.ContainsFunc(shown, (*entry).differs); differ {
			v.stateless[k] = paginate(config.Name, k, statelessOf(shown), pageSize)
		}
		for i, s := range c.servers {
			if v.shows[i] && s.Failing.Has(k) {
				v.lists[k].failing = append(v.lists[k].failing, s.Route.Name)
			}
		}
	}
	return v
}

// paginate serialises a list. A cursor is a digest of the view, the list with
// all that is in it, and the page: it finds its page in every replica that shows
// the same, and none in a list that has changed, where it would skip or repeat
// items. There is nothing to forge: what is no cursor of this very list is
// unknown.
func paginate(view string, k Kind, items [][]byte, size int) pages {
	if size <= 0 {
		size = max(1, len(items))
	}
	var out pages
	var content [sha256.Size]byte
	if len(items) > size {
		content = digestOf(view, k, items)
		out.cursors = map[string]int{}
	}
	for first := 0; first == 0 || first < len(items); first += size {
		next := min(first+size, len(items))
		cursor := ""
		if next < len(items) {
			cursor = cursorOf(content[:], next)
			out.cursors[cursor] = len(out.all) + 1
		}
		out.all = append(out.all, page(k, items[first:next], cursor))
	}
	return out
}

// digestOf tells lists with other items apart.
func digestOf(view string, k Kind, items [][]byte) (content [sha256.Size]byte) {
	sum := sha256.New()
	sum.Write(strconv.AppendQuote(nil, view))
	sum.Write([]byte{byte(k)})
	for _, raw := range items {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(raw)))
		sum.Write(length[:])
		sum.Write(raw)
	}
	sum.Sum(content[:0])
	return content
}

func cursorOf(content []byte, next int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(slices.Clip(content), uint64(next)))
	return hex.EncodeToString(sum[:16])
}

// resultMember begins every page.
const resultMember = `,"result":{`

func page(k Kind, items [][]byte, cursor string) []byte {
	size := 128
	for _, raw := range items {
		size += len(raw) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, resultMember+`"`...)
	b = append(b, k.String()...)
	b = append(b, `":[`...)
	for i, raw := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, raw...)
	}
	b = append(b, ']')
	if cursor != "" {
		b = append(b, `,"nextCursor":"`...)
		b = append(b, cursor...)
		b = append(b, '"')
	}
	return append(b, '}', '}')
}

// First returns what follows the request's id in the answer to a list method
// without a cursor, up to the last byte: `,"result":{"tools":[...]}}`. Not to be
// changed.
func (v *View) First(k Kind) []byte { return v.lists[k].all[0] }

// Page is First for the page of a cursor; false for one that is not of this
// list as it is now.
func (v *View) Page(k Kind, cursor string) ([]byte, bool) { return v.lists[k].page(cursor) }

func (p *pages) page(cursor string) ([]byte, bool) {
	i, ok := p.cursors[cursor]
	if !ok {
		return nil, false
	}
	return p.all[i], true
}

// Failing names the first server for which the list is to be answered with an error,
// see Server.Failing; empty for none.
func (v *View) Failing(k Kind) string { return v.FailingOf(k, func(string) bool { return true }) }

// FailingOf is Failing of the servers that f reports.
func (v *View) FailingOf(k Kind, f func(server string) bool) string {
	for _, name := range v.lists[k].failing {
		if f(name) {
			return name
		}
	}
	return ""
}

// Count returns the number of items that the list shows.
func (v *View) Count(k Kind) int { return len(v.lists[k].shown) }

// Shows reports whether the server at an index is part of the view.
func (v *View) Shows(server int) bool { return v.shows[server] }

// ShowsServer is Shows by name.
func (v *View) ShowsServer(name string) bool {
	for i, s := range v.catalog.servers {
		if s.Route.Name == name {
			return v.shows[i]
		}
	}
	return false
}

// indexes returns the servers of the view.
func (v *View) indexes() []int {
	out := []int{}
	for i, shown := range v.shows {
		if shown {
			out = append(out, i)
		}
	}
	return out
}

// Item is what stands behind an exposed name.
type Item struct {
	// Server names the owner, Own is what the owner calls it.
	Server, Own string
	// Raw is the item as it is listed. Not to be changed.
	Raw []byte
	// Hints are a tool's.
	Hints gatewayconfig.Hints
	// Stateful tells that clients of stateless revisions are not offered it.
	Stateful bool
}

// Find returns the tool or prompt of an exposed name, of a hidden server too;
// false if the view does not offer one.
func (v *View) Find(k Kind, name string) (Item, bool) {
	e, ok := v.lists[k].byName[name]
	if !ok {
		return Item{}, false
	}
	return Item{Server: v.catalog.servers[e.server].Route.Name, Own: e.own, Raw: e.raw, Hints: e.hints, Stateful: e.stateless == nil}, true
}

// Resource returns the server that a URI, or URI template, of a client belongs
// to, and the URI as that server knows it. False if there is no such server, or
// if the view or the server's own rules do not admit the URI.
func (v *View) Resource(uri string) (server, own string, ok bool) {
	i, own, ok := v.owner(uri)
	if !ok {
		return "", "", false
	}
	s := &v.catalog.servers[i]
	var rules gatewayconfig.Rules
	if r := s.Items.serverRules(); r != nil {
		rules = r.Resources
	}
	exposed := resourceuri.Join(s.Route.Label, own)
	if !glob.New(rules.Allow, rules.Deny).AdmitsURI([]byte(own), []byte(own)) || !v.resources.AdmitsURI([]byte(exposed), []byte(own)) {
		return "", "", false
	}
	return s.Route.Name, own, true
}

// Task returns the server that the id of a task, as clients know it, belongs to,
// and the id as that server knows it; false if the view shows none.
func (v *View) Task(id string) (server, own string, ok bool) {
	i, own, ok := v.owner(id)
	if !ok {
		return "", "", false
	}
	return v.catalog.servers[i].Route.Name, own, true
}

// owner returns the index of the server whose label a URI or an id has, and what
// is left without the label. The sole server may have none.
func (v *View) owner(marked string) (i int, own string, ok bool) {
	servers := v.catalog.servers
	own = marked
	if len(servers) != 1 || servers[0].Route.Label != "" {
		var label string
		if label, own, ok = resourceuri.Split(marked); !ok {
			return 0, "", false
		}
		for i < len(servers) && servers[i].Route.Label != label {
			i++
		}
	}
	if i >= len(servers) || !v.shows[i] {
		return 0, "", false
	}
	return i, own, true
}

// Differs reports whether a list is not the same, byte for byte, in both views,
// for the clients of any revision.
// The nil View shows nothing.
func (v *View) Differs(k Kind, other *View) bool {
	if v == nil || other == nil {
		return v != other
	}
	return !slices.Equal(v.lists[k].failing, other.lists[k].failing) ||
		!v.lists[k].equal(&other.lists[k].pages) || !v.stateless[k].equal(&other.stateless[k])
}

func (p *pages) equal(other *pages) bool { return slices.EqualFunc(p.all, other.all, bytes.Equal) }
