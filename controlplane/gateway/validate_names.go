package gateway

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
	"mcp-gateway/internal/resourceuri"
	"mcp-gateway/internal/toolname"
)

// aliasName is what model providers take as a name.
var aliasName = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// lists checks what holds for all names and lists.
func (v *validation) lists(g *Gateway) {
	if g.NameLength != 0 && (g.NameLength < toolname.MinLimit || g.NameLength > maxName) {
		v.errorf("gateway.nameLength", "%d: want %d to %d, or 0 for no limit", g.NameLength, toolname.MinLimit, maxName)
	}
	if g.PageSize < 0 || g.PageSize > maxPage {
		v.errorf("gateway.pageSize", "%d: want up to %d, or 0 for one page", g.PageSize, maxPage)
	}
	v.partial("gateway.partial", g.Partial, false)
	if g.Sessionless != SessionlessRefuse && g.Sessionless != SessionlessPooled {
		v.errorf("gateway.sessionless", "%q: want refuse or pooled", g.Sessionless)
	}
}

func (v *validation) partial(at string, p gatewayconfig.Partial, none bool) {
	switch p {
	case gatewayconfig.PartialStale, gatewayconfig.PartialSkip, gatewayconfig.PartialFail:
	default:
		if p != "" || !none {
			v.errorf(at, "%q: want stale, skip or fail", string(p))
		}
	}
}

// names checks how a server's items are called, and which are offered.
func (v *validation) names(g *Gateway, s *Server, at string) {
	used, longest := s.EffectivePrefix(), maxPrefix
	if g.NameLength >= toolname.MinLimit {
		longest = min(longest, g.NameLength-prefixRoom)
	}
	switch {
	case !prefix.MatchString(s.Prefix):
		v.errorf(at+".prefix", "%q: want letters, digits, underscores, dots and hyphens only", s.Prefix)
	case len(used) > longest && s.Prefix == "":
		v.errorf(at+".prefix", "is missing: the server's name with an underscore is longer than %d characters", longest)
	case len(used) > longest:
		v.errorf(at+".prefix", "is longer than %d characters", longest)
	}
	switch s.PrefixPolicy {
	case "", PrefixAlways, PrefixOnConflict:
	case PrefixNever:
		if s.Prefix != "" {
			v.errorf(at+".prefixPolicy", "never contradicts prefix: keep one of the two")
		}
	default:
		v.errorf(at+".prefixPolicy", "%q: want always, on-conflict or never", string(s.PrefixPolicy))
	}
	v.items(g, &s.Tools, at+".tools")
	v.items(g, &s.Prompts, at+".prompts")
	v.resources(s.Resources, at+".resources", nil)
	v.partial(at+".partial", s.Partial, true)
}

func (v *validation) items(g *Gateway, items *Items, at string) {
	v.rules(items.Rules, at)
	rules := glob.New(items.Allow, items.Deny)
	owners := map[string]string{}
	for _, exposed := range slices.Sorted(maps.Keys(items.Aliases)) {
		here, own := at+".aliases."+exposed, items.Aliases[exposed]
		first, taken := owners[own]
		switch {
		case !aliasName.MatchString(exposed):
			v.errorf(at+".aliases", "%q: want letters, digits, underscores, dots and hyphens only", exposed)
		case g.NameLength > 0 && len(exposed) > g.NameLength:
			v.errorf(here, "is longer than gateway.nameLength, %d characters", g.NameLength)
		case own == "":
			v.errorf(here, "names nothing: want the server's own name")
		case strings.Contains(own, "*"):
			v.errorf(here, "%q: want one name, not a pattern", own)
		case taken:
			v.errorf(here, "%q is %s already: one alias for each", own, first)
		case !rules.Admits([]byte(own)):
			v.errorf(here, "%q is not admitted by allow and deny", own)
		}
		owners[own] = exposed
	}
}

func (v *validation) rules(r Rules, at string) {
	if r.Allow != nil && len(r.Allow) == 0 {
		v.errorf(at+".allow", "allows nothing: leave it out to allow all, or write deny: ['*']")
	}
	for _, list := range []struct {
		at       string
		patterns []string
	}{{at + ".allow", r.Allow}, {at + ".deny", r.Deny}} {
		v.patternList(list.patterns, list.at)
	}
}

