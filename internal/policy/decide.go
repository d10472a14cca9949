package policy

import (
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
)

// Outcome is what becomes of a request.
type Outcome uint8

// The outcomes. What is denied is hidden: who asks for it is told that it does not
// exist. The others are in lists.
const (
	Denied  Outcome = iota
	Allowed         // also for who has all scopes that are needed
	Lacking         // allowed to who has Decision.Scopes
	// Depends is of a question without arguments: they decide.
	Depends
)

// Permits reports whether a request may go on. What depends on arguments may, if a
// request of its kind has none.
func (o Outcome) Permits() bool { return o == Allowed || o == Depends }

// Decision is an answer of a policy.
type Decision struct {
	Outcome Outcome
	// Rule names the first rule that led to it, of Lacking the first whose scopes are
	// missing; empty where none applied.
	Rule string
	// Failed tells that a rule denied because it could not be evaluated.
	Failed bool
	// Scopes are all that are needed, of Lacking.
	Scopes []string
}

// verdict is what an expression says of an item.
type verdict uint8

const (
	no verdict = iota
	yes
	failed
	unknown // it depends on what is not known
)

// question is what an expression is evaluated with.
type question struct {
	group *Group
	item  *Item
	// arguments are raw, absent or not; known only if unknown does not say else.
	arguments []byte
	unknown   *unknowns // nil for nothing
	// any stands for every item of the kind at the server.
	any bool
	// later: what is not known has been decided upon.
	later   bool
	reading reading
}

// unknowns are variables that are not known, and what CEL knows them by.
type unknowns struct {
	read     read
	patterns []*interpreter.AttributePattern
}

func unknownsOf(what read) *unknowns {
	u := &unknowns{read: what}
	for name, v := range variables {
		if v.read&what != 0 {
			u.patterns = append(u.patterns, cel.AttributePattern(name))
		}
	}
	return u
}

// What is not known: in a list; of a server as a whole; of a group as such; where a
// rule is looked at before anybody asks.
var (
	unknownArguments = unknownsOf(readArguments)
	unknownName      = unknownsOf(readName | readURI | readHints | readArguments)
	unknownItem      = unknownsOf(^readPrincipal)
	unknownRest      = unknownsOf(^(readServer | readKind | readEndpoint))
)

// ResolveName implements cel.Activation.
func (q *question) ResolveName(name string) (any, bool) {
	g := q.group
	if g != nil {
		switch name {
		case "principal.issuer":
			return g.issuer, true
		case "principal.subject":
			return g.subject, true
		case "principal.client":
			return g.client, true
		case "principal.scopes":
			return g.scopes, true
		case "principal.claims":
			return g.claims, true
		}
	}
	switch {
	case name == "arguments":
		return q.reading.arguments(q.arguments), true
	case q.item == nil:
		return nil, false
	}
	return q.item.variable(name)
}

// Parent implements cel.Activation.
func (q *question) Parent() cel.Activation { return nil }

// AsPartialActivation tells CEL that it is one.
func (q *question) AsPartialActivation() (interpreter.PartialActivation, bool) {
	return q, q.unknown != nil
}

// UnknownAttributePatterns implements cel.PartialActivation.
func (q *question) UnknownAttributePatterns() []*interpreter.AttributePattern {
	return q.unknown.patterns
}

// evaluate returns what the rule's expression says.
func (r *rule) evaluate(q *question) verdict {
	if r.when == nil {
		return yes
	}
	program := r.when.whole
	if q.unknown != nil && r.when.reads&q.unknown.read != 0 {
		program = r.when.part // which costs several times as much
	}
	q.reading.begin()
	out, _, err := program.Eval(q)
	return verdictOf(out, err, q)
}

func verdictOf(out ref.Val, err error, q *question) verdict {
	switch {
	case q.reading.err != nil:
		return failed
	case types.IsUnknown(out):
		return unknown
	case err != nil:
		return failed
	case out == types.True:
		return yes
	case out == types.False:
		return no
	}
	return failed
}

