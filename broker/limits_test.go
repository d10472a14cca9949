package broker

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// refused returns how often a limit was met, as the metrics have it.
func (g *gateway) refused(limit string) string {
	g.t.Helper()
	for line := range strings.Lines(g.metrics()) {
		if rest, ok := strings.CutPrefix(line, `mcp_broker_refused_total{limit="`+limit+`"} `); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "missing"
}

// metrics returns what the internal listener tells Prometheus.
func (g *gateway) metrics() string {
	g.t.Helper()
	w := httptest.NewRecorder()
	g.broker.Internal().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		g.t.Fatalf("metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func limited(change func(*gatewayconfig.Limits)) gatewayconfig.Broker {
	c := config("one")
	change(&c.Limits)
	return c
}

func TestSessionCaps(t *testing.T) {
	t.Parallel()
	type as = map[string]string
	someone := func(name string) as { return as{"Authorization": "Bearer " + name} }
	at := func(address string) as { return as{mcp.HeaderAddress: address} }
	for _, test := range []struct {
		name    string
		limits  gatewayconfig.Limits
		full    []as // fill the limit
		refused as
		spared  []as
		met     string
	}{
		{"in total", gatewayconfig.Limits{Sessions: 2}, []as{someone("a"), at("10.0.0.1")}, someone("b"), nil, "sessions"},
		{
			"of a principal", gatewayconfig.Limits{SessionsPerPrincipal: 2}, []as{someone("a"), someone("a")},
			someone("a"), []as{someone("b"), nil, at("10.0.0.1"), at("10.0.0.1"), at("10.0.0.1")}, "sessionsPerPrincipal",
		},
		{
			"of an address", gatewayconfig.Limits{SessionsPerAddress: 2}, []as{at("10.0.0.1"), at("10.0.0.1")},
			at("10.0.0.1"), []as{at("10.0.0.2"), someone("a"), someone("a"), someone("a"), nil, nil, nil}, "sessionsPerAddress",
		},
		{
			"of an IPv6 network", gatewayconfig.Limits{SessionsPerAddress: 1}, []as{at("2001:db8::1")},
			at("2001:db8::ffff:1:2:3"), []as{at("2001:db8:0:1::1")}, "sessionsPerAddress",
		},
		{
			"of a mapped address", gatewayconfig.Limits{SessionsPerAddress: 1}, []as{at("10.0.0.1")},
			at("::ffff:10.0.0.1"), []as{at("::ffff:10.0.0.2")}, "sessionsPerAddress",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t, setup{config: limited(func(l *gatewayconfig.Limits) { *l = test.limits })}, map[string]http.Handler{"one": raw("a")})
				var ids []string
				begin := func(as map[string]string) {
					t.Helper()
					got := g.request("POST", initializeRequest, as)
					if got.status != 200 {
						t.Fatalf("%v: %d %s", as, got.status, got.body)
					}
					ids = append(ids, got.header.Get("Mcp-Session-Id"))
				}
				for _, as := range test.full {
					begin(as)
				}
				got := g.request("POST", initializeRequest, test.refused)
				if brief, _ := describe(got.body); got.status != 429 || brief != "0 -32603" || got.header.Get("Retry-After") == "" || got.header.Get("Mcp-Session-Id") != "" {
					t.Errorf("one too many: %d %v %s", got.status, got.header, got.body)
				}
				if n := g.refused(test.met); n != "1" {
					t.Errorf("counted %s times, want once", n)
				}
				for _, as := range test.spared {
					begin(as)
				}
				g.request("DELETE", "", map[string]string{"Mcp-Session-Id": ids[0]})
				begin(test.refused)
				// A new configuration counts at once.
				g.apply(limited(func(*gatewayconfig.Limits) {}))
				begin(test.refused)
			})
		})
	}
}

func TestStreamCaps(t *testing.T) {
	t.Parallel()
	for met, limits := range map[string]gatewayconfig.Limits{
		"streams":             {Streams: 2},
		"streamsPerPrincipal": {StreamsPerPrincipal: 2},
		"streamsPerAddress":   {StreamsPerAddress: 2},
	} {
		t.Run(met, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t, setup{config: limited(func(l *gatewayconfig.Limits) { *l = limits })}, map[string]http.Handler{"one": raw("a")})
				as := map[string]string{mcp.HeaderAddress: "10.0.0.1"}
				if met == "streamsPerPrincipal" {
					as["Authorization"] = "Bearer a"
				}
				g.public = &http.Client{Transport: &adding{g.public.Transport, as}}
				first := g.open()
				stream := g.listen(first)
				g.subscribe("1", `{"toolsListChanged":true}`)
				third := g.open()
				for name, got := range map[string]answer{
					"GET":                  g.request("GET", "", map[string]string{"Mcp-Session-Id": third}),
					"subscriptions/listen": g.modern("subscriptions/listen", `"notifications":{}`),
				} {
					if !strings.Contains(got.body, "-32603") || got.status != 429 || got.header.Get("Retry-After") == "" {
						t.Errorf("%s: %d %v %s", name, got.status, got.header, got.body)
					}
				}
				if n := g.refused(met); n != "2" {
					t.Errorf("counted %s times, want 2", n)
				}
				// Who comes again takes its own place.
				again := g.listen(first)
				for range stream.lines {
				}
				synctest.Wait()
				if n := g.broker.counts.count(); n != 2 {
					t.Errorf("%d streams are counted, want 2", n)
				}
				again.close()
				for range again.lines {
				}
				synctest.Wait()
				g.listen(third)
			})
		})
	}
}

