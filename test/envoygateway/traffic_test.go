package envoygateway

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/traffic"
	"mcp-gateway/test/mcpserver"
)

// Behind a Gateway of Envoy Gateway's the endpoint is what it is elsewhere. The steps
// share one cluster, as to start one takes most of the time.
func TestEndpoint(t *testing.T) {
	w := newWorld(t)
	w.shop = newShop(w)
	for _, step := range []struct {
		name string
		run  func(*world, *testing.T)
	}{
		{"module missing", moduleMissing},
		{"both eras, two backends", bothEras},
		{"servers come while calls go on", serversCome},
		{"sessions, bodies and hosts", bounds},
		{"policies of servers' routes", routePolicies},
		{"traffic of others", othersTraffic},
		{"gone", gone},
	} {
		if !t.Run(step.name, func(t *testing.T) { w.part(t); step.run(w, t) }) {
			break
		}
	}
	w.part(t)
}

// moduleMissing tells what keeps the endpoint from being at the Gateway, and leaves
// Envoy as it is until that is gone.
func moduleMissing(w *world, t *testing.T) {
	got := w.Want(gateway(""), "Programmed=False/ModuleMissing")
	if !strings.Contains(got.Message, "does not list the module mcp-gateway") {
		t.Errorf("the message does not say which: %s", got.Message)
	}
	if w.Get(policy) != nil || w.Get(endpoint) != nil {
		t.Error("something was written that Envoy Gateway would refuse, and all routes of the Gateway with it")
	}
	// Of two policies for a Gateway the older counts: then nothing runs the filter.
	const other = `
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: {name: older, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  lua: [{type: Inline, inline: "function envoy_on_request(handle) end"}]
`
	w.Apply(other)
	w.NextSecond()
	w.Apply(w.chart)
	if got := w.Want(gateway(""), "Programmed=False/NotAttached"); !strings.Contains(got.Message, "Conflicted") {
		t.Errorf("the message does not say why: %s", got.Message)
	}
	if r := w.client().Post(initialize); r.Status == http.StatusOK {
		t.Errorf("the broker opens a session for who has not passed the filter: %s", r)
	}
	w.Delete(other)
	began := time.Now()
	w.Want(gateway(""), "Programmed=True/Programmed")
	c := w.client()
	harness.Eventually(t, "first session", func() bool {
		r, err := c.Try(t.Context(), http.MethodPost, initialize)
		return err == nil && r.Status == http.StatusOK
	})
	t.Logf("the endpoint was there %v after nothing stood against it", time.Since(began).Round(time.Millisecond))
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + harness.Revision +
	`","capabilities":{},"clientInfo":{"name":"eg","version":"1"}}}`

// gone is the endpoint with the targetRef, and nothing else.
func gone(w *world, t *testing.T) {
	w.Apply(gateway(", targetRef: {name: eg, sectionName: http}, limits: {sessionsPerAddress: 1}"))
	w.client().Post(initialize)
	harness.Eventually(t, "no more sessions for one address", func() bool { return w.client().Post(initialize).Status != http.StatusOK })
	// Without its module Envoy Gateway answers for all of the Gateway's routes.
	w.Apply(unlisted(w.chart))
	w.Want(gateway(""), "Programmed=False/ModuleMissing")
	harness.Eventually(t, "no way past the filter", func() bool {
		return w.client().Post(initialize).Status == http.StatusInternalServerError && w.shop.client.Post("{").Status == http.StatusInternalServerError
	})
	w.Apply(w.chart)
	w.Want(gateway(""), "Programmed=True/Programmed")
	before := w.Get(policy)
	w.Apply(gateway(", targetRef: {name: eg, sectionName: http}"))
	w.Want(gateway(""), "Programmed=True/Programmed")
	if after := w.Get(policy); after.GetResourceVersion() != before.GetResourceVersion() {
		t.Errorf("the policy was written anew with nothing changed: %v, now %v", before.Object, after.Object)
	}
	w.Apply(gateway(""))
	harness.Eventually(t, "no policy", func() bool { return w.Get(policy) == nil && w.Get(endpoint) == nil })
	for range 50 {
		if r := w.shop.client.Post("{"); r.Status != http.StatusTeapot {
			t.Fatalf("the shop answers %s", r)
		}
	}
	harness.Eventually(t, "no endpoint", func() bool { return w.client().Post(initialize).Status == http.StatusNotFound })
}

// both is a server that speaks all revisions, and shares no session with others.
func both(name string, names ...string) mcpserver.Script {
	s := mcpserver.Tools(name, names...)
	s.Era, s.Stateless = mcpserver.Dual, true
	return s
}

// bothEras calls through a route with two backends, which get what their weights say.
func bothEras(w *world, t *testing.T) {
	most, few := w.serve("default", "mostly", both("split", "which")), w.serve("default", "rarely", both("split", "which"))
	w.Apply(route("split", "split.mcp.local", "mostly=4", "rarely=1"))
	a := server("split")
	w.Apply(a)
	w.Want(a, "Ready=True/Listed")
	c := w.connect()
	traffic.Called(t, c, "split_which")
	if got := c.Names("tools/list"); !slices.Equal(got, []string{"split_which"}) {
		t.Errorf("tools %v", got)
	}
	modern := w.client().With(harness.HeaderRevision+": 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: split_which")
	const calls = 100
	for era, call := range map[string]func() string{
		"sessions": func() string { return c.Tool("split_which", "") },
		"2026-07-28": func() string {
			r := modern.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"split_which","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`)
			if r.Status != http.StatusOK {
				t.Fatalf("call of 2026-07-28: %s", r)
			}
			return r.Message()
		},
	} {
		most.Forget()
		few.Forget()
		for range calls {
			if got := call(); !strings.Contains(got, "split:which") {
				t.Fatalf("%s: answer %s", era, got)
			}
		}
		got, other := len(most.Received("tools/call")), len(few.Received("tools/call"))
		if got+other != calls || other < calls/20 || other > calls/2 {
			t.Errorf("%s: of %d calls %d and %d came, want four to one", era, calls, got, other)
		}
	}
}

// serversCome adds servers while calls go on and streams are open: none of these
// notices, and no listener is replaced.
func serversCome(w *world, t *testing.T) {
	s := w.serve("default", "old", mcpserver.Tools("old", "tool", "long"))
	w.Apply(route("old", "old.mcp.local", "old"))
	first := server("old")
	w.Apply(first)
	w.Want(first, "Ready=True/Listed")

	c := w.connect()
	traffic.Called(t, c, "old_tool")
	events := c.Listen()
	before := w.listeners()
	meanwhile := traffic.Begin(t, w.connect, s, "long", "old_long", "old_tool")

	const servers = 5
	var took []time.Duration
	for i := range servers {
		name := fmt.Sprintf("new%d", i)
		w.serve("default", name, mcpserver.Tools(name, "tool"))
		a := server(name)
		began := time.Now()
		w.Apply(route(name, name+".mcp.local", name))
		w.Apply(a)
		traffic.Called(t, c, name+"_tool")
		took = append(took, time.Since(began).Round(time.Millisecond))
		events.Until("notifications/tools/list_changed")
	}
	traffic.CheckSoon(t, took)
	meanwhile.End()
	if after := w.listeners(); after != before {
		t.Errorf("listeners were %s, and are %s", before, after)
	}
}

// listeners is how often Envoy's listeners came, changed, and are draining.
func (w *world) listeners() string {
	w.t.Helper()
	resp, err := http.Get("http://" + admin + "/stats?filter=" + regexp.QuoteMeta("listener_manager.") + "(listener_(added|modified|removed|in_place_updated|stopped)|total_listeners_draining|total_filter_chains_draining)$")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), "listener_modified") {
		w.t.Fatalf("listeners: %v: %s", err, text)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", ")
}

