package istio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// TestGateway is the life of a gateway at a Gateway of Istio's, from before its proxies
// have the filter to its end.
func TestGateway(t *testing.T) {
	w := newWorld(t)
	stages := []struct {
		name string
		run  func(*world)
	}{
		{"NothingIsWrittenWithoutTheFilter", (*world).nothingWithout},
		{"FilterIsInTheProxy", (*world).filterIsThere},
		{"CallsTakeTheRoute", (*world).callsTakeTheRoute},
		{"ServersComeWhileCallsGoOn", (*world).serversCome},
		{"ServersAreNotReachedPastIt", (*world).notPast},
		{"OthersTrafficIsTheirs", (*world).others},
		{"PagesMayCall", (*world).pages},
		{"TokensAreVerified", (*world).tokens},
		{"OlderProxiesGetTheOtherFilter", (*world).older},
		{"WhatIsRemovedComesAgain", (*world).comesAgain},
		{"ItStaysWhenAPodLacksTheFilter", (*world).stays},
		{"ItGoesWithTheTarget", (*world).goes},
	}
	for _, s := range stages {
		if !t.Run(s.name, func(t *testing.T) {
			stage := *w
			stage.t, stage.Cluster = t, w.For(t)
			s.run(&stage)
		}) {
			return // what follows rests on it
		}
	}
}

const pod = `{apiVersion: v1, kind: Pod, metadata: {name: edge-0, namespace: gw, labels: {app: edge, gateway.networking.k8s.io/gateway-name: edge}%s},
	spec: {serviceAccountName: default, nodeName: node-0, containers: [{name: istio-proxy, image: none, ports: [{containerPort: 8080}]}]}}`

func (w *world) nothingWithout() {
	w.Want(gatewayObject, "Programmed=False/ModuleMissing")
	// One of the same name that is somebody else's is left to them.
	foreign := strings.Replace(filterObject, "}}", "}, spec: {configPatches: []}}", 1)
	w.Apply(foreign)
	w.Apply(fmt.Sprintf(pod, ""))
	w.Want(gatewayObject, "Programmed=False/NotAttached")
	w.Delete(foreign)
	w.Status(strings.Replace(fmt.Sprintf(pod, ""), "spec:", `status: {phase: Running, podIP: 10.250.0.10, podIPs: [{ip: 10.250.0.10}], conditions: [{type: Ready, status: "True"}]}, spec:`, 1))
	harness.Eventually(w.t, "the pod's lack is told", func() bool {
		c := w.Condition(gatewayObject, "Programmed")
		return c.Reason == "ModuleMissing" && strings.Contains(c.Message, "1 of 1 pods")
	})
	account := w.As("system:serviceaccount:gw:mcp-controlplane", "system:serviceaccounts", "system:serviceaccounts:gw")
	for _, object := range []string{filterObject, routeObject} {
		if err := account.DryRun(strings.Replace(object, "mcp-gateway-mcp", "another", 1)); !apierrors.IsForbidden(err) {
			w.t.Errorf("the control plane may write any name: %v", err)
		}
		if w.Get(object) != nil {
			w.t.Errorf("there is %s, and the proxy has no filter", object)
		}
	}
}

func (w *world) filterIsThere() {
	began := time.Now()
	w.Apply(fmt.Sprintf(pod, ", annotations: {mcp-gateway.dev/filter: module}"))
	w.Want(gatewayObject, "Programmed=True/Programmed")
	c := harness.NewClient(w.t, endpoint)
	harness.Eventually(w.t, "the first session", func() bool {
		r, err := c.Try(w.t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"`+
			harness.Revision+`","capabilities":{},"clientInfo":{"name":"istio","version":"1"}}}`)
		return err == nil && r.Status == http.StatusOK && r.Header.Get(harness.HeaderSession) != ""
	})
	w.t.Logf("from the pod's annotation to the first session: %v", time.Since(began))
	dump := get("http://" + admin + "/config_dump").Body
	var all struct {
		Configs []struct {
			Type      string            `json:"@type"`
			Listeners []json.RawMessage `json:"dynamic_listeners"`
			Filters   []json.RawMessage `json:"ecds_filters"`
		}
	}
	if err := json.Unmarshal([]byte(dump), &all); err != nil {
		w.t.Fatal(err)
	}
	listeners, filters := 0, 0
	for _, c := range all.Configs {
		for _, l := range c.Listeners {
			if strings.Contains(string(l), `"config_discovery"`) {
				listeners++
			}
		}
		for _, f := range c.Filters {
			if strings.Contains(string(f), "DynamicModuleFilter") {
				filters++
			}
		}
	}
	if listeners != 1 || filters != 1 {
		w.t.Errorf("%d listeners with the filter, %d configurations of it; want 1 of each", listeners, filters)
	}
	if n := w.stat("listener_manager.total_listeners_active"); n != 1 {
		w.t.Errorf("%d listeners", n)
	}
}