// adding adds headers to all requests.
type adding struct {
	to     http.RoundTripper
	header map[string]string
}

func (a *adding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	return a.to.RoundTrip(r)
}

func TestDepthOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: limited(func(l *gatewayconfig.Limits) { l.Depth = 8 })}, map[string]http.Handler{"one": raw("a")})
		id := map[string]string{"Mcp-Session-Id": g.open()}
		nested := func(levels int) string { // with the message and params
			return `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":` + strings.Repeat("[", levels-2) + strings.Repeat("]", levels-2) + `}}`
		}
		if got := g.request("POST", nested(8), id); got.status != 200 {
			t.Errorf("8 levels: %d %s", got.status, got.body)
		}
		got := g.request("POST", nested(9), id)
		if brief, _ := describe(got.body); got.status != 400 || brief != "null -32600" || !strings.Contains(got.body, "more than 8 levels") || g.refused("depth") != "1" {
			t.Errorf("9 levels: %d %s, counted %s", got.status, got.body, g.refused("depth"))
		}
		big := g.request("POST", strings.Repeat(" ", 64<<10)+nested(3), id)
		if big.status != 413 || g.refused("body") != "1" {
			t.Errorf("large body: %d, counted %s", big.status, g.refused("body"))
		}
	})
}

// What is beyond the limit is no tool of the gateway's, and nobody has to guess why.
func TestItemsBeyondTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		few := func(n int) gatewayconfig.Broker {
			return limited(func(l *gatewayconfig.Limits) { l.ItemsPerServer = n })
		}
		g := newGateway(t, setup{config: few(2)}, map[string]http.Handler{"one": raw("a", "b", "c", "d")})
		id := g.open()
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "one_b") {
			t.Errorf("tools %s", got)
		}
		if _, there := g.broker.view.Load().catalog.Table().Tools["one_c"]; there {
			t.Error("a tool beyond the limit can be called")
		}
		s := g.broker.Status().Servers[0]
		if s.Tools != 2 || s.LeftOut != 2 || len(s.Faults) != 1 || s.Faults[0].Index != 2 || !strings.Contains(s.Faults[0].Reason, "limits.itemsPerServer (2)") {
			t.Errorf("status %+v", s)
		}
		for _, want := range []string{
			`mcp_broker_server_items{list="tools",server="one"} 2`,
			`mcp_broker_server_items_left_out{list="tools",server="one"} 2`,
			`mcp_broker_server_ready{server="one"} 1`,
		} {
			if !strings.Contains(g.metrics(), want+"\n") {
				t.Errorf("metrics lack %s", want)
			}
		}
		g.apply(few(3)) // without another request to the server
		if got := g.ask(id, "tools/list"); got != toolList("one_a", "one_b", "one_c") {
			t.Errorf("tools with a larger limit %s", got)
		}
	})
}

// No client can make a time series, and none shows who it is.
func TestMetricsNameNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		before, err := testutil.GatherAndCount(g.broker.metrics.Gatherer())
		if err != nil {
			t.Fatal(err)
		}
		as := map[string]string{"Authorization": "Bearer hunter2", mcp.HeaderAddress: "10.11.12.13"}
		g.public = &http.Client{Transport: &adding{g.public.Transport, as}}
		for i := range 20 {
			id := g.open()
			g.ask(id, "tools/list")
			g.request("POST", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"made-up-%d"}`, i), map[string]string{"Mcp-Session-Id": id})
			g.request("DELETE", "", map[string]string{"Mcp-Session-Id": id})
			for _, private := range []string{id, "hunter2", "10.11.12.13", "made-up"} {
				if text := g.metrics(); strings.Contains(text, private) {
					t.Fatalf("the metrics tell %s:\n%s", private, text)
				}
			}
		}
		after, err := testutil.GatherAndCount(g.broker.metrics.Gatherer())
		if err != nil {
			t.Fatal(err)
		}
		if after > before+1 { // mcp_broker_list_seconds of one list
			t.Errorf("%d metrics before, %d after", before, after)
		}
		for _, want := range []string{"mcp_broker_sessions_opened_total 20", `mcp_broker_sessions_ended_total{reason="deleted"} 20`} {
			if !strings.Contains(g.metrics(), want+"\n") {
				t.Errorf("metrics lack %s", want)
			}
		}
	})
}