// Static decides by all but the arguments.
func (g *Group) Static(it *Item) Decision {
	if it.Kind == Resource {
		return g.Decide(it, nil)
	}
	return g.decide(&question{group: g, item: it, unknown: unknownArguments})
}

// Later decides about what follows a call, as its task: the call was let through with
// its arguments, which are not known any more.
func (g *Group) Later(it *Item) Decision {
	return g.decide(&question{group: g, item: it, unknown: unknownArguments, later: true})
}

// Decide decides a call with these raw arguments, empty for none. A resource has
// none, whatever a client sends as such: no server looks at that.
func (g *Group) Decide(it *Item, arguments []byte) Decision {
	if it.Kind == Resource || g.policy.mentions.asked.noneIn(arguments) {
		arguments = nil
	}
	return g.ask(it, arguments)
}

// ask is Decide of arguments that may be asked for.
func (g *Group) ask(it *Item, arguments []byte) Decision {
	q := questions.Get().(*question)
	q.group, q.item, q.arguments = g, it, arguments
	d := g.decide(q)
	q.group, q.item, q.arguments = nil, nil, nil
	q.reading.end()
	questions.Put(q)
	return d
}

// questions are those of Decide between two uses: one is on the path of each call that
// a rule about arguments is asked for.
var questions = sync.Pool{New: func() any { return new(question) }}

// Reaches reports whether there can be anything of a server that the group may use
// at an endpoint.
func (g *Group) Reaches(server string, endpoint []byte, of ...Kind) bool {
	for _, k := range of {
		it := &Item{Kind: k, Server: server, Endpoint: endpoint}
		if g.decide(&question{group: g, item: it, unknown: unknownName, any: true}).Outcome != Denied {
			return true
		}
	}
	return false
}

func (g *Group) decide(q *question) Decision {
	var by Decision
	lacks := "" // the first rule whose scopes are missing
	allowed := g.policy.config.Default == gatewayconfig.Allow
	mayAllow, mayRefuse := false, false
	for _, i := range g.policy.byKind[q.item.Kind] {
		r := &g.policy.rules[i]
		restricts := r.deny || len(r.scopes) > 0
		v := g.judge(i, q)
		switch {
		case v == no:
		case v == unknown:
			mayAllow, mayRefuse = mayAllow || !r.deny, mayRefuse || restricts
		case r.deny, v == failed && restricts:
			return Decision{Outcome: Denied, Rule: r.name, Failed: v == failed}
		case v == failed:
			by.Failed = true
		default:
			if by.Rule == "" {
				by.Rule = r.name
			}
			if lacks == "" && !g.who.HasScopes(r.scopes) {
				lacks = r.name
			}
			allowed = true
			by.Scopes = append(by.Scopes, r.scopes...)
		}
	}
	switch {
	case !allowed && !mayAllow:
		return Decision{Outcome: Denied, Failed: by.Failed}
	case (mayRefuse || !allowed) && !q.later:
		return Decision{Outcome: Depends}
	case lacks == "":
		return Decision{Outcome: Allowed, Rule: by.Rule}
	}
	slices.Sort(by.Scopes)
	return Decision{Outcome: Lacking, Rule: lacks, Scopes: slices.Compact(by.Scopes)}
}

// judge returns whether the rule at an index applies.
func (g *Group) judge(i int, q *question) verdict {
	r := &g.policy.rules[i]
	about := r.matches(q.item, q.any)
	v := g.settled[i]
	if about == no || v == no {
		return no
	}
	if v == unknown {
		// Of a URI that is not plain nobody can say what it is.
		if q.item.Kind == Resource && !q.any && r.reads(readURI) && !glob.Plain(q.item.Own) {
			return failed
		}
		v = r.evaluate(q)
	}
	if about != yes && v != no {
		return about
	}
	return v
}
