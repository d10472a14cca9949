package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

// verdictOn evaluates an expression with arguments.
func verdictOn(t testing.TB, when, arguments string) verdict {
	t.Helper()
	e, err := compileExpression(when)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	return (&rule{when: e}).evaluate(&question{item: tool("a"), arguments: []byte(arguments)})
}

// several is the members k<from> to k<to>, each with its number.
func several(from, to int) string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf(`"k%d":%d`, i, i))
	}
	return strings.Join(all, ",")
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		when, arguments string
		want            verdict
	}{
		{`arguments.a == 1`, `{"a":1}`, yes},
		{`arguments.a == 1`, `{"a":1.0}`, yes},
		{`arguments.a == 1.0`, `{"a":1}`, yes},
		{`arguments.a < 1.5`, `{"a":1}`, yes},
		{`arguments.a == "x"`, `{"\u0061":"\u0078"}`, yes},
		{`arguments.a == true`, `{"a":true}`, yes},
		{`arguments.a == null`, `{"a":null}`, yes},
		{`arguments.a.b.c[1] == 2`, `{"a":{"b":{"c":[1,2]}}}`, yes},
		{`arguments.a.exists(x, x == "q")`, `{"a":["p","q"]}`, yes},
		{`"a" in arguments`, `{"a":1}`, yes},
		{`"b" in arguments`, `{"a":1}`, no},
		{`has(arguments.a) && !has(arguments.b)`, `{"a":1}`, yes},
		{`size(arguments) == 2`, `{"a":1,"b":2}`, yes},
		{`arguments.all(k, k in ["a", "b"])`, `{"a":1,"b":2}`, yes},
		{`arguments.all(k, k in ["a", "b"])`, `{"a":1,"c":2}`, no},
		{`arguments == {"a": 1}`, `{"a":1}`, yes},
		{`arguments.a == {"b": [1]}`, `{"a":{"b":[1]}}`, yes},
		{`arguments == {}`, ``, yes},
		{`arguments == {}`, `null`, yes},
		{`arguments.a.matches("^x{2}$")`, `{"a":"xx"}`, yes},
		{`string(arguments.a) == "1"`, `{"a":1}`, yes},
		// No such thing.
		{`arguments.b == 1`, `{"a":1}`, failed},
		{`arguments.a.b == 1`, `{"a":1}`, failed},
		{`arguments.a > "x"`, `{"a":1}`, failed},
		{`arguments.a == 1`, `[1]`, failed},
		{`arguments.a == 1`, `"a"`, failed},
		// Two keys that are one to some parser.
		{`arguments.a == 1`, `{"a":1,"a":1}`, failed},
		{`arguments.a == 1`, `{"a":1,"\u0061":2}`, failed},
		{`arguments.a == 1`, `{"a":1,"A":2}`, failed},
		{`arguments.a == 1`, `{"a":1,"b":2,"B":3}`, failed},
		{`arguments.k == 1`, `{"k":1,"K":2}`, failed}, // the Kelvin sign
		{`arguments.i == 1`, `{"i":1,"ı":2}`, failed},
		{`arguments.s == 1 || true`, `{"s":1,"ſ":2}`, failed},
		{`!has(arguments.a)`, `{"A":1}`, failed},
		{`!("a" in arguments)`, `{"A":1}`, failed},
		{`has(arguments.dryRun)`, `{"DryRun":true}`, failed},
		{`arguments["a"] == 1`, `{"A":1}`, failed},
		{`arguments.a == 1`, `{"A":1}`, failed},
		{`arguments.a.b == 1`, `{"a":{"b":1,"B":2}}`, failed},
		{`size(arguments) == 2`, `{"a":1,"A":2}`, failed},
		{`arguments.exists(k, k == "a")`, `{"a":1,"A":2}`, failed},
		{`"x" in arguments || "k1" in arguments`, `{"k1":1,` + several(2, 30) + `,"K2":0}`, failed},
		{`!("x" in arguments) && arguments.k29 == 29`, `{` + several(1, 30) + `}`, yes},
		{`true || arguments.a == 1`, `{"a":1,"a":1}`, yes},
		// What is not looked at does not decide.
		{`arguments.a == 1`, `{"a":1,"b":{"c":1,"c":2}}`, yes},
		{`arguments.a == 1`, `{"a":1,"b":1e999}`, yes},
		// Numbers that are not the same to all.
		{`arguments.a > 0`, `{"a":9007199254740991}`, yes},
		{`arguments.a > 0`, `{"a":9007199254740993}`, failed},
		{`arguments.a < 0`, `{"a":-9007199254740993}`, failed},
		{`arguments.a > 0`, `{"a":18446744073709551615}`, failed},
		{`arguments.a > 0`, `{"a":99999999999999999999999}`, failed},
		{`arguments.a > 0`, `{"a":1e999}`, failed},
		{`arguments.a == 0`, `{"a":1e-999}`, failed},
		{`arguments.a >= 0`, `{"a":5e-324}`, failed},
		{`arguments.a < 7`, `{"a":6.9999999999999999999}`, failed},
		{`arguments.a < 7`, `{"a":6.5}`, yes},
		{`arguments.a > 0.3`, `{"a":0.30000000000000004}`, yes},
		{`arguments.a > 0`, `{"a":1e21}`, yes},
		{`arguments.a == 0`, `{"a":0.000}`, yes},
		{`arguments.a == 0`, `{"a":-0}`, yes},
		{`arguments.a[0] == 1`, `{"a":[1,1e999]}`, failed},
		// No conversion makes up what is not there.
		{`arguments.a == 1`, `{"a":"1"}`, no},
		{`arguments.a == true`, `{"a":"true"}`, no},
	} {
		if got := verdictOn(t, test.when, test.arguments); got != test.want {
			t.Errorf("%s with %s: %d, want %d", test.when, test.arguments, got, test.want)
		}
	}
}