// bounds of the endpoint are the gateway's, not Envoy Gateway's.
func bounds(w *world, t *testing.T) {
	s := w.serve("default", "echo", mcpserver.Tools("echo", "big"))
	w.Apply(route("echo", "echo.mcp.local", "echo"))
	a := server("echo")
	w.Apply(a)
	w.Want(a, "Ready=True/Listed")
	c := w.connect()
	traffic.Called(t, c, "echo_big")
	// A listener of Envoy Gateway's buffers 32 KiB.
	c.Tool("echo_big", `{"text":"`+strings.Repeat("a", 1<<20)+`"}`)
	if got := len(s.Last("tools/call").Body); got < 1<<20 {
		t.Errorf("of a large call %d bytes came", got)
	}
	r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo_big","arguments":{"text":"` + strings.Repeat("a", 4<<20) + `"}}}`)
	if r.Status != http.StatusRequestEntityTooLarge || !strings.Contains(r.Body, `"jsonrpc"`) {
		t.Errorf("a call that is too large: %s", r)
	}
	r = c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo_big","arguments":{}}}`)
	if got := r.Header.Get(harness.HeaderSession); got != "" && got != c.Session() {
		t.Errorf("the client was told of session %q, its own is %q", got, c.Session())
	}
	// By the hostnames of servers nobody comes in.
	for _, name := range []string{"echo.mcp.local", "ECHO.mcp.local:8888", "other.mcp.local"} {
		s.Forget()
		r := c.With("Host: " + name).Post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		if r.Status != http.StatusForbidden && r.Status != http.StatusNotFound || len(s.Requests()) != 0 {
			t.Errorf("host %s: %s", name, r)
		}
	}
}

// routePolicies says which of Envoy Gateway's policies for a server's route hold for calls
// by the endpoint: what its Envoy does after the filter, and not what comes before.
func routePolicies(w *world, t *testing.T) {
	s := w.serve("default", "limited", mcpserver.Tools("limited", "tool"))
	w.Apply(strings.Replace(route("limited", "limited.mcp.local", "limited"), "rules: [{",
		"rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-by-route, value: yes-it-was}]}}], ", 1))
	a := server("limited")
	w.Apply(a)
	w.Want(a, "Ready=True/Listed")
	c := w.connect()
	traffic.Called(t, c, "limited_tool")
	if got := s.Last("tools/call").Header.Get("X-By-Route"); got != "yes-it-was" {
		t.Errorf("the route's filter set %q", got)
	}
	w.Apply(`
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: limited, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: limited}]
  faultInjection: {abort: {httpStatus: 599}}
  rateLimit: {type: Local, local: {rules: [{limit: {requests: 20, unit: Hour}}]}}
`)
	var r harness.Response
	for range 500 {
		if r = c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"limited_tool","arguments":{}}}`); !strings.Contains(r.Message(), `"result"`) {
			break
		}
	}
	if !strings.Contains(r.Message(), "HTTP status 429") {
		t.Errorf("over the route's rate limit: %s", r)
	}
	w.Apply(`
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: limited, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: limited}]
  authorization: {defaultAction: Deny}
`)
	harness.Eventually(t, "what the route's authorization denies", func() bool {
		r = c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"limited_tool","arguments":{}}}`)
		return strings.Contains(r.Message(), "refused the gateway's credentials")
	})
}
