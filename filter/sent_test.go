package filter

import (
	"slices"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

// sendingTable is the test table whose server weather is sent a key of its own and
// two headers of the client; names that are never forwarded count for nothing.
func sendingTable() gatewayconfig.Table {
	table := testTable()
	table.Servers[0].Sends = &gatewayconfig.Sends{
		Headers: map[string]string{"x-key": "of-the-server", "authorization": "Bearer 100%"},
		Forward: []string{"x-tenant", "x-both", "cookie", "authorization", "x-mcp-cluster", "mcp-session-id"},
	}
	return table
}

// What of a client's headers goes on is a short list; all else is taken away,
// under whatever name.
func TestHeadersOfTheClient(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	putTable(t, g, sendingTable())
	secret := []string{
		"authorization", "cookie", "proxy-authorization", "x-api-key", "api-key", "x-auth-token", "x-amz-security-token",
		"x-forwarded-for", "x-real-ip", "forwarded", "x-forwarded-client-cert", "origin", "referer", "sec-fetch-mode",
		"last-event-id", "baggage", "x-custom",
	}
	stays := []string{"user-agent", "accept-language", "traceparent", "tracestate", "x-request-id"}
	var headers []string
	for _, name := range slices.Concat(secret, stays, []string{"x-tenant"}) {
		value := "of-the-client"
		if name == "origin" {
			value = "https://app.example"
		}
		headers = append(headers, name, value)
	}
	for _, name := range []string{"weather_get_weather", "search"} {
		_, d := post(g, call(name), headers...)
		if d.Action != Pass {
			t.Fatalf("%s: %s", name, d.Body)
		}
		got := edits(d)
		own := map[string]string{}
		if name == "weather_get_weather" {
			own = map[string]string{"x-key": "of-the-server", "authorization": "Bearer 100%"}
		}
		for _, h := range secret {
			want, ok := own[h]
			if !ok {
				want = "(removed)"
			}
			if got[h] != want {
				t.Errorf("%s: %s is %q, want %q", name, h, got[h], want)
			}
		}
		for _, h := range stays {
			if edit, ok := got[h]; ok {
				t.Errorf("%s: %s becomes %q", name, h, edit)
			}
		}
		if edit, gone := got["x-tenant"]; gone != (name == "search") {
			t.Errorf("%s: x-tenant: %q", name, edit)
		}
		if got["x-key"] != own["x-key"] {
			t.Errorf("%s: x-key is %q", name, got["x-key"])
		}
	}
}

// A stateless call is no other case, nor is a GET that resumes a stream.
func TestHeadersOfTheClientOnOtherWays(t *testing.T) {
	t.Parallel()
	g := erasGateway(t)
	_, d := post(g, stateless("tools/call", `"name":"now_add"`), statelessHeaders("tools/call", "now_add", "x-api-key", "k", "cookie", "c", "mcp-param-city", "x")...)
	if got := edits(d); d.Action != Pass || got["x-api-key"] != "(removed)" || got["cookie"] != "(removed)" || got["mcp-param-city"] != "" {
		t.Errorf("stateless: %v", got)
	}
	g = newGateway(t)
	s := new(Stream)
	s.Reset(g)
	headers := []Header{
		{":method", "GET"}, {":path", "/mcp"}, {":authority", "gw.example"}, {"accept", "text/event-stream"}, {"mcp-session-id", "s1"},
		{"last-event-id", sealed("s1", "weather~7")}, {"x-api-key", "k"}, {"authorization", "Bearer c"},
	}
	d = s.RequestHeaders(headers, true, second)
	if got := edits(d); d.Action != Pass || got["x-api-key"] != "(removed)" || got["authorization"] != "(removed)" || got["last-event-id"] != "7" {
		t.Errorf("resumed: %v", got)
	}
}

// Names are kept up to a bound, and one that is not kept is as good.
func TestNamesOfHeaders(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for i := range 2 * mostNames {
		name := "x-" + strings.Repeat("a", i+1)
		if got := g.name(name); got != name {
			t.Fatalf("%q for %q", got, name)
		}
	}
	if n := len(*g.names.Load()); n != mostNames {
		t.Errorf("%d names are kept, want %d", n, mostNames)
	}
}
