package k8s

import (
	"slices"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// A server comes with its objects and goes with them, and what is said of it is true.
func TestServerComesAndGoes(t *testing.T) {
	w := newWorld(t, ", allowedServers: {namespaces: {from: All}}")
	team := w.namespace("team")
	s := w.serve(team, "weather", mcpserver.Tools("weather", "now", "tomorrow"))
	c := harness.Connect(t, w.URL)

	a := server(team, "weather", "targetRef: {name: weather}, prefix: weather_")
	w.Apply(a)
	w.Want(a, "ResolvedRefs=False/TargetNotFound")
	if r := w.Want(a, "Ready=False/NotServed"); r.Message == "" {
		t.Error("Ready says not why it is false")
	}
	w.Apply(route(team, "weather", "nothing"))
	w.Want(a, "ResolvedRefs=False/BackendNotFound")
	w.Apply(route(team, "weather", "weather"))
	w.Want(a, "Accepted=True/Accepted")
	w.Want(a, "ResolvedRefs=True/ResolvedRefs")
	w.Want(a, "Programmed=True/Programmed")
	w.Want(a, "Ready=True/Listed")
	if got, want := c.Names("tools/list"), []string{"weather_now", "weather_tomorrow"}; !slices.Equal(got, want) {
		t.Errorf("tools %v, want %v", got, want)
	}
	if got := c.Tool("weather_now", ""); !strings.Contains(got, "weather") {
		t.Errorf("the tool's answer is %s", got)
	}
	if got := w.Get(a).Object["status"].(map[string]any)["tools"]; got != int64(2) {
		t.Errorf("status.tools is %v, want 2", got)
	}

	// What somebody else says of it does not last.
	w.Status(strings.TrimSuffix(a, "}") + ", status: {tools: 7}}")
	harness.Eventually(t, "the status is true again", func() bool {
		return w.Get(a).Object["status"].(map[string]any)["tools"] == int64(2)
	})

	s.Down()
	w.Want(a, "Ready=False/Unreachable")
	s.Up()
	w.Want(a, "Ready=True/Listed")

	// Who may be asked no more is out at once.
	w.Delete(route(team, "weather", "weather"))
	w.Want(a, "ResolvedRefs=False/TargetNotFound")
	harness.Eventually(t, "no tools", func() bool { return len(c.Names("tools/list")) == 0 })
	w.Apply(route(team, "weather", "weather"))
	w.Want(a, "Ready=True/Listed")
	w.Delete(a)
	harness.Eventually(t, "no tools again", func() bool { return len(c.Names("tools/list")) == 0 })
}

// A route may lead to several backends: each gets its part of the calls.
func TestWeights(t *testing.T) {
	w := newWorld(t, "")
	script := mcpserver.Tools("split", "which")
	script.Stateless = true
	mostly, rarely := "mostly-"+unique(), "rarely-"+unique()
	most, few := w.serve("default", mostly, script), w.serve("default", rarely, script)
	w.Apply(route("default", "split", mostly+"=4", rarely+"=1"))
	a := server("default", "split", "targetRef: {name: split}, prefix: split_")
	w.Apply(a)
	w.Want(a, "Ready=True/Listed")

	c := harness.Connect(t, w.URL)
	most.Forget()
	few.Forget()
	const calls = 200
	for range calls {
		c.Tool("split_which", "")
	}
	got, other := len(most.Received("tools/call")), len(few.Received("tools/call"))
	if got+other != calls || other < calls/10 || other > calls/3 {
		t.Errorf("of %d calls %d and %d came, want four to one", calls, got, other)
	}
}

// What is in another namespace has to permit that it is referred to, and may take
// that back.
func TestReferenceGrant(t *testing.T) {
	w := newWorld(t, ", allowedServers: {namespaces: {from: All}}")
	owner, tenant := w.namespace("owner"), w.namespace("tenant")
	w.serve(owner, "docs", mcpserver.Tools("docs", "search"))
	w.Apply(route(owner, "docs", "docs"))
	a := server(tenant, "docs", "targetRef: {name: docs, namespace: "+owner+"}, prefix: docs_")
	w.Apply(a)
	w.Want(a, "ResolvedRefs=False/RefNotPermitted")

	grant := func(kind, from, to string) string {
		return "{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: g, namespace: " + owner + "}, spec: {from: [{group: mcp-gateway.dev, kind: " +
			kind + ", namespace: " + from + "}], to: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: " + to + "}]}}"
	}
	for what, manifest := range map[string]string{
		"another kind":      grant("MCPGateway", tenant, "docs"),
		"another namespace": grant("MCPServer", owner, "docs"),
		"another route":     grant("MCPServer", tenant, "other"),
	} {
		w.Apply(manifest)
		// A change that is seen shows that the grant was seen, too.
		w.Apply(server(tenant, "docs", "targetRef: {name: docs, namespace: "+owner+"}, prefix: docs_, forwardHeaders: [x-"+strings.ReplaceAll(what, " ", "-")+"]"))
		generation := w.Get(a).GetGeneration()
		harness.Eventually(t, "the change", func() bool { return w.Condition(a, "ResolvedRefs").ObservedGeneration == generation })
		if got := w.Condition(a, "ResolvedRefs"); got.Reason != "RefNotPermitted" {
			t.Errorf("a grant for %s: %s/%s", what, got.Status, got.Reason)
		}
	}

	w.Apply(grant("MCPServer", tenant, "docs"))
	w.Want(a, "Ready=True/Listed")
	c := harness.Connect(t, w.URL)
	c.Tool("docs_search", "")

	w.Delete(grant("MCPServer", tenant, "docs"))
	w.Want(a, "ResolvedRefs=False/RefNotPermitted")
	harness.Eventually(t, "no tools", func() bool { return len(c.Names("tools/list")) == 0 })
}

// Of two servers that want the same prefix the older has it, wherever they are; the
// other takes over when it is gone.
func TestPrefixConflict(t *testing.T) {
	w := newWorld(t, ", allowedServers: {namespaces: {from: All}}")
	first, second := w.namespace("first"), w.namespace("second")
	both := map[string]string{}
	for i, team := range []string{first, second} {
		w.serve(team, "docs", mcpserver.Tools("docs", "from"+[]string{"first", "second"}[i]))
		w.Apply(route(team, "docs", "docs"))
		both[team] = server(team, "docs", "targetRef: {name: docs}, prefix: docs_")
	}
	w.Apply(both[first])
	w.Want(both[first], "Ready=True/Listed")
	w.NextSecond()
	w.Apply(both[second])
	if got := w.Want(both[second], "Accepted=False/PrefixConflict"); !strings.Contains(got.Message, first+"/docs") {
		t.Errorf("the message does not name the other: %s", got.Message)
	}
	w.Want(both[first], "Ready=True/Listed")
	c := harness.Connect(t, w.URL)
	if got, want := c.Names("tools/list"), []string{"docs_fromfirst"}; !slices.Equal(got, want) {
		t.Errorf("tools %v, want %v", got, want)
	}
	w.Delete(both[first])
	w.Want(both[second], "Ready=True/Listed")
	harness.Eventually(t, "the other's tools", func() bool {
		return slices.Equal(c.Names("tools/list"), []string{"docs_fromsecond"})
	})
}

// Servers join from where the gateway says, and from nowhere else.
func TestAllowedNamespaces(t *testing.T) {
	w := newWorld(t, ", allowedServers: {namespaces: {from: Selector, selector: {matchLabels: {mcp: \"yes\"}}}}")
	team := w.namespace("team")
	w.serve(team, "docs", mcpserver.Tools("docs", "search"))
	w.Apply(route(team, "docs", "docs"))
	a := server(team, "docs", "targetRef: {name: docs}, prefix: docs_")
	w.Apply(a)
	w.Want(a, "Accepted=False/NotAllowedByGateway")
	w.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + team + ", labels: {mcp: \"yes\"}}}")
	w.Want(a, "Ready=True/Listed")
	w.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + team + "}}")
	w.Want(a, "Accepted=False/NotAllowedByGateway")
}

