package filter

import (
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

func sharedConfig() gatewayconfig.Filter {
	c := testConfig()
	c.SSEPath = "/events"
	c.Shared = &gatewayconfig.Shared{InternalHostnames: []string{"*.mcp.local", "Weather.Internal"}}
	return c
}

func newShare(t *testing.T, cfg gatewayconfig.Filter) *Gateway {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	table := testTable()
	table.Servers[0].Authority = "weather.mcp.local"
	putTable(t, g, table)
	g.sessions.put([]byte("s1"), backend{place: "mcp-server-weather", id: []byte("b-weather"), version: "2025-11-25", expires: 30 * second})
	justFetched(g)
	return g
}

// What is not for the endpoint goes on as it came, whatever it is; the hosts of
// servers are nobody's.
func TestOthersTraffic(t *testing.T) {
	t.Parallel()
	withKeys := sharedConfig()
	withKeys.Auth = &gatewayconfig.Auth{
		Resource: "https://gw.example/mcp", KeyHeader: "x-api-key",
		Keys: []gatewayconfig.Key{{Client: "a", Digest: strings.Repeat("ab", 32)}},
	}
	open, guarded := newShare(t, sharedConfig()), newShare(t, withKeys)
	empty, err := New(sharedConfig()) // no table has come yet
	if err != nil {
		t.Fatal(err)
	}
	const passes = "passes"
	for _, test := range []struct{ method, host, path, want string }{
		{"GET", "shop.example", "/", passes},
		{"PUT", "shop.example:8443", "/mcp", passes},
		{"POST", "shop.example", "/mcp/team?x=/mcp", passes},
		{"OPTIONS", "GW.example", "/shop", passes},
		{"GET", "gw.example", "/mcpx", passes},
		{"GET", "gw.example", "/eventsx", passes},
		{"GET", "gw.example", "", passes},
		{"GET", "", "/", passes},
		{"GET", "mcp.local", "/", passes},
		{"GET", "notmcp.local", "/", passes},
		{"GET", "weather.internal.example", "/", passes},
		{"GET", "[::1]:80", "/mcp", passes},
		{"PUT", "gw.example", "/mcp", "method"},
		{"PUT", "gw.example:80", "/mcp/", "path"},
		{"PUT", "GW.example", "/mcp?x", "method"},
		{"POST", "weather.mcp.local", "/mcp", "internal_host"},
		{"GET", "weather.mcp.local", "/anything", "internal_host"},
		{"GET", "WEATHER.MCP.local:8080", "/", "internal_host"},
		{"GET", "a.b.mcp.local.", "/", "internal_host"},
		{"GET", "weather.mcp.local..:80", "/", "internal_host"},
		{"CONNECT", "weather.internal", "", "internal_host"},
		{"GET", "weather.internal:", "/", "internal_host"},
		{"GET", "weather.mcp.local:80:80", "/", "host"},
		{"GET", "weather.mcp.loc\u0430l", "/", "host"},
	} {
		for name, g := range map[string]*Gateway{"open": open, "guarded": guarded, "without a table": empty} {
			s := new(Stream)
			s.Reset(g)
			headers := postHeaders(":method", test.method, ":authority", test.host, ":path", test.path, "x-mcp-cluster", "theirs",
				"origin", "https://elsewhere.example", "cookie", "theirs=1", "content-type", "text/plain", "mcp-session-id", "theirs")
			d := s.RequestHeaders(headers, test.method == "GET", second)
			if test.want == passes {
				if d.Action != Pass || !d.Done || len(d.Edits)+len(d.Notes) > 0 || d.Reroute || d.Reason != "" {
					t.Errorf("%s: %s %s%s: action %v, edits %v, reason %q; want it left alone", name, test.method, test.host, test.path, d.Action, edits(d), d.Reason)
				}
				continue
			}
			// An endpoint's request is refused for its origin, or its key, before its method.
			ours := test.want == "method" || test.want == "path"
			if d.Action != Reply || !ours && d.Reason != test.want || ours && d.Status != 403 {
				t.Errorf("%s: %s %s%s: action %v, status %d for %q, want %q", name, test.method, test.host, test.path, d.Action, d.Status, d.Reason, test.want)
			}
		}
	}
}

// Two different hosts in one request are no way around.
func TestTwoHostsInSharedEnvoy(t *testing.T) {
	t.Parallel()
	g := newShare(t, sharedConfig())
	for _, hosts := range [][2]string{{"weather.mcp.local", "shop.example"}, {"shop.example", "weather.mcp.local"}} {
		s := new(Stream)
		s.Reset(g)
		if d := s.RequestHeaders(append(postHeaders(":authority", hosts[0]), Header{"host", hosts[1]}), false, second); d.Action != Reply || d.Status != 403 {
			t.Errorf("%v: action %v, status %d", hosts, d.Action, d.Status)
		}
	}
}

// A call is aimed by authority and path alone.
func TestServersBehindSharedRoutes(t *testing.T) {
	t.Parallel()
	g := newShare(t, sharedConfig())
	_, d := post(g, call("weather_get_weather"), "x-mcp-cluster", "forged")
	if e := edits(d); d.Action != Pass || !d.Reroute || e[":authority"] != "weather.mcp.local" || e["x-mcp-cluster"] != "(removed)" {
		t.Fatalf("action %v, reroute %v, edits %v", d.Action, d.Reroute, e)
	}
}

func TestSharedConfiguration(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*gatewayconfig.Filter){
		"want hostnames":         func(c *gatewayconfig.Filter) { c.Hostnames = nil },
		"no tokens of issuers":   func(c *gatewayconfig.Filter) { c.Auth = testAuthOfIssuer() },
		"the first label may be": func(c *gatewayconfig.Filter) { c.Shared.InternalHostnames = []string{"*"} },
	} {
		c := sharedConfig()
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Where something in front verifies tokens, its word counts for the endpoint, and what
// has none is refused; what others send under that name is theirs.
func TestTokensInSharedEnvoy(t *testing.T) {
	t.Parallel()
	c := sharedConfig()
	c.Auth, c.Shared.Tokens = testAuthOfIssuer(), true
	g := newShare(t, c)
	for _, test := range []struct {
		host, claims string
		action       Action
		status       int
	}{
		{"gw.example", ada, NeedBody, 0},
		{"GW.example:8443", ada, NeedBody, 0},
		{"gw.example", "", Reply, 401},
		{"gw.example:80", claims(`{"iss":"https://evil.example","sub":"ada","aud":"https://gw.example/mcp"}`), Reply, 401},
		{"shop.example", ada, Pass, 0},
	} {
		headers := postHeaders(":authority", test.host, "authorization", "Bearer x")
		if test.claims != "" {
			headers = append(headers, Header{"x-mcp-claims", test.claims})
		}
		s := new(Stream)
		s.Reset(g)
		if d := s.RequestHeaders(headers, false, second); d.Action != test.action || d.Status != test.status || len(d.Edits) > 0 && test.action == Pass {
			t.Errorf("%s with %q: action %v, status %d, edits %v", test.host, test.claims, d.Action, d.Status, edits(d))
		}
	}
}

func testAuthOfIssuer() *gatewayconfig.Auth {
	return &gatewayconfig.Auth{Resource: "https://gw.example/mcp", Issuers: []gatewayconfig.Issuer{{Issuer: "https://idp.example"}}}
}
