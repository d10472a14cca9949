package policy

import (
	"fmt"
	"slices"

	"mcp-gateway/internal/gatewayconfig"
)

// Known is what rules may speak of.
type Known struct {
	// Servers and Endpoints are names, Endpoints without the gateway's own.
	Servers, Endpoints []string
	// Anonymous tells that no client has a principal.
	Anonymous bool
}

// mostTried bounds the combinations of servers and endpoints that a rule is tried
// with.
const mostTried = 10_000

// Check returns every mistake of a configuration: what does not compile, what names
// servers that there are not, and rules that can never apply.
func Check(config gatewayconfig.Authorization, known Known) []Fault {
	p, faults := compile(config, nil)
	broken := map[int]bool{}
	for _, f := range faults {
		broken[f.Rule] = broken[f.Rule] || f.Field == "when"
	}
	names := map[string]int{}
	for i := range p.rules {
		r := &p.rules[i]
		fault := func(field, format string, args ...any) {
			faults = append(faults, Fault{i, field, fmt.Sprintf(format, args...)})
		}
		if first, taken := names[r.name]; taken && r.name != "" {
			fault("name", "%q is the name of rules[%d] already", r.name, first)
		}
		names[r.name] = i
		for j, name := range r.servers {
			if !slices.Contains(known.Servers, name) {
				fault(fmt.Sprintf("servers[%d]", j), "%q is no server", name)
			} else if slices.Contains(r.servers[:j], name) {
				fault(fmt.Sprintf("servers[%d]", j), "%q is there already", name)
			}
		}
		if known.Anonymous && len(r.scopes) > 0 {
			fault("scopes", "nobody has scopes: auth is not configured")
		}
		switch {
		case broken[i] || r.when == nil:
		case known.Anonymous && r.reads(readPrincipal):
			fault("when", "nobody is known: auth is not configured, so principal is always empty")
		default:
			if why := r.never(known); why != "" {
				fault("when", "%s", why)
			}
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return a.Rule - b.Rule })
	return faults
}

// never says why a rule can apply to nothing, or cannot be evaluated for anything;
// empty if it can. What an item is called and who asks is not looked at.
func (r *rule) never(known Known) string {
	servers, endpoints := known.Servers, []string{""}
	if len(r.servers) > 0 {
		servers = r.servers
	}
	if !r.reads(readServer) || len(servers) == 0 {
		servers = []string{""}
	}
	if r.reads(readEndpoint) {
		endpoints = append(endpoints, known.Endpoints...)
	}
	if len(servers)*len(endpoints)*int(kinds) > mostTried {
		return ""
	}
	failures, about := 0, 0
	for k := range kinds {
		if !r.about[k] {
			continue
		}
		for _, s := range servers {
			for _, e := range endpoints {
				about++
				switch r.evaluate(&question{item: &Item{Kind: k, Server: s, Endpoint: []byte(e)}, unknown: unknownRest}) {
				case yes, unknown:
					return ""
				case failed:
					failures++
				}
			}
		}
	}
	if failures == about {
		return "cannot be evaluated, whatever is asked for"
	}
	return "is false for every kind, server and endpoint that the rule is about: the rule never applies"
}
