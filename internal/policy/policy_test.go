package policy

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/principal"
)

type rules = []gatewayconfig.AccessRule

func compiled(t testing.TB, standard gatewayconfig.Effect, r ...gatewayconfig.AccessRule) *Policy {
	t.Helper()
	for i := range r {
		if r[i].Name == "" {
			r[i].Name = "rule" + string(rune('a'+i))
		}
		if r[i].Effect == "" {
			r[i].Effect = gatewayconfig.Allow
		}
	}
	p, err := Compile(gatewayconfig.Authorization{Default: standard, Rules: r}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func who(scopes ...string) *principal.Principal {
	return &principal.Principal{
		Issuer: "https://idp", Subject: "u", Client: "c", Scopes: scopes,
		Claims: map[string]any{"team": "red", "level": 3.0, "groups": []any{"a", "b"}, "big": 9007199254740993.0},
	}
}

func tool(name string) *Item { return &Item{Kind: Tool, Server: "cal", Name: []byte(name)} }

func resource(uri string) *Item {
	return &Item{Kind: Resource, Server: "cal", URI: []byte("cal+" + uri), Own: []byte(uri)}
}

const (
	allow = gatewayconfig.Allow
	deny  = gatewayconfig.Deny
)

func TestDecide(t *testing.T) {
	t.Parallel()
	read, write := who("read"), who("read", "write")
	event := `{"id":"7","days":3}`
	for _, test := range []struct {
		name      string
		standard  gatewayconfig.Effect
		rules     rules
		who       *principal.Principal
		item      *Item
		arguments string
		want      Outcome
		listed    bool
	}{
		{name: "no rule, deny", standard: deny, item: tool("a"), want: Denied},
		{name: "no rule, allow", standard: allow, item: tool("a"), want: Allowed, listed: true},
		{name: "by name", standard: deny, rules: rules{{Tools: []string{"a*"}}}, item: tool("ab"), want: Allowed, listed: true},
		{name: "by another name", standard: deny, rules: rules{{Tools: []string{"a*"}}}, item: tool("b"), want: Denied},
		{name: "a rule about prompts", standard: deny, rules: rules{{Prompts: []string{"*"}}}, item: tool("a"), want: Denied},
		{name: "by server", standard: deny, rules: rules{{Servers: []string{"cal"}}}, item: tool("a"), want: Allowed, listed: true},
		{name: "by another server", standard: deny, rules: rules{{Servers: []string{"mail"}}}, item: tool("a"), want: Denied},
		{name: "deny overrides allow", standard: deny, rules: rules{{}, {Effect: deny, Tools: []string{"a"}}}, item: tool("a"), want: Denied},
		{name: "deny first, too", standard: allow, rules: rules{{Effect: deny, Tools: []string{"a"}}, {}}, item: tool("a"), want: Denied},
		{name: "by scope", standard: deny, rules: rules{{When: `"write" in principal.scopes`}}, who: read, item: tool("a"), want: Denied},
		{name: "by scope, had", standard: deny, rules: rules{{When: `"write" in principal.scopes`}}, who: write, item: tool("a"), want: Allowed, listed: true},
		{name: "nobody", standard: deny, rules: rules{{When: `principal.subject != ""`}}, item: tool("a"), want: Denied},
		{name: "scopes lack", standard: deny, rules: rules{{Scopes: []string{"write"}}}, who: read, item: tool("a"), want: Lacking, listed: true},
		{name: "scopes had", standard: deny, rules: rules{{Scopes: []string{"write"}}}, who: write, item: tool("a"), want: Allowed, listed: true},
		{name: "scopes of all rules", standard: deny, rules: rules{{}, {Tools: []string{"a"}, Scopes: []string{"write"}}}, who: read, item: tool("a"), want: Lacking, listed: true},
		{name: "scopes though allowed by default", standard: allow, rules: rules{{Tools: []string{"a"}, Scopes: []string{"write"}}}, who: read, item: tool("a"), want: Lacking, listed: true},
		{name: "nobody lacks scopes", standard: allow, rules: rules{{Scopes: []string{"write"}}}, item: tool("a"), want: Lacking, listed: true},
		{name: "a claim", standard: deny, rules: rules{{When: `principal.claims.team == "red"`}}, who: read, item: tool("a"), want: Allowed, listed: true},
		{name: "a number as claim", standard: deny, rules: rules{{When: `principal.claims.level >= 3 && principal.claims.level == 3`}}, who: read, item: tool("a"), want: Allowed, listed: true},
		{name: "a list as claim", standard: deny, rules: rules{{When: `"b" in principal.claims.groups`}}, who: read, item: tool("a"), want: Allowed, listed: true},
		{name: "a rounded claim", standard: deny, rules: rules{{When: `principal.claims.big == 9007199254740992`}}, who: read, item: tool("a"), want: Denied},
		{name: "no claim", standard: deny, rules: rules{{When: `principal.claims.nope == "x"`}}, who: read, item: tool("a"), want: Denied},
		{name: "no claim, nobody", standard: deny, rules: rules{{When: `principal.claims.team == "red"`}}, item: tool("a"), want: Denied},
		{name: "no claim, another rule", standard: deny, rules: rules{{When: `principal.claims.nope == "x"`}, {}}, who: read, item: tool("a"), want: Allowed, listed: true},
		{name: "no claim, a deny rule", standard: allow, rules: rules{{Effect: deny, When: `principal.claims.nope == "x"`}}, who: read, item: tool("a"), want: Denied},
		{name: "no claim, a rule with scopes", standard: allow, rules: rules{{When: `principal.claims.nope == "x"`, Scopes: []string{"read"}}}, who: read, item: tool("a"), want: Denied},
		{name: "asked for a claim", standard: allow, rules: rules{{Effect: deny, When: `has(principal.claims.nope)`}}, who: read, item: tool("a"), want: Allowed, listed: true},
		{name: "arguments", standard: deny, rules: rules{{When: `arguments.days < 7`}}, item: tool("a"), arguments: event, want: Allowed, listed: true},
		{name: "other arguments", standard: deny, rules: rules{{When: `arguments.days > 7`}}, item: tool("a"), arguments: event, want: Denied, listed: true},
		{name: "no arguments", standard: deny, rules: rules{{When: `arguments.days < 7`}}, item: tool("a"), want: Denied, listed: true},
		{name: "denied by arguments", standard: allow, rules: rules{{Effect: deny, When: `arguments.days < 7`}}, item: tool("a"), arguments: event, want: Denied, listed: true},
		{name: "deny cannot read arguments", standard: allow, rules: rules{{Effect: deny, When: `arguments.hours < 7`}}, item: tool("a"), arguments: event, want: Denied, listed: true},
		{name: "scope and arguments, neither", standard: deny, rules: rules{{When: `"write" in principal.scopes && arguments.days < 7`}}, who: read, item: tool("a"), arguments: event, want: Denied},
		{name: "scope and arguments, both", standard: deny, rules: rules{{When: `"write" in principal.scopes && arguments.days < 7`}}, who: write, item: tool("a"), arguments: event, want: Allowed, listed: true},
		{name: "annotations, unknown", standard: deny, rules: rules{{When: `annotations.readOnlyHint`}}, item: tool("a"), want: Denied},
		{name: "annotations, standard", standard: deny, rules: rules{{When: `annotations.destructiveHint && annotations.openWorldHint && !annotations.idempotentHint`}}, item: tool("a"), want: Allowed, listed: true},
		{name: "annotations", standard: deny, rules: rules{{When: `annotations.readOnlyHint`}}, item: &Item{Kind: Tool, Server: "cal", Name: []byte("a"), Hints: gatewayconfig.HintReadOnly}, want: Allowed, listed: true},
		{name: "endpoint", standard: deny, rules: rules{{When: `endpoint == "travel"`}}, item: &Item{Kind: Tool, Endpoint: []byte("travel")}, want: Allowed, listed: true},
		{name: "kind", standard: deny, rules: rules{{When: `kind == "resource"`}}, item: tool("a"), want: Denied},
		{name: "uri", standard: deny, rules: rules{{Resources: []string{"cal+file:///a/*"}}}, item: resource("file:///a/b"), want: Allowed, listed: true},
		{name: "another spelling of a uri", standard: deny, rules: rules{{Resources: []string{"cal+file:///a/*"}}}, item: resource("file:///a/../a/b"), want: Denied},
		{name: "deny a uri", standard: allow, rules: rules{{Effect: deny, Resources: []string{"cal+file:///a/*"}}}, item: resource("file:///a/b"), want: Denied},
		{name: "deny another spelling", standard: allow, rules: rules{{Effect: deny, Resources: []string{"cal+file:///a/*"}}}, item: resource("file:///x/../a/b"), want: Denied},
		{name: "deny the folder itself", standard: allow, rules: rules{{Effect: deny, Resources: []string{"cal+file:///a/*"}}}, item: resource("file:///a"), want: Denied},
		{name: "another spelling, but the rule is not for who asks", standard: allow, rules: rules{{Effect: deny, Resources: []string{"cal+file:///a/*"}, When: `!("read" in principal.scopes)`}}, who: read, item: resource("file:///x/../a/b"), want: Allowed, listed: true},
		{name: "scopes for a uri", standard: allow, rules: rules{{Resources: []string{"cal+file:///a/*"}, Scopes: []string{"write"}}}, who: read, item: resource("file:///a/b"), want: Lacking, listed: true},
		{name: "scopes for another spelling", standard: allow, rules: rules{{Resources: []string{"cal+file:///a/*"}, Scopes: []string{"write"}}}, who: write, item: resource("FILE:///a/b"), want: Denied},
		{name: "uri in an expression", standard: allow, rules: rules{{Effect: deny, When: `uri.startsWith("cal+file:///a/")`}}, item: resource("file:///%61/b"), want: Denied},
		{name: "uri in an expression about tools, too", standard: allow, rules: rules{{Effect: deny, When: `uri.startsWith("cal+file:///a/")`}}, item: tool("a"), want: Allowed, listed: true},
		{name: "another uri", standard: allow, rules: rules{{Effect: deny, Resources: []string{"cal+file:///a/*"}}}, item: resource("file:///b"), want: Allowed, listed: true},
	} {
		p := compiled(t, test.standard, test.rules...)
		g := p.Group(test.who)
		c := NewCache(p)
		for range 2 { // the second from the cache
			if got := c.Decide(g, test.item, []byte(test.arguments)); got.Outcome != test.want {
				t.Errorf("%s: %+v, want %d", test.name, got, test.want)
			}
		}
		if got := g.Static(test.item); (got.Outcome != Denied) != test.listed {
			t.Errorf("%s: in the list: %+v", test.name, got)
		}
	}
}

func TestDecisionNamesItsRuleAndScopes(t *testing.T) {
	t.Parallel()
	p := compiled(t, deny,
		gatewayconfig.AccessRule{Name: "all", Scopes: []string{"b"}},
		gatewayconfig.AccessRule{Name: "more", Tools: []string{"x"}, Scopes: []string{"a", "b"}},
		gatewayconfig.AccessRule{Name: "never", Effect: deny, Tools: []string{"y"}, When: `principal.claims.none` + ` == 1`},
	)
	if d := p.Group(who()).Decide(tool("x"), nil); d.Outcome != Lacking || strings.Join(d.Scopes, " ") != "a b" || d.Rule != "all" {
		t.Errorf("%+v", d)
	}
	if d := p.Group(who("a", "b")).Decide(tool("x"), nil); d.Outcome != Allowed || d.Rule != "all" || d.Scopes != nil {
		t.Errorf("%+v", d)
	}
	if d := p.Group(who()).Decide(tool("y"), nil); d.Outcome != Denied || d.Rule != "never" || !d.Failed {
		t.Errorf("%+v", d)
	}
}

// What follows a call was let through with its arguments; all else is asked again.
func TestLater(t *testing.T) {
	t.Parallel()
	p := compiled(t, deny,
		gatewayconfig.AccessRule{When: `name == "few" && arguments.days < 7`}, gatewayconfig.AccessRule{Tools: []string{"a", "b"}},
		gatewayconfig.AccessRule{Effect: deny, When: `has(arguments.force)`}, gatewayconfig.AccessRule{Tools: []string{"b"}, Scopes: []string{"write"}},
		gatewayconfig.AccessRule{Effect: deny, Tools: []string{"a"}, When: `!("read" in principal.scopes)`},
	)
	for _, test := range []struct {
		name  string
		scope string
		want  Outcome
	}{{"few", "", Allowed}, {"a", "read", Allowed}, {"a", "other", Denied}, {"b", "read", Lacking}, {"b", "write", Allowed}, {"c", "write", Denied}} {
		if got := p.Group(who(test.scope)).Later(tool(test.name)); got.Outcome != test.want {
			t.Errorf("%s with %q: %v, want %v", test.name, test.scope, got, test.want)
		}
	}
}

func TestReaches(t *testing.T) {
	t.Parallel()
	p := compiled(t, deny,
		gatewayconfig.AccessRule{Servers: []string{"cal"}, Tools: []string{"cal_*"}},
		gatewayconfig.AccessRule{Servers: []string{"mail"}, When: `"mail" in principal.scopes`},
		gatewayconfig.AccessRule{Servers: []string{"docs"}, Prompts: []string{"*"}, When: `arguments.x == 1`},
	)
	for _, test := range []struct {
		server string
		who    *principal.Principal
		kinds  []Kind
		want   bool
	}{
		{"cal", nil, []Kind{Tool}, true},
		{"cal", nil, []Kind{Prompt, Resource}, false},
		{"mail", nil, []Kind{Tool, Prompt, Resource}, false},
		{"mail", who("mail"), []Kind{Tool}, true},
		{"docs", nil, []Kind{Prompt}, true},
		{"other", nil, []Kind{Tool, Prompt, Resource}, false},
	} {
		if got := p.Group(test.who).Reaches(test.server, nil, test.kinds...); got != test.want {
			t.Errorf("%s, %v: %v", test.server, test.kinds, got)
		}
	}
}

// Who the rules cannot tell apart is one group, and nobody else is in it.
func TestGroups(t *testing.T) {
	t.Parallel()
	p := compiled(t, deny,
		gatewayconfig.AccessRule{Scopes: []string{"write"}, When: `principal.claims.team == "red" && principal.claims["level"] > 2`})
	of := func(change func(*principal.Principal)) string {
		w := who("read")
		change(w)
		return p.Group(w).Key()
	}
	same := of(func(*principal.Principal) {})
	for name, change := range map[string]func(*principal.Principal){
		"subject":       func(w *principal.Principal) { w.Subject = "v" },
		"other scopes":  func(w *principal.Principal) { w.Scopes = nil },
		"another claim": func(w *principal.Principal) { w.Claims["exp"] = 1.0 },
	} {
		if of(change) != same {
			t.Errorf("%s makes another group", name)
		}
	}
	for name, change := range map[string]func(*principal.Principal){
		"a scope of a rule": func(w *principal.Principal) { w.Scopes = []string{"write"} },
		"a claim":           func(w *principal.Principal) { w.Claims["team"] = "blue" },
		"no such claim":     func(w *principal.Principal) { delete(w.Claims, "team") },
		"a claim by index":  func(w *principal.Principal) { w.Claims["level"] = 4.0 },
	} {
		if of(change) == same {
			t.Errorf("%s is the same group", name)
		}
	}
	q := compiled(t, deny, gatewayconfig.AccessRule{When: `principal.claims.size() > 1 && principal.scopes.size() > 0 && principal.subject != "" && principal.issuer != "" && principal.client != ""`})
	seen := map[string]bool{}
	for _, change := range []func(*principal.Principal){
		func(*principal.Principal) {}, func(w *principal.Principal) { w.Subject = "v" }, func(w *principal.Principal) { w.Issuer = "v" },
		func(w *principal.Principal) { w.Client = "v" }, func(w *principal.Principal) { w.Scopes = []string{"read", "x"} },
		func(w *principal.Principal) { w.Claims["exp"] = 1.0 },
	} {
		w := who("read")
		change(w)
		seen[q.Group(w).Key()] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d groups of 6", len(seen))
	}
}

func TestCompileTakesOver(t *testing.T) {
	t.Parallel()
	config := gatewayconfig.Authorization{Default: deny, Rules: rules{{Name: "a", Effect: allow, When: `kind == "tool"`}}}
	p, err := Compile(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	again := config
	again.Rules = append(rules{}, config.Rules...)
	if q, err := Compile(again, p); err != nil || q != p {
		t.Errorf("the same rules were compiled again: %v", err)
	}
	again.Rules = append(again.Rules, gatewayconfig.AccessRule{Name: "b", Effect: deny, When: `kind == "prompt"`})
	q, err := Compile(again, p)
	if err != nil || q == p || q.Version() == p.Version() || q.rules[0].when != p.rules[0].when {
		t.Errorf("%v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	p := compiled(t, allow, gatewayconfig.AccessRule{When: `principal.subject != "x"`})
	c := NewCache(p)
	for i := range mostKnown + 10 {
		w := &principal.Principal{Subject: strconv.Itoa(i)}
		c.Decide(p.Group(w), tool(w.Subject), nil)
	}
	if len(p.groups.byWho) > mostKnown || len(p.groups.byKey) > mostGroups {
		t.Errorf("%d principals, %d groups", len(p.groups.byWho), len(p.groups.byKey))
	}
	// Names that a client makes up may be as large as a body.
	for i := range 100 {
		c.Static(p.Group(who()), &Item{Kind: Prompt, Server: "cal", Name: []byte(strings.Repeat("x", 1<<16) + strconv.Itoa(i))})
	}
	for i := range c.shards {
		if n := len(c.shards[i].m); n > mostDecisions {
			t.Errorf("%d decisions in a shard", n)
		}
		for k := range c.shards[i].m {
			if len(k.name) > longestName {
				t.Fatalf("a name of %d bytes is kept", len(k.name))
			}
		}
	}
}

func TestAWarmDecisionAllocatesNothing(t *testing.T) {
	p := compiled(t, deny, gatewayconfig.AccessRule{When: `"read" in principal.scopes && name.startsWith("cal_") && !has(arguments.force)`})
	arguments := []byte(`{"id":1}`) // none that the rule asks for
	c, w, it := NewCache(p), who("read"), &Item{Kind: Tool, Endpoint: []byte("an-endpoint-of-more-than-thirty-two-bytes"), Server: "cal", Name: []byte("cal_a_name_of_more_than_thirty_two_bytes")}
	c.Decide(p.Group(w), it, arguments)
	if n := testing.AllocsPerRun(100, func() {
		if c.Decide(p.Group(w), it, arguments).Outcome != Allowed {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever a client sends beside a URI, no server looks at it: it must not decide.
func TestResourcesHaveNoArguments(t *testing.T) {
	t.Parallel()
	p := compiled(t, deny, gatewayconfig.AccessRule{When: `arguments.days < 7 || name == "x"`})
	g, c := p.Group(who()), NewCache(p)
	if d := g.Decide(resource("file:///a"), []byte(`{"days":1}`)); d.Outcome != Denied {
		t.Errorf("read with arguments: %v", d)
	}
	if d := c.Decide(g, resource("file:///a"), []byte(`{"days":1}`)); d.Outcome != Denied {
		t.Errorf("read with arguments: %v", d)
	}
	if d := g.Static(resource("file:///a")); d.Outcome != Denied {
		t.Errorf("in lists: %v", d)
	}
	if d := g.Decide(tool("a"), []byte(`{"days":1}`)); d.Outcome != Allowed {
		t.Errorf("a tool: %v", d)
	}
}

// Streams of all workers ask one policy.
func TestManyAskAtOnce(t *testing.T) {
	t.Parallel()
	p := compiled(t, deny, gatewayconfig.AccessRule{When: `"write" in principal.scopes && arguments.days < 7 || name.matches("^r[0-9]+$")`})
	c := NewCache(p)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 300 {
				who, want := who("read"), Denied
				if (i+w)%2 == 0 {
					who, want = &principal.Principal{Scopes: []string{"write"}}, Allowed
				}
				if got := c.Decide(p.Group(who), tool("w"+strconv.Itoa(i)), []byte(`{"days":3}`)); got.Outcome != want {
					t.Errorf("%v: %+v", who.Scopes, got)
				}
				if got := c.Decide(p.Group(who), tool("r"+strconv.Itoa(i)), nil); got.Outcome != Allowed {
					t.Errorf("%v: %+v", who.Scopes, got)
				}
			}
		})
	}
	all.Wait()
}
