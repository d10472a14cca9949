package policy

import (
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

const (
	// longest is the size of an expression in characters, mostNodes in nodes of its
	// tree with all macros expanded, mostNested how deep its loops are.
	longest    = 4096
	mostNodes  = 2000
	mostNested = 2
	// largestRegex bounds a compiled regular expression, in instructions.
	largestRegex = 1000
	// mostCost ends an evaluation whose cost a client can drive up: some ten
	// milliseconds.
	mostCost = 200_000
)

// read is a set of variables that an expression reads.
type read uint8

const (
	readServer read = 1 << iota
	readKind
	readName
	readURI
	readHints
	readArguments
	readEndpoint
	readPrincipal
)

// variables of expressions, see the package comment.
var variables = map[string]struct {
	read read
	kind *cel.Type
}{
	"principal.issuer":            {readPrincipal, cel.StringType},
	"principal.subject":           {readPrincipal, cel.StringType},
	"principal.client":            {readPrincipal, cel.StringType},
	"principal.scopes":            {readPrincipal, cel.ListType(cel.StringType)},
	"principal.claims":            {readPrincipal, cel.MapType(cel.StringType, cel.DynType)},
	"server":                      {readServer, cel.StringType},
	"kind":                        {readKind, cel.StringType},
	"name":                        {readName, cel.StringType},
	"uri":                         {readURI, cel.StringType},
	"endpoint":                    {readEndpoint, cel.StringType},
	"arguments":                   {readArguments, cel.MapType(cel.StringType, cel.DynType)},
	"annotations.readOnlyHint":    {readHints, cel.BoolType},
	"annotations.destructiveHint": {readHints, cel.BoolType},
	"annotations.idempotentHint":  {readHints, cel.BoolType},
	"annotations.openWorldHint":   {readHints, cel.BoolType},
}

// environment is made when the first rule is compiled: without rules it costs
// nothing.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(longest),
		cel.ExpressionNodeLimit(mostNodes),
		cel.RegexProgramSizeLimit(largestRegex),
		cel.ASTValidators(
			cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(), cel.ValidateComprehensionNestingLimit(mostNested),
		),
	}
	for name, v := range variables {
		options = append(options, cel.Variable(name, v.kind))
	}
	return cel.NewEnv(options...)
})

// expression is a compiled When.
type expression struct {
	reads    read
	mentions mentions
	// whole evaluates where everything is known, part where something is not.
	whole, part cel.Program
}

// compileExpression compiles a text. The error has all that is wrong with it.
func compileExpression(text string) (*expression, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("CEL is not available: %w", err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, issueError(issues)
	}
	if !checked.OutputType().IsExactType(types.BoolType) {
		return nil, fmt.Errorf("is of type %s: want one that is true or false", checked.OutputType())
	}
	e := &expression{}
	tree := ast.NavigateAST(checked.NativeRep())
	costly, err := e.read(tree)
	if err != nil {
		return nil, err
	}
	options := cel.OptOptimize
	var more []cel.ProgramOption
	if costly {
		options |= cel.OptTrackCost
		more = append(more, cel.CostLimit(mostCost))
	}
	if e.whole, err = env.Program(checked, append(more, cel.EvalOptions(options))...); err != nil {
		return nil, err
	}
	if e.part, err = env.Program(checked, append(more, cel.EvalOptions(options|cel.OptPartialEval))...); err != nil {
		return nil, err
	}
	return e, nil
}

// issueError tells what is wrong with an expression, each with its place.
func issueError(issues *cel.Issues) error {
	var all []string
	for _, e := range issues.Errors() {
		message := strings.TrimSpace(strings.ReplaceAll(e.Message, " (in container '')", ""))
		at := fmt.Sprintf("column %d", e.Location.Column()+1)
		if e.Location.Line() > 1 {
			at = fmt.Sprintf("line %d, %s", e.Location.Line(), at)
		}
		all = append(all, at+": "+message)
	}
	return fmt.Errorf("%s", strings.Join(all, "; "))
}

// read notes what the expression reads, and reports whether its cost depends on
// what clients send by more than reading that once.
func (e *expression) read(tree ast.NavigableExpr) (costly bool, err error) {
	for _, node := range ast.MatchDescendants(tree, ast.AllMatcher()) {
		switch node.Kind() {
		case ast.IdentKind:
			e.reads |= variables[node.AsIdent()].read
			e.mentions.note(node)
		case ast.ComprehensionKind:
			costly = true
		case ast.CallKind:
			call := node.AsCall()
			switch call.FunctionName() {
			case "matches":
				costly = true
				args := call.Args()
				if pattern := args[len(args)-1]; pattern.Kind() != ast.LiteralKind {
					return false, fmt.Errorf("matches: want the regular expression itself, as anything else could come from a client")
				}
			case operators.Add:
				costly = true
			}
		}
	}
	return costly, nil
}
