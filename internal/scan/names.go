package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// foreign are the scripts with letters that look like Latin ones.
var foreign = []*unicode.RangeTable{unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee, unicode.Coptic, unicode.Lisu}

// identifier looks at the name of a tool, prompt or parameter.
func (w *walker) identifier(s string) {
	latin, other := false, false
	for _, r := range s {
		latin = latin || r < 0x80 && unicode.IsLetter(r)
		other = other || r >= 0x80 && unicode.In(r, foreign...)
	}
	switch {
	case latin && other:
		w.found(Name, fmt.Sprintf("%q mixes letters of two scripts that look alike", ascii(s, 60)))
	case norm.NFKC.String(s) != s:
		w.found(Name, fmt.Sprintf("%q is not written in its plain form, %q", ascii(s, 60), ascii(norm.NFKC.String(s), 60)))
	}
}

// alike maps letters to the Latin ones that they look like, in lower case. It has
// the usual ones of Cyrillic, Greek and Armenian, and what ASCII itself has; not
// all of UTS #39, whose table has 6000 lines for scripts that names of tools do
// not use.
var alike = map[rune]rune{
	// Cyrillic
	'а': 'a', 'в': 'b', 'с': 'c', 'ԁ': 'd', 'е': 'e', 'ё': 'e', 'һ': 'h', 'н': 'h', 'і': 'i', 'ї': 'i', 'ј': 'j', 'к': 'k',
	'ӏ': 'l', 'м': 'm', 'о': 'o', 'р': 'p', 'ԛ': 'q', 'г': 'r', 'ѕ': 's', 'т': 't', 'ү': 'y', 'у': 'y', 'ѵ': 'v', 'ԝ': 'w', 'х': 'x', 'ӕ': 'æ',
	// Greek
	'α': 'a', 'β': 'b', 'ε': 'e', 'η': 'n', 'ι': 'i', 'κ': 'k', 'ν': 'v', 'ο': 'o', 'ρ': 'p', 'σ': 'o', 'τ': 't', 'υ': 'u', 'χ': 'x', 'γ': 'y', 'ω': 'w', 'ϲ': 'c', 'ϳ': 'j',
	// Armenian
	'օ': 'o', 'ս': 'u', 'հ': 'h', 'ո': 'n', 'ց': 'g', 'զ': 'q', 'ք': 'p', 'լ': 'l',
	// Latin
	'ı': 'i', 'ɡ': 'g', 'ɑ': 'a', 'ʟ': 'l', 'ƿ': 'p', 'ℓ': 'l',
	// ASCII
	'0': 'o', '1': 'l', '|': 'l', '-': '_', '.': '_', '/': '_', ' ': '_',
}

// skeleton returns a text that is the same for names that look the same: without
// accents, case and invisible characters, and with one letter for all that look
// alike (the idea of UTS #39 section 4, with the small table above).
func skeleton(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
		r = unicode.ToLower(r)
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r) {
			continue
		}
		if to, ok := alike[r]; ok {
			r = to
		}
		b.WriteRune(r)
	}
	return strings.ReplaceAll(b.String(), "rn", "m")
}

// skeletons are those of a name: of one with a capital I also that with an l in
// its place, which is not what the capital stands for otherwise.
func skeletons(name string) []string {
	all := []string{skeleton(name)}
	if strings.Contains(name, "I") {
		all = append(all, skeleton(strings.ReplaceAll(name, "I", "l")))
	}
	return all
}

// Item is an item as it is compared with those of other servers.
type Item struct {
	// Own and Exposed are its name at its server, and as clients see it; empty for
	// text without a name.
	Own, Exposed string
	Result       Result
}

// Server has the items of one kind of one server.
type Server struct {
	Name string
	// OnConflict tells that its names make room for others.
	OnConflict bool
	Items      []Item
}

