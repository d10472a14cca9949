// Package policy decides who may use what, by the rules of
// gatewayconfig.Authorization: for a call all is known, for a list all but the
// arguments, and what arguments might still allow is listed. The filter and the
// broker both ask it, so that what is not in a list cannot be called.
//
// When of a rule is an expression of CEL (cel.dev) with these variables:
//
//	principal.issuer, .subject, .client   string, empty for who is not known
//	principal.scopes                      list of strings
//	principal.claims                      map, of the token
//	server, name, uri, endpoint           string; name is a tool's or prompt's as
//	                                      exposed, uri a resource's as clients know it
//	kind                                  "tool", "prompt" or "resource"
//	annotations.readOnlyHint, .destructiveHint, .idempotentHint, .openWorldHint   bool
//	arguments                             map, of tools/call and prompts/get; empty
//	                                      for a resource
//
// An expression that cannot be evaluated, as for want of a claim, never helps: its
// allow rule does not allow, its deny rule denies, and so does one with scopes.
//
// It is the only package that knows CEL.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"mcp-gateway/internal/gatewayconfig"
)

// Kind is what a rule can be about.
type Kind uint8

// The kinds. Templates of resources are resources.
const (
	Tool Kind = iota
	Prompt
	Resource
	kinds // how many there are
)

// String returns the kind as rules spell it.
func (k Kind) String() string { return [kinds]string{"tool", "prompt", "resource"}[k] }

// Policy is a compiled Authorization. Immutable but for its caches, and safe for
// concurrent use. The nil Policy allows everything.
type Policy struct {
	config  gatewayconfig.Authorization
	version string
	rules   []rule
	// byKind are the indexes of the rules that can be about a kind.
	byKind   [kinds][]int
	mentions mentions
	// readsArguments and readsURI are of some rule.
	readsArguments, readsURI bool
	groups                   groups
}

// Compile makes a Policy. What old, which may be nil, has compiled already is taken
// over. The error names every faulty rule.
func Compile(config gatewayconfig.Authorization, old *Policy) (*Policy, error) {
	if old != nil && reflect.DeepEqual(config, old.config) {
		return old, nil
	}
	p, faults := compile(config, old)
	var errs []error
	for _, f := range faults {
		errs = append(errs, fmt.Errorf("authorization: %w", f))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// Fault is a mistake in an Authorization.
type Fault struct {
	// Rule is the rule's index, -1 for what is not about one. Field is the name of
	// its field as configurations spell it.
	Rule    int
	Field   string
	Message string
}

// Error returns where and what it is.
func (f Fault) Error() string {
	if f.Rule < 0 {
		return f.Field + ": " + f.Message
	}
	return fmt.Sprintf("rules[%d].%s: %s", f.Rule, f.Field, f.Message)
}

func compile(config gatewayconfig.Authorization, old *Policy) (*Policy, []Fault) {
	p := &Policy{config: config, version: versionOf(config)}
	var faults []Fault
	if config.Default != gatewayconfig.Allow && config.Default != gatewayconfig.Deny {
		faults = append(faults, Fault{-1, "default", fmt.Sprintf("%q: want deny or allow", string(config.Default))})
	}
	known := map[string]*expression{"": nil}
	if old != nil {
		for i := range old.rules {
			known[old.config.Rules[i].When] = old.rules[i].when
		}
	}
	for i := range config.Rules {
		r, wrong := newRule(&config.Rules[i], known)
		for _, f := range wrong {
			f.Rule = i
			faults = append(faults, f)
		}
		p.rules = append(p.rules, r)
		for k := range kinds {
			if !r.about[k] {
				continue
			}
			p.byKind[k] = append(p.byKind[k], i)
		}
		p.readsArguments = p.readsArguments || r.reads(readArguments)
		p.readsURI = p.readsURI || r.located()
	}
	p.mentions = mentionsOf(p.rules)
	return p, faults
}

// versionOf names what is configured.
func versionOf(config gatewayconfig.Authorization) string {
	encoded, err := json.Marshal(config)
	if err != nil {
		panic("policy: strings cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:12])
}

// Version tells policies with different rules apart.
func (p *Policy) Version() string { return p.version }

// ReadsArguments reports whether some rule needs the arguments of calls.
func (p *Policy) ReadsArguments() bool { return p != nil && p.readsArguments }

// ReadsHints reports whether some rule needs the annotations of tools.
func (p *Policy) ReadsHints() bool {
	if p == nil {
		return false
	}
	for i := range p.rules {
		if p.rules[i].reads(readHints) {
			return true
		}
	}
	return false
}
