package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcpparam"
	"mcp-gateway/internal/resourceuri"
	"mcp-gateway/internal/toolname"
)

// Lists holds the items of one server, each the raw JSON value as it stood in
// the server's answer, in the server's order.
type Lists struct {
	Tools, Prompts, Resources, Templates [][]byte
}

// Of returns the items of a kind.
func (l *Lists) Of(k Kind) [][]byte {
	return [kinds][][]byte{l.Tools, l.Prompts, l.Resources, l.Templates}[k]
}

// Fault is an item that cannot be listed, for instance a tool without a name.
type Fault struct {
	Kind Kind
	// Index is the item's place in the server's list, from 0.
	Index  int
	Reason string
}

// Limits bound what is offered of one server.
type Limits struct {
	// Name is the longest name, see toolname.Fit.
	Name int
	// Items is how many tools there may be, and as many of each other kind; 0 means
	// any number.
	Items int
}

// Items are the items of one server under their exposed names. Immutable.
type Items struct {
	config gatewayconfig.Server
	limit  int
	lists  [kinds][]item
	hidden [kinds]int
	beyond [kinds]int
	// withheld counts items that Withhold has taken out.
	withheld [kinds]int
	faults   []Fault
	rules    *gatewayconfig.ServerRules
}

type item struct {
	name string // exposed name; exposed URI or URI template of a resource
	own  string // as the server knows it
	// prefixed is the name to take if another server claims name; empty if the
	// name is settled.
	prefixed string
	alias    bool
	// index is the place in the server's list. withheld items are offered to
	// nobody; their names stay taken if they claim them.
	index            int
	withheld, claims bool

	raw   []byte       // under name
	at    jsonrpc.Span // of the name's token in raw
	hints gatewayconfig.Hints
}

// as returns the item under another name.
func (it *item) as(name string) []byte {
	out := make([]byte, 0, len(it.raw)+len(name))
	out = append(out, it.raw[:it.at.Start]...)
	out = jsonrpc.AppendQuote(out, []byte(name))
	return append(out, it.raw[it.at.End:]...)
}

// Prepare gives the items of one server their exposed names: the alias or the
// prefix with the name for tools and prompts, the label in the URIs of resources
// and templates and in the URI of the view that a tool names in its _meta (MCP
// Apps). An item that the configuration does not admit is left out; so is one
// whose name cannot be told, and a tool that no client over HTTP may list
// (mcpparam.Valid): they become faults. Beyond the limit all the rest is left out,
// as one fault.
func Prepare(lists Lists, config gatewayconfig.Server, limits Limits) *Items {
	out := &Items{config: config, limit: limits.Name, rules: rulesOf(config)}
	for k := range kinds {
		raws := lists.Of(k)
		out.lists[k] = make([]item, 0, min(len(raws), cmp.Or(limits.Items, len(raws))))
		p := out.preparer(k)
		for i, raw := range raws {
			it, reason := p.prepare(raw)
			switch {
			case reason != "":
				out.faults = append(out.faults, Fault{Kind: k, Index: i, Reason: reason})
			case !p.admits(it.own):
				out.hidden[k]++
			case limits.Items > 0 && len(out.lists[k]) >= limits.Items:
				if out.beyond[k] == 0 {
					out.faults = append(out.faults, Fault{Kind: k, Index: i, Reason: "the server lists more than limits.itemsPerServer (" + strconv.Itoa(limits.Items) + "): this and what follows is left out"})
				}
				out.beyond[k]++
			default:
				it.index = i
				out.lists[k] = append(out.lists[k], it)
			}
		}
	}
	return out
}

// rulesOf returns what holds for names and URIs that no list has; nil for
// nothing.
func rulesOf(config gatewayconfig.Server) *gatewayconfig.ServerRules {
	names := func(i gatewayconfig.Items) gatewayconfig.Rules {
		rules := gatewayconfig.Rules{Allow: i.Allow, Deny: slices.Clone(i.Deny)}
		for _, exposed := range slices.Sorted(maps.Keys(i.Aliases)) {
			rules.Deny = append(rules.Deny, i.Aliases[exposed])
		}
		return rules
	}
	rules := gatewayconfig.ServerRules{Tools: names(config.Tools), Prompts: names(config.Prompts), Resources: config.Resources}
	for _, r := range []gatewayconfig.Rules{rules.Tools, rules.Prompts, rules.Resources} {
		if len(r.Allow)+len(r.Deny) > 0 {
			return &rules
		}
	}
	return nil
}