// A credential of a server comes from a Secret, is read again when that changes, and
// is in no status.
func TestCredential(t *testing.T) {
	w := newWorld(t, "")
	name := "guarded-" + unique()
	s := w.serve("default", name, mcpserver.Tools("guarded", "open"))
	s.Fail(func(x *mcpserver.Exchange) { x.Respond(401, "text/plain", nil) })
	w.Apply(route("default", name, name))
	a := server("default", name, "targetRef: {name: "+name+"}, credentialRef: {name: key}")
	w.Apply(a)
	w.Want(a, "ResolvedRefs=False/SecretNotFound")
	secret := "{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: default}, stringData: {token: Bearer "
	w.Apply(secret + "secret-one}}")
	w.Want(a, "Ready=False/Unauthorized")
	s.Heal()
	w.Want(a, "Ready=True/Listed")
	if got := s.Last("tools/list").Header.Get("Authorization"); got != "Bearer secret-one" {
		t.Errorf("the server was sent %q", got)
	}
	w.Apply(secret + "secret-two}}")
	s.Wait(harness.Patience, "the new credential", func() bool {
		return slices.ContainsFunc(s.Requests(), func(r mcpserver.Request) bool { return r.Header.Get("Authorization") == "Bearer secret-two" })
	})
	if text, _ := w.Get(a).MarshalJSON(); strings.Contains(string(text), "secret-") {
		t.Error("the object tells the credential")
	}
}