// A decision knows nothing of the arguments of the one before, in whose memory it is
// made.
func TestArgumentsAreForgotten(t *testing.T) {
	t.Parallel()
	p := compiled(t, deny, gatewayconfig.AccessRule{When: `!("days" in arguments && arguments.days > 7) && size(arguments) < 20`})
	g := p.Group(nil)
	for range 3 {
		for arguments, want := range map[string]Outcome{
			`{"days":9}`: Denied, `{"id":1}`: Allowed, `{}`: Allowed, ``: Allowed, `{"id":1,"\u0064ays":9}`: Denied, `{"id":1,"days":7}`: Allowed,
			`[]`: Denied, `{` + several(1, 17) + `}`: Allowed, `{` + several(1, 17) + `,"days":8}`: Denied, `{` + several(1, 20) + `}`: Denied,
			`{"id":1,"ID":2}`: Denied,
		} {
			if d := g.Decide(tool("a"), []byte(arguments)); d.Outcome != want {
				t.Errorf("%s: %v, want %v", arguments, d.Outcome, want)
			}
		}
	}
}

// Keys are one in the same way whether there are few of them or many.
func FuzzFold(f *testing.F) {
	for _, pair := range [][2]string{{"a", "A"}, {"a", "ab"}, {"k", "\u212a"}, {"@", "`"}, {"s", "\u017f"}, {"xi", "X\u0131"}, {"", ""}, {"\u0130", "i"}, {"[", "{"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		same := fold([]byte(a)) == fold([]byte(b))
		if sameFolded([]byte(a), []byte(b)) != same || sameFolded([]byte(b), []byte(a)) != same {
			t.Errorf("%q and %q: %v", a, b, !same)
		}
		if strings.EqualFold(a, b) && !same {
			t.Errorf("%q and %q are one to encoding/json", a, b)
		}
	})
}

// What is large is not looked at, and what costs too much is not finished: both
// deny.
func TestArgumentsAreBounded(t *testing.T) {
	t.Parallel()
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", mostMembers), ",") + "]"
	if got := verdictOn(t, `size(arguments.a) == 10000`, `{"a":`+list+`}`); got != yes {
		t.Errorf("a list that is just short enough: %d", got)
	}
	if got := verdictOn(t, `size(arguments.a) > 0`, `{"a":[0,`+list[1:]+`}`); got != failed {
		t.Errorf("a list that is too long: %d", got)
	}
	many := map[string]int{}
	for i := range mostMembers + 1 {
		many[strings.Repeat("a", i%100)+string(rune('A'+i%26))+string(rune(0x4e00+i))] = i
	}
	encoded, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	if got := verdictOn(t, `!has(arguments.b)`, string(encoded)); got != failed {
		t.Errorf("an object with too many keys: %d", got)
	}
	if got := verdictOn(t, `arguments.a.all(x, arguments.a.all(y, x == y))`, `{"a":`+list+`}`); got != failed {
		t.Errorf("a loop in a loop over a long list: %d", got)
	}
	if got := verdictOn(t, `arguments.a.matches("(x+x+)+y")`, `{"a":"`+strings.Repeat("x", 1<<21)+`"}`); got != failed {
		t.Errorf("a regular expression on a long text: %d", got)
	}
}