func (s *Items) serverRules() *gatewayconfig.ServerRules {
	if s == nil {
		return nil
	}
	return s.rules
}

// aliases maps the exposed names that are configured to the server's own.
func (s *Items) aliases(k Kind) map[string]string {
	switch {
	case s == nil:
	case k == Tools:
		return s.config.Tools.Aliases
	case k == Prompts:
		return s.config.Prompts.Aliases
	}
	return nil
}

func (s *Items) onConflict() bool { return s != nil && s.config.OnConflict }

// changes reports whether name is not what prefix and own name give.
func (s *Items) changes(k Kind, own, name string) bool {
	return (k == Tools || k == Prompts) && name != own && name != s.config.Prefix+own
}

// Hidden returns how many items the configuration does not admit.
func (s *Items) Hidden(k Kind) int {
	if s == nil {
		return 0
	}
	return s.hidden[k]
}

// Beyond returns how many items are left out because there are too many.
func (s *Items) Beyond(k Kind) int {
	if s == nil {
		return 0
	}
	return s.beyond[k]
}

// Faults returns the items that were left out.
func (s *Items) Faults() []Fault {
	if s == nil {
		return nil
	}
	return s.faults
}

// Count returns the number of items that can be listed.
func (s *Items) Count(k Kind) int { return len(s.of(k)) - s.Withheld(k) }

func (s *Items) of(k Kind) []item {
	if s == nil {
		return nil
	}
	return s.lists[k]
}

// preparer prepares the items of one kind.
type preparer struct {
	kind    Kind
	config  *gatewayconfig.Server
	limit   int
	rules   *glob.Rules
	aliases map[string]string // own name to exposed name
}

func (s *Items) preparer(k Kind) *preparer {
	p := &preparer{kind: k, config: &s.config, limit: s.limit}
	rules := s.config.Resources
	switch k {
	case Tools:
		rules = s.config.Tools.Rules
	case Prompts:
		rules = s.config.Prompts.Rules
	}
	p.rules = glob.New(rules.Allow, rules.Deny)
	if aliases := s.aliases(k); len(aliases) > 0 {
		p.aliases = make(map[string]string, len(aliases))
		for exposed, own := range aliases {
			p.aliases[own] = exposed
		}
	}
	return p
}

func (p *preparer) admits(own string) bool {
	if p.kind == Tools || p.kind == Prompts {
		return p.rules.Admits([]byte(own))
	}
	return p.rules.AdmitsURI([]byte(own), []byte(own))
}

func (p *preparer) prepare(raw []byte) (item, string) {
	located := func(it *item) { it.name = resourceuri.Join(p.config.Label, it.own) }
	s := splicer{raw: raw}
	switch p.kind {
	case Tools:
		it, reason := s.item("name", p.named, p.config.Label)
		it.hints = hintsOf(s.annotations.Of(raw))
		if err := mcpparam.Valid(s.schema.Of(raw)); reason == "" && err != nil {
			return item{}, err.Error()
		}
		return it, reason
	case Prompts:
		return s.item("name", p.named, "")
	case Resources:
		return s.item("uri", located, "")
	default:
		return s.item("uriTemplate", located, "")
	}
}

// named sets the exposed name of a tool or prompt.
func (p *preparer) named(it *item) {
	if exposed, ok := p.aliases[it.own]; ok {
		it.name, it.alias = exposed, true
		return
	}
	prefixed := toolname.Fit(p.config.Prefix+it.own, p.limit)
	if !p.config.OnConflict {
		it.name = prefixed
		return
	}
	if it.name = toolname.Fit(it.own, p.limit); it.name != prefixed {
		it.prefixed = prefixed
	}
}
