package policy

import (
	"fmt"
	"regexp"
	"slices"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
)

var (
	ruleName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`)
	// scopeToken is a scope of RFC 6749 section 3.3.
	scopeToken = regexp.MustCompile(`^[!#-\[\]-~]{1,256}$`)
)

// rule is a compiled gatewayconfig.AccessRule.
type rule struct {
	name    string
	deny    bool
	about   [kinds]bool
	servers []string // none means all
	// patterns admit the names or URIs that the rule is about; nil for all.
	patterns [kinds]*glob.Rules
	// strict refuses, of a rule that restricts, every URI that some server may take
	// for one that the rule is about; nil for none.
	strict *glob.Rules
	when   *expression // nil for always
	scopes []string
}

func (r *rule) reads(what read) bool { return r.when != nil && r.when.reads&what != 0 }

// located reports whether the rule looks at URIs.
func (r *rule) located() bool { return r.patterns[Resource] != nil || r.reads(readURI) }

// newRule compiles a rule. known are expressions that are compiled already, by
// their texts; it is added to.
func newRule(c *gatewayconfig.AccessRule, known map[string]*expression) (rule, []Fault) {
	var faults []Fault
	fault := func(field, format string, args ...any) {
		faults = append(faults, Fault{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	r := rule{name: c.Name, deny: c.Effect == gatewayconfig.Deny, servers: c.Servers, scopes: c.Scopes}
	if !ruleName.MatchString(c.Name) {
		fault("name", "%q: want 1 to 63 letters, digits, dots, hyphens or underscores, beginning with a letter or digit", c.Name)
	}
	if c.Effect != gatewayconfig.Allow && c.Effect != gatewayconfig.Deny {
		fault("effect", "%q: want allow or deny", string(c.Effect))
	}
	all := c.Tools == nil && c.Prompts == nil && c.Resources == nil
	for k, patterns := range [kinds][]string{c.Tools, c.Prompts, c.Resources} {
		r.about[k] = all || patterns != nil
		r.patterns[k] = glob.New(patterns, nil)
	}
	if c.Resources != nil && (r.deny || len(c.Scopes) > 0) {
		r.strict = glob.New(nil, c.Resources)
	}
	for i, s := range c.Scopes {
		switch {
		case !scopeToken.MatchString(s):
			fault(fmt.Sprintf("scopes[%d]", i), "%q is no scope: want printable ASCII without spaces, quotes and backslashes", s)
		case slices.Contains(c.Scopes[:i], s):
			fault(fmt.Sprintf("scopes[%d]", i), "%q is there already", s)
		}
	}
	if r.deny && len(c.Scopes) > 0 {
		fault("scopes", "a deny rule has none: to deny who lacks a scope write when: '!(\"...\" in principal.scopes)'")
	}
	when, compiled := known[c.When]
	if !compiled {
		var err error
		if when, err = compileExpression(c.When); err != nil {
			fault("when", "%v", err)
			return r, faults
		}
		known[c.When] = when
	}
	r.when = when
	return r, faults
}

// matches returns whether the rule is about an item of a kind that it can be about,
// as far as its servers and patterns say: unknown if any stands for all items of a
// server and there are patterns, failed for a URI that may be another's spelling.
func (r *rule) matches(it *Item, any bool) verdict {
	if len(r.servers) > 0 && !slices.Contains(r.servers, it.Server) {
		return no
	}
	about := r.patterns[it.Kind]
	switch {
	case about == nil:
		return yes
	case any:
		return unknown
	case it.Kind != Resource:
		return verdictIf(about.Admits(it.Name))
	case about.AdmitsURI(it.URI, it.Own):
		return yes
	case r.strict != nil && !r.strict.AdmitsURI(it.URI, it.Own):
		return failed
	}
	return no
}

func verdictIf(b bool) verdict {
	if b {
		return yes
	}
	return no
}