func TestExpressionsThatDoNotCompile(t *testing.T) {
	t.Parallel()
	for when, want := range map[string]string{
		`principal.scope == "x"`:          "column 10: undeclared reference to 'principal.scope' (did you mean 'principal.scopes'?)",
		`"x" in principal.scopes && nme`:  "column 28: undeclared reference to 'nme'",
		"true &&\n  nme":                  "line 2, column 3: undeclared reference",
		`principal.scopes == "x"`:         "no matching overload",
		`name`:                            "is of type string: want one that is true or false",
		`principal.claims.admin`:          "is of type dyn",
		`name ==`:                         "Syntax error",
		`name.matches("(")`:               "invalid matches argument",
		`name.matches(principal.subject)`: "want the regular expression itself",
		`name.matches("((((a|b)*c|d)*e|f)` + strings.Repeat(`x?y`, 300) + `")`: "invalid matches argument",
		`[1].all(a, [1].all(b, [1].all(c, a == b && b == c)))`:                 "nesting",
		`"` + strings.Repeat("x", longest) + `" == name`:                       "size exceeds",
		`a == 1 && b == 2`: "'a'",
		`a == 2 && b == 1`: "'b'",
	} {
		_, err := compileExpression(when)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", when, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	known := Known{Servers: []string{"cal", "mail"}, Endpoints: []string{"travel"}}
	for _, test := range []struct {
		rule gatewayconfig.AccessRule
		want string // empty for no fault
	}{
		{gatewayconfig.AccessRule{When: `name == "x" && uri != "" && arguments.x == 1`}, ""},
		{gatewayconfig.AccessRule{When: `server == "cal"`}, ""},
		{gatewayconfig.AccessRule{When: `endpoint == "travel"`}, ""},
		{gatewayconfig.AccessRule{When: `endpoint == ""`}, ""},
		{gatewayconfig.AccessRule{When: `principal.claims.x > 1`}, ""},
		{gatewayconfig.AccessRule{When: `true`}, ""},
		{gatewayconfig.AccessRule{When: `server == "calendar"`}, "rules[0].when: is false for every kind, server and endpoint"},
		{gatewayconfig.AccessRule{Servers: []string{"mail"}, When: `server == "cal"`}, "rules[0].when: is false"},
		{gatewayconfig.AccessRule{When: `endpoint == "work"`}, "rules[0].when: is false"},
		{gatewayconfig.AccessRule{When: `kind == "tools"`}, "rules[0].when: is false"},
		{gatewayconfig.AccessRule{Tools: []string{"*"}, When: `kind == "prompt" && name == "x"`}, "rules[0].when: is false"},
		{gatewayconfig.AccessRule{When: `false`}, "rules[0].when: is false"},
		{gatewayconfig.AccessRule{When: `1 / 0 == 1`}, "rules[0].when: cannot be evaluated"},
		{gatewayconfig.AccessRule{Servers: []string{"cal", "x"}}, `rules[0].servers[1]: "x" is no server`},
		{gatewayconfig.AccessRule{Servers: []string{"cal", "cal"}}, `rules[0].servers[1]: "cal" is there already`},
		{gatewayconfig.AccessRule{Scopes: []string{"a b"}}, `rules[0].scopes[0]: "a b" is no scope`},
		{gatewayconfig.AccessRule{Scopes: []string{"a", "a"}}, `rules[0].scopes[1]: "a" is there already`},
		{gatewayconfig.AccessRule{Effect: deny, Scopes: []string{"a"}}, "rules[0].scopes: a deny rule has none"},
		{gatewayconfig.AccessRule{Effect: "drop"}, `rules[0].effect: "drop"`},
		{gatewayconfig.AccessRule{Name: "no name"}, `rules[0].name: "no name"`},
	} {
		if test.rule.Name == "" {
			test.rule.Name = "r"
		}
		if test.rule.Effect == "" {
			test.rule.Effect = allow
		}
		faults := Check(gatewayconfig.Authorization{Default: deny, Rules: rules{test.rule}}, known)
		switch {
		case test.want == "" && len(faults) > 0:
			t.Errorf("%+v: %v", test.rule, faults)
		case test.want != "" && (len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), test.want)):
			t.Errorf("%+v: %v, want %s", test.rule, faults, test.want)
		}
	}
	faults := Check(gatewayconfig.Authorization{Default: "", Rules: rules{
		{Name: "a", Effect: allow, When: `principal.subject == "x"`, Scopes: []string{"s"}}, {Name: "a", Effect: allow, When: `x`},
	}}, Known{Anonymous: true})
	var got []string
	for _, f := range faults {
		got = append(got, f.Error())
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{"default: \"\": want deny or allow", "rules[0].scopes: nobody has scopes", "rules[0].when: nobody is known", `rules[1].name: "a" is the name of rules[0]`, "rules[1].when: column 1: undeclared"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is missing in\n%s", want, all)
		}
	}
	if len(faults) != 5 {
		t.Errorf("%d faults:\n%s", len(faults), all)
	}
}