// Across compares servers, in their configured order. The result has, by the
// index of a server and of an item, what is found there. Of two items that have
// or seem to have one name, it is found at the one with the stranger characters,
// else at the one of the later server: a server cannot discredit those before it.
func Across(servers []Server) []map[int][]Finding {
	c := comparison{servers: servers, found: make([]map[int][]Finding, len(servers))}
	c.index()
	for i := range servers {
		for j := range servers[i].Items {
			c.name(i, j)
			c.text(i, j)
		}
	}
	return c.found
}

// place is where an item is.
type place struct{ server, item int }

type comparison struct {
	servers []Server
	found   []map[int][]Finding
	// exposed are the items by their exposed names, looks by their skeletons, and
	// own by the servers' names for them; one item of each server.
	exposed, looks, own map[string][]place
}

func (c *comparison) index() {
	c.exposed, c.looks, c.own = map[string][]place{}, map[string][]place{}, map[string][]place{}
	add := func(to map[string][]place, key string, p place) {
		if have := to[key]; len(have) == 0 || have[len(have)-1].server != p.server {
			to[key] = append(have, p)
		}
	}
	for i := range c.servers {
		for j, it := range c.servers[i].Items {
			if it.Exposed == "" {
				continue
			}
			p := place{i, j}
			add(c.exposed, it.Exposed, p)
			for _, look := range skeletons(it.Exposed) {
				add(c.looks, look, p)
			}
			add(c.own, it.Own, p)
		}
	}
	// What is written in plain letters is the one that others look like.
	for _, places := range c.looks {
		slices.SortStableFunc(places, func(a, b place) int {
			return cmp.Or(cmp.Compare(strange(c.at(a).Exposed), strange(c.at(b).Exposed)), cmp.Compare(a.server, b.server))
		})
	}
}

func (c *comparison) at(p place) *Item { return &c.servers[p.server].Items[p.item] }

// strange counts the characters that are not of ASCII.
func strange(name string) (n int) {
	for _, r := range name {
		if r >= 0x80 {
			n++
		}
	}
	return n
}

func (c *comparison) report(p place, f Finding) {
	if c.found[p.server] == nil {
		c.found[p.server] = map[int][]Finding{}
	}
	if len(c.found[p.server][p.item]) < mostInItem {
		c.found[p.server][p.item] = append(c.found[p.server][p.item], f)
	}
}

// name looks for the same name, or one that looks the same, at another server.
func (c *comparison) name(i, j int) {
	p := place{i, j}
	it := c.at(p)
	if it.Exposed == "" {
		return
	}
	if first := c.exposed[it.Exposed][0]; first.server < i && !c.servers[i].OnConflict {
		c.report(p, Finding{SameName, "/name", fmt.Sprintf("%q is a name of server %s", ascii(it.Exposed, 60), c.servers[first.server].Name)})
	}
	for _, look := range skeletons(it.Exposed) {
		for _, other := range c.looks[look] {
			name := c.at(other).Exposed
			if other.server == i || name == it.Exposed {
				continue
			}
			if s, t := strange(it.Exposed), strange(name); s > t || s == t && i > other.server {
				c.report(p, Finding{Lookalike, "/name", fmt.Sprintf("%q looks like %q of server %s", ascii(it.Exposed, 60), ascii(name, 60), c.servers[other.server].Name)})
				return
			}
		}
	}
}

// text looks for the names of other servers' tools in the descriptions.
func (c *comparison) text(i, j int) {
	p := place{i, j}
	told := map[string]bool{}
	for _, m := range c.at(p).Result.mentions {
		if told[m.name] {
			continue
		}
		told[m.name] = true
		for _, places := range [][]place{c.exposed[m.name], c.own[m.name]} {
			if len(places) == 0 || slices.ContainsFunc(places, func(o place) bool { return o.server == i }) {
				continue // nobody's, or (also) its own server's
			}
			c.report(p, Finding{Shadowing, m.where, fmt.Sprintf("names %q of server %s", ascii(m.name, 60), c.servers[places[0].server].Name)})
			break
		}
	}
}
