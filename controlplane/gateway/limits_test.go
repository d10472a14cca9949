package gateway

import (
	"strings"
	"testing"
)

func TestLimitsAreChecked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*Gateway)
		want   string // part of the only problem at limits or servers; empty for none
	}{
		"defaults":          {func(*Gateway) {}, ""},
		"no bounds":         {func(g *Gateway) { g.Limits.Sessions, g.Limits.SessionsPerAddress, g.Limits.Streams = 0, 0, 0 }, ""},
		"small body":        {func(g *Gateway) { g.Limits.Body = 1023 }, "limits.body"},
		"deep":              {func(g *Gateway) { g.Limits.Depth = 129 }, "limits.depth"},
		"flat":              {func(g *Gateway) { g.Limits.Depth = 7 }, "limits.depth"},
		"part of a KiB":     {func(g *Gateway) { g.Limits.HeaderSize = 1025 }, "limits.headerSize"},
		"more than Envoy's": {func(g *Gateway) { g.Limits.HeaderSize = 8193 << 10 }, "limits.headerSize"},
		"few headers":       {func(g *Gateway) { g.Limits.Headers = 19 }, "limits.headers"},
		"no questions":      {func(g *Gateway) { g.Limits.Questions = 63 }, "limits.questions"},
		"no items":          {func(g *Gateway) { g.Limits.ItemsPerServer = 0 }, "limits.itemsPerServer"},
		"part above total":  {func(g *Gateway) { g.Limits.SessionsPerPrincipal = 100_001 }, "limits.sessionsPerPrincipal: 100001 has no effect"},
		"part left out": {func(g *Gateway) {
			g.Limits.Sessions, g.Limits.Streams, g.Limits.Calls, g.Limits.PooledSessions = 2, 2, 2, 2
		}, ""},
		"few in Redis": {func(g *Gateway) {
			g.Limits.Sessions, g.Limits.SessionsPerAddress, g.Sessions.Store = 5000, 0, "redis://r"
		}, "limits.sessions: in Redis"},
		"few in memory":         {func(g *Gateway) { g.Limits.Sessions, g.Limits.SessionsPerAddress = 5000, 0 }, ""},
		"too many servers":      {func(g *Gateway) { g.Limits.Servers = 1 }, "servers: 2 are enabled, more than limits.servers (1) admits"},
		"disabled do not count": {func(g *Gateway) { g.Limits.Servers, g.Servers[1].Enabled = 1, false }, ""},
	} {
		g := gatewayOf(server("a", "http://a/mcp"), server("b", "http://b/mcp"))
		test.change(g)
		var got []string
		for _, p := range g.Validate() {
			got = append(got, p.Path+": "+p.Message)
		}
		if text := strings.Join(got, "\n"); test.want == "" && text != "" || test.want != "" && (len(got) != 1 || !strings.HasPrefix(text, test.want)) {
			t.Errorf("%s: got %q, want %q", name, text, test.want)
		}
	}
}