// callsTakeTheRoute calls a tool behind two backends of an HTTPRoute, in both eras.
func (w *world) callsTakeTheRoute() {
	a, b := w.serve("weather-a", tools("weather", "now")), w.serve("weather-b", tools("weather", "now"))
	for _, s := range []*mcpserver.Server{a, b} {
		s.Handle("tools/call", "now", func(x *mcpserver.Exchange) {
			for name, value := range map[string]string{"mcp-session-id": "theirs", "set-cookie": "theirs=1", "www-authenticate": "theirs"} {
				x.Header().Set(name, value)
			}
			x.Result(`{"content":[{"type":"text","text":"dry"}]}`)
		})
	}
	w.Apply(route("weather", "weather.mcp.local", `{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-route, value: weather}]}}], backendRefs: [{name: weather-a, port: 9000, weight: 3}, {name: weather-b, port: 9000, weight: 1}]}`))
	w.Apply(server("weather"))
	w.Want(server("weather"), "Ready=True/Listed")

	c := harness.Connect(w.t, endpoint)
	if names := c.Names("tools/list"); !slices.Equal(names, []string{"weather_now"}) {
		w.t.Fatalf("tools %v", names)
	}
	modern := c.With(harness.HeaderSession+":", harness.HeaderRevision+": 2026-07-28")
	if r := modern.With("Mcp-Method: tools/list").Post(modernBody("tools/list", "")); r.Status != http.StatusOK || !strings.Contains(r.Message(), `"weather_now"`) {
		w.t.Fatalf("tools/list of 2026-07-28: %s", r)
	}
	eras := map[string]func() harness.Response{
		"with a session": func() harness.Response {
			return c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather_now","arguments":{}}}`)
		},
		"2026-07-28": func() harness.Response {
			return modern.With("Mcp-Method: tools/call", "Mcp-Name: weather_now").Post(modernBody("tools/call", `"name":"weather_now","arguments":{},`))
		},
	}
	for era, call := range eras {
		a.Forget()
		b.Forget()
		const calls = 200
		for range calls {
			r := call()
			if r.Status != http.StatusOK || !strings.Contains(r.Message(), `"dry"`) {
				w.t.Fatalf("%s: %s", era, r)
			}
			for _, name := range []string{harness.HeaderSession, "Set-Cookie", "Www-Authenticate"} {
				if r.Header.Get(name) != "" {
					w.t.Fatalf("%s: the client got the server's %s", era, name)
				}
			}
		}
		of, rest := len(a.Received("tools/call")), len(b.Received("tools/call"))
		// Three of four, within five times the deviation of a fair die.
		if of+rest != calls || of < 120 || of > 180 {
			w.t.Errorf("%s: %d calls at the backend of weight 3, %d at that of weight 1", era, of, rest)
		}
		h := a.Last("tools/call").Header
		if h.Get("X-Route") != "weather" {
			w.t.Errorf("%s: the HTTPRoute's header is %q", era, h.Get("X-Route"))
		}
		for name := range h {
			if strings.HasPrefix(name, "X-Mcp-") {
				w.t.Errorf("%s: the server got %s", era, name)
			}
		}
	}
}

// modernBody is a request of 2026-07-28; params, which end with a comma, but for _meta.
func modernBody(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
}

