package policy

import (
	"encoding/json"
	"slices"
	"strconv"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"mcp-gateway/internal/principal"
)

// mentions are what rules ask of a principal. Two that are equal in it are one
// Group. And what they ask of arguments.
type mentions struct {
	issuer, subject, client, scopes bool
	// claims are single ones, allClaims that they are looked at as a whole.
	claims    []string
	allClaims bool
	// needed are the scopes that rules have, each once.
	needed []string
	asked  asked
}

// note adds what a node of an expression reads.
func (m *mentions) note(node ast.NavigableExpr) {
	switch node.AsIdent() {
	case "principal.issuer":
		m.issuer = true
	case "principal.subject":
		m.subject = true
	case "principal.client":
		m.client = true
	case "principal.scopes":
		m.scopes = true
	case "principal.claims":
		if claim, ok := memberOf(node); ok {
			m.claims = append(m.claims, claim)
		} else {
			m.allClaims = true
		}
	case "arguments":
		m.asked.note(node)
	}
}

// memberOf returns the key that is read of the map at a node, or looked for in it, if
// it is plain.
func memberOf(node ast.NavigableExpr) (string, bool) {
	parent, ok := node.Parent()
	if !ok {
		return "", false
	}
	switch parent.Kind() {
	case ast.SelectKind:
		return parent.AsSelect().FieldName(), true
	case ast.CallKind:
		args := parent.AsCall().Args()
		if len(args) != 2 {
			return "", false
		}
		of, at := args[0], args[1]
		switch parent.AsCall().FunctionName() {
		case operators.Index:
		case operators.In:
			of, at = at, of
		default:
			return "", false
		}
		if of.ID() != node.ID() || at.Kind() != ast.LiteralKind {
			return "", false
		}
		key, ok := at.AsLiteral().(types.String)
		return string(key), ok
	}
	return "", false
}

// mentionsOf returns what any of the rules asks.
func mentionsOf(rules []rule) mentions {
	var all mentions
	for i := range rules {
		all.needed = append(all.needed, rules[i].scopes...)
		if rules[i].when == nil {
			continue
		}
		m := &rules[i].when.mentions
		all.issuer, all.subject, all.client = all.issuer || m.issuer, all.subject || m.subject, all.client || m.client
		all.scopes, all.allClaims = all.scopes || m.scopes, all.allClaims || m.allClaims
		all.claims = append(all.claims, m.claims...)
		all.asked.add(m.asked)
	}
	slices.Sort(all.claims)
	all.claims = slices.Compact(all.claims)
	slices.Sort(all.needed)
	all.needed = slices.Compact(all.needed)
	return all
}

// of returns what is asked of a principal as a text: equal for those that no rule
// tells apart, and for no others.
func (m *mentions) of(who *principal.Principal) string {
	var text []byte
	add := func(s string) { text = append(strconv.AppendQuote(text, s), ',') }
	if m.issuer {
		add(who.Issuer)
	}
	if m.subject {
		add(who.Subject)
	}
	if m.client {
		add(who.Client)
	}
	if m.scopes {
		text = append(strconv.AppendInt(text, int64(len(who.Scopes)), 10), ':')
		for _, s := range who.Scopes {
			add(s)
		}
	} else {
		for _, s := range m.needed {
			text = strconv.AppendBool(text, slices.Contains(who.Scopes, s))
		}
	}
	claims := func(v any) {
		encoded, err := json.Marshal(v)
		if err != nil {
			panic("policy: what was decoded cannot be encoded: " + err.Error())
		}
		text = append(append(text, encoded...), ';')
	}
	if m.allClaims {
		claims(who.Claims)
		return string(text)
	}
	for _, name := range m.claims {
		v, ok := who.Claims[name]
		if text = strconv.AppendBool(text, ok); ok {
			claims(v)
		}
	}
	return string(text)
}