func (v *validation) patternList(patterns []string, at string) {
	if len(patterns) > maxPatterns {
		v.errorf(at, "has more than %d patterns", maxPatterns)
	}
	for i, p := range patterns {
		if p == "" {
			v.errorf(index(at, i), "is empty")
		}
	}
}

// resources checks rules for URIs, which may have one of the labels.
func (v *validation) resources(r Rules, at string, labels map[string]bool) {
	v.rules(r, at)
	v.resourcePatterns(r.Allow, at+".allow", labels)
	v.resourcePatterns(r.Deny, at+".deny", labels)
}

func (v *validation) resourcePatterns(patterns []string, at string, labels map[string]bool) {
	for i, p := range patterns {
		label, own := "", p
		if l, rest, ok := resourceuri.Split(p); ok && labels[l] {
			label, own = l, rest
		}
		if p == "" || own == "" || glob.CanMatch(own) {
			continue
		}
		if plain, ok := glob.Suggest(own); ok {
			v.errorf(index(at, i), "%q matches no plain URI: write %q", p, resourceuri.Join(label, plain))
			continue
		}
		v.errorf(index(at, i), "%q matches no plain URI: want scheme:///path or scheme://host/path,"+
			" scheme and host in lower case, no user, default port, fragment, empty or dot segment, only those escapes that are needed (%%20, %%C3%%BC)", p)
	}
}

// aliases looks for one name that two servers give away.
func (v *validation) aliases(servers []Server) {
	for _, kind := range []struct {
		key string
		of  func(*Server) map[string]string
	}{
		{".tools", func(s *Server) map[string]string { return s.Tools.Aliases }},
		{".prompts", func(s *Server) map[string]string { return s.Prompts.Aliases }},
	} {
		owners := map[string]int{}
		for i := range servers {
			if !servers[i].Enabled {
				continue
			}
			for _, exposed := range slices.Sorted(maps.Keys(kind.of(&servers[i]))) {
				if j, taken := owners[exposed]; taken {
					v.errorf(index("servers", i)+kind.key+".aliases."+exposed, "is an alias of %q (servers[%d]) already", servers[j].Name, j)
					continue
				}
				owners[exposed] = i
			}
		}
	}
}

func (v *validation) virtualServers(g *Gateway) {
	known := map[string]bool{}
	for i := range g.Servers {
		known[g.Servers[i].Name] = true
	}
	labels := map[string]bool{}
	for i := range g.Servers {
		if label, err := resourceuri.Label(g.Servers[i].Name); err == nil {
			labels[label] = true
		}
	}
	names := map[string]int{}
	for i := range g.VirtualServers {
		s, at := &g.VirtualServers[i], index("virtualServers", i)
		first, taken := names[s.Name]
		switch {
		case s.Name == "":
			v.errorf(at+".name", "is missing")
		case !gatewayconfig.IsViewName(s.Name):
			v.errorf(at+".name", "%q is part of a path: want 1 to 63 letters, digits, dots, hyphens or underscores, beginning with a letter or digit", s.Name)
		case gatewayconfig.IsReservedView(s.Name):
			v.errorf(at+".name", "%q is taken: clients of the HTTP+SSE transport use that path", s.Name)
		case strings.TrimSuffix(g.Path, "/")+"/"+s.Name == g.StreamPath():
			v.errorf(at+".name", "%q is taken: its path is gateway.ssePath", s.Name)
		case taken:
			v.errorf(at+".name", "%q is the name of virtualServers[%d] already", s.Name, first)
		}
		names[s.Name] = i
		if s.Servers != nil && len(s.Servers) == 0 {
			v.errorf(at+".servers", "shows nothing: leave it out to show all")
		}
		for j, name := range s.Servers {
			switch {
			case !known[name]:
				v.errorf(index(at+".servers", j), "%q is no server", name)
			case slices.Contains(s.Servers[:j], name):
				v.errorf(index(at+".servers", j), "%q is there already", name)
			}
		}
		v.rules(s.Tools, at+".tools")
		v.rules(s.Prompts, at+".prompts")
		v.resources(s.Resources, at+".resources", labels)
	}
}
