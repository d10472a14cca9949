package gateway

import (
	"slices"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
	"mcp-gateway/internal/policy"
	"mcp-gateway/internal/resourceuri"
)

// maxRules bounds the rules of an authorization: each is tried for each item that
// somebody is shown for the first time.
const maxRules = 500

func (v *validation) authorization(g *Gateway) {
	a := g.Authorization
	if a == nil {
		return
	}
	const at = "authorization"
	if len(a.Rules) > maxRules {
		v.errorf(at+".rules", "has more than %d", maxRules)
		return
	}
	if len(a.Rules) == 0 && a.Default == gatewayconfig.Deny {
		v.warnf(at, "has no rules: everything is hidden from everybody")
	}
	known := policy.Known{Anonymous: g.Auth == nil}
	labels := map[string]bool{}
	for i := range g.Servers {
		known.Servers = append(known.Servers, g.Servers[i].Name)
		if label, err := resourceuri.Label(g.Servers[i].Name); err == nil {
			labels[label] = true
		}
	}
	for i := range g.VirtualServers {
		known.Endpoints = append(known.Endpoints, g.VirtualServers[i].Name)
	}
	for _, f := range policy.Check(*a, known) {
		switch {
		case f.Rule < 0:
			v.errorf(at+"."+f.Field, "%s", f.Message)
		default:
			v.errorf(index(at+".rules", f.Rule)+"."+f.Field, "%s", f.Message)
		}
	}
	for i := range a.Rules {
		v.accessRule(g, &a.Rules[i], index(at+".rules", i), labels)
	}
}

// accessRule checks the patterns of a rule.
func (v *validation) accessRule(g *Gateway, r *gatewayconfig.AccessRule, at string, labels map[string]bool) {
	if r.Servers != nil && len(r.Servers) == 0 {
		v.errorf(at+".servers", "names nothing: leave it out for all")
	}
	if r.Scopes != nil && len(r.Scopes) == 0 {
		v.errorf(at+".scopes", "names nothing: leave it out for none")
	}
	for _, list := range []struct {
		at       string
		patterns []string
		aliases  func(*Server) map[string]string
	}{
		{at + ".tools", r.Tools, func(s *Server) map[string]string { return s.Tools.Aliases }},
		{at + ".prompts", r.Prompts, func(s *Server) map[string]string { return s.Prompts.Aliases }},
	} {
		v.patterns(list.patterns, list.at)
		for i, p := range list.patterns {
			if p != "" && len(g.Servers) > 0 && !g.canBeNamed(p, r.Servers, list.aliases) {
				v.warnf(index(list.at, i), "%q matches no name: that of each item of the rule's servers begins with their prefix", p)
			}
		}
	}
	v.patterns(r.Resources, at+".resources")
	v.resourcePatterns(r.Resources, at+".resources", labels)
}

// patterns checks a list of patterns in which there must be one, if it is there.
func (v *validation) patterns(patterns []string, at string) {
	if patterns != nil && len(patterns) == 0 {
		v.errorf(at, "names nothing: leave it out for all, or write ['*']")
	}
	v.patternList(patterns, at)
}

// canBeNamed reports whether an item of one of the servers, of all if there are
// none, can have a name that the pattern matches, as far as prefixes tell.
func (g *Gateway) canBeNamed(pattern string, servers []string, aliases func(*Server) map[string]string) bool {
	head, _, starred := strings.Cut(pattern, "*")
	rules := glob.New([]string{pattern}, nil)
	for i := range g.Servers {
		s := &g.Servers[i]
		if len(servers) > 0 && !slices.Contains(servers, s.Name) {
			continue
		}
		prefix := s.EffectivePrefix()
		if s.PrefixPolicy == PrefixOnConflict || strings.HasPrefix(head, prefix) || starred && strings.HasPrefix(prefix, head) {
			return true
		}
		for exposed := range aliases(s) {
			if rules.Admits([]byte(exposed)) {
				return true
			}
		}
	}
	return false
}