// What no rule asks for is not looked at, and what might be asked for is.
func TestAsked(t *testing.T) {
	t.Parallel()
	const days = `!("days" in arguments && arguments.days > 7) && arguments.filter.days < 7 && arguments["limit"] == 1`
	for _, test := range []struct {
		when, arguments string
		none            bool
	}{
		{days, `{"id":"x","note":"seven day s"}`, true},
		{days, `{}`, true},
		{days, ``, false}, // nothing is spared
		{days, `{"a":1,"A":2}`, true},
		{days, `{"days":1}`, false},
		{days, `{"DAYS":1}`, false},
		{days, `{"x":{"Filter":1}}`, false},
		{days, `{"note":"limit"}`, false}, // no key
		{days, `{"d\u0061ys":1}`, false},
		{days, `{"note":"a \"day\"\ns\t\\"}`, true},
		{days, `{"note":"\\u"}`, false}, // no escape
		{days, `{"id":"naïve caf\u00e9 \ud83d\ude00"}`, true},
		{days, `{"\u0131d":"ı"}`, false},
		{days, `{"Dayſ":8}`, false},
		{days, `[1]`, false},
		{days, `"x"`, false},
		{days, `{"note":"these days"}`, true},
		{days, `{"id":"` + strings.Repeat("x", mostSearched) + `"}`, false}, // evaluating is quicker
		{days, `{"note":"` + strings.Repeat(`x\"\n`, 200) + `"}`, true},
		{days, `{"note":"` + strings.Repeat(`é`, 400) + `","dayS":1}`, false},
		{`size(arguments) == 1`, `{"id":1}`, false},
		{`arguments.exists(k, k == "a")`, `{"id":1}`, false},
		{`name in arguments`, `{"id":1}`, false},
		{`arguments[name] == 1`, `{"id":1}`, false},
		{`arguments == {"a": 1}`, `{"id":1}`, false},
		{`arguments[""] == 1`, `{"id":1}`, true},
		{`arguments[""] == 1`, `{"":1}`, false},
		{`arguments["a/b"] == 1`, `{"a\/b":1}`, false},
		{`arguments["a\"b"] == 1`, `{"id":1}`, false},
		{`arguments["k\u212a"] == 1`, `{"id":1}`, false},
	} {
		p := compiled(t, deny, gatewayconfig.AccessRule{When: test.when}, gatewayconfig.AccessRule{When: `has(arguments.other)`})
		if got := p.mentions.asked.noneIn([]byte(test.arguments)); got != test.none {
			t.Errorf("%s of %s: none %v", test.when, test.arguments, got)
		}
	}

	// Remembered apart from what is decided by arguments, and by none.
	p := compiled(t, deny, gatewayconfig.AccessRule{When: `!("days" in arguments && arguments.days > 7)`})
	c, g := NewCache(p), p.Group(nil)
	for range 2 {
		for arguments, want := range map[string]Outcome{`{"id":1}`: Allowed, `{"days":9}`: Denied, ``: Allowed, `[]`: Denied, `{"days":7}`: Allowed} {
			if d := c.Decide(g, tool("a"), []byte(arguments)); d.Outcome != want {
				t.Errorf("%s: %v, want %v", arguments, d.Outcome, want)
			}
		}
		if d := c.Static(g, tool("a")); d.Outcome != Depends {
			t.Errorf("without arguments: %v", d)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := compiled(b, deny,
		gatewayconfig.AccessRule{When: `"read" in principal.scopes && annotations.readOnlyHint`},
		gatewayconfig.AccessRule{Tools: []string{"cal_*"}, When: `"write" in principal.scopes && arguments.days < 7`},
		gatewayconfig.AccessRule{Effect: deny, Tools: []string{"*_admin"}, When: `principal.claims.team != "red"`},
	)
	w := who("read", "write")
	other := compiled(b, deny, gatewayconfig.AccessRule{When: `!("force" in arguments)`})
	const arguments = `{"id":"7","days":3,"note":"something else that is there"}`
	for _, test := range []struct {
		name   string
		policy *Policy
		item   *Item
	}{
		{"static", p, &Item{Kind: Tool, Server: "cal", Name: []byte("mail_list"), Hints: gatewayconfig.HintReadOnly}},
		{"arguments", p, tool("cal_delete_event")}, {"others", other, tool("cal_delete_event")},
	} {
		b.Run(test.name, func(b *testing.B) {
			c := NewCache(test.policy)
			b.ReportAllocs()
			for b.Loop() {
				if d := c.Decide(test.policy.Group(w), test.item, []byte(arguments)); d.Outcome != Allowed {
					b.Fatal(d)
				}
			}
		})
	}
	b.Run("list", func(b *testing.B) {
		g := p.Group(w)
		b.ReportAllocs()
		for b.Loop() {
			g.Static(tool("cal_delete_event"))
		}
	})
}