// gateway is the MCPGateway as the chart makes it.
func (w *world) gateway() string {
	return strings.Replace(gatewayObject, "namespace: gw}", `namespace: gw}, spec: {targetRef: {name: edge, sectionName: http}, hostnames: [mcp.example.com],
		allowedServers: {namespaces: {from: All}}, sessions: {store: Memory}}`, 1)
}

// stat is one of the proxy's statistics; 0 if it has none of that name.
func (w *world) stat(name string) int {
	w.t.Helper()
	n := 0
	_, text, found := strings.Cut(get("http://"+admin+"/stats?filter=^"+regexp.QuoteMeta(name)+"$").Body, ": ")
	if _, err := fmt.Sscan(text, &n); found && err != nil {
		w.t.Fatalf("%s: %q: %v", name, text, err)
	}
	return n
}

func (w *world) notPast() {
	before := harness.Stats(w.t, admin)[`mcp_gateway_errors{reason="internal_host",server="-"}`]
	for _, host := range []string{"weather.mcp.local", "WEATHER.mcp.local:8080", "weather.mcp.local.", "nobody.mcp.local"} {
		c := harness.NewClient(w.t, endpoint).With("Host: "+host, "X-Mcp-Cluster: mcp-server-team-a.weather", "Mcp-Session-Id: s")
		if r := c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"now","arguments":{}}}`); r.Status != http.StatusForbidden || !strings.Contains(r.Body, "Host not allowed") {
			w.t.Errorf("%s: %s", host, r)
		}
	}
	if after := harness.Stats(w.t, admin)[`mcp_gateway_errors{reason="internal_host",server="-"}`]; after < before+4 {
		w.t.Errorf("refusals counted: %d, before %d", after, before)
	}
}

// older starts a proxy that calls itself one of Istio 1.28: it gets the filter for Go,
// which a stock Envoy does not have.
func (w *world) older() {
	p := w.startEnvoy("edge-1", oldAddress, "1.28.0", "127.0.0.1:15001")
	p.WaitLine(p.Stderr(), "envoy.extensions.filters.http.golang.v3alpha.Config")
	p.Stop(harness.Patience)
}

// comesAgain has the controller write anew what somebody has taken away: else servers
// would be open.
func (w *world) comesAgain() {
	w.Delete(filterObject)
	c := harness.NewClient(w.t, endpoint).With("Host: weather.mcp.local")
	harness.Eventually(w.t, "the filter again", func() bool { return w.Get(filterObject) != nil })
	harness.Eventually(w.t, "the refusal again", func() bool { return c.Post("{}").Status == http.StatusForbidden })
	before := w.Get(filterObject).GetResourceVersion()
	w.Apply(route("more", "more.mcp.local", "{backendRefs: [{name: long, port: 9000}]}"))
	w.Apply(server("more"))
	w.Want(server("more"), "Ready=True/Listed")
	if after := w.Get(filterObject).GetResourceVersion(); after != before {
		w.t.Errorf("a server has changed the EnvoyFilter: version %s, before %s", after, before)
	}
}

// stays has a pod come that lacks the filter: what keeps clients from the servers is
// there nevertheless.
func (w *world) stays() {
	other := strings.Replace(fmt.Sprintf(pod, ""), "edge-0", "edge-2", 1)
	w.Apply(other)
	c := w.Want(gatewayObject, "Programmed=False/ModuleMissing")
	if !strings.Contains(c.Message, "1 of 2 pods") || !strings.Contains(c.Message, "stays") || w.Get(filterObject) == nil || w.Get(routeObject) == nil {
		w.t.Errorf("%q, EnvoyFilter %v, HTTPRoute %v", c.Message, w.Get(filterObject), w.Get(routeObject))
	}
	w.Delete(other)
	w.Want(gatewayObject, "Programmed=True/Programmed")
}

func (w *world) goes() {
	w.Apply(strings.Replace(w.gateway(), "targetRef: {name: edge, sectionName: http}, ", "", 1))
	harness.Eventually(w.t, "the end of what was written", func() bool { return w.Get(filterObject) == nil && w.Get(routeObject) == nil })
}
