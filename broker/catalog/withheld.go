package catalog

import (
	"slices"

	"mcp-gateway/internal/gatewayconfig"
)

// Withheld are items that are offered to nobody, by the places in their server's
// lists. True for one whose name stays taken, since clients know it as this
// server's: no other item may come into its place.
type Withheld map[Kind]map[int]bool

// Withhold returns s without what is withheld; s itself if that is nothing.
func (s *Items) Withhold(w Withheld) *Items {
	if s == nil || len(w) == 0 {
		return s
	}
	out := *s
	var denied [kinds][]string
	for k, places := range w {
		out.lists[k] = slices.Clone(s.lists[k])
		for i := range out.lists[k] {
			it := &out.lists[k][i]
			it.claims, it.withheld = places[it.index], false
			if _, ok := places[it.index]; ok {
				it.withheld = true
				out.withheld[k]++
				denied[k] = append(denied[k], it.own)
			}
		}
	}
	out.rules = denying(s.rules, denied[Tools], denied[Prompts])
	return &out
}

// denying adds names to rules: a server that offers all it has would be asked for
// the completion of whatever a client names.
func denying(rules *gatewayconfig.ServerRules, tools, prompts []string) *gatewayconfig.ServerRules {
	if len(tools)+len(prompts) == 0 {
		return rules
	}
	var out gatewayconfig.ServerRules
	if rules != nil {
		out = *rules
	}
	out.Tools.Deny = slices.Concat(out.Tools.Deny, tools)
	out.Prompts.Deny = slices.Concat(out.Prompts.Deny, prompts)
	return &out
}

// Withheld returns how many items of a kind are withheld.
func (s *Items) Withheld(k Kind) int {
	if s == nil {
		return 0
	}
	return s.withheld[k]
}

// Each calls f for the items of a kind that can be listed, withheld ones too: with
// the place in the server's list, the server's name for it and the exposed one, as
// long as no other server claims that.
func (s *Items) Each(k Kind, f func(index int, own, exposed string)) {
	for i := range s.of(k) {
		it := &s.of(k)[i]
		f(it.index, it.own, it.name)
	}
}
