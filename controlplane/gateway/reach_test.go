package gateway

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/gatewayconfig"
)

func TestReach(t *testing.T) {
	t.Parallel()
	local := func(change func(*Server)) func(*Gateway) {
		return func(g *Gateway) {
			g.Servers[0].URL, g.Servers[0].Command = "", []string{"npx", "-y", "server"}
			if change != nil {
				change(&g.Servers[0])
			}
		}
	}
	remote := func(change func(*Server)) func(*Gateway) { return func(g *Gateway) { change(&g.Servers[0]) } }
	for name, test := range map[string]struct {
		change func(*Gateway)
		want   string // path of the only problem; "" for none
	}{
		"command": {change: local(nil)},
		"command in full": {change: local(func(s *Server) {
			s.Env, s.Dir, s.Process, s.MaxProcesses = map[string]string{"A_1": "b"}, "/", "session", 1
		})},
		"one process":               {change: local(func(s *Server) { s.Process = ProcessServer })},
		"command and URL":           {change: local(func(s *Server) { s.URL = "http://a/mcp" }), want: "servers[0].command"},
		"neither":                   {change: local(func(s *Server) { s.Command = nil }), want: "servers[0].url"},
		"relative program":          {change: local(func(s *Server) { s.Command[0] = "./server" }), want: "servers[0].command[0]"},
		"NUL":                       {change: local(func(s *Server) { s.Command[2] = "a\x00" }), want: "servers[0].command[2]"},
		"bad variable":              {change: local(func(s *Server) { s.Env = map[string]string{"A=B": "c"} }), want: "servers[0].env"},
		"relative folder":           {change: local(func(s *Server) { s.Dir = "a" }), want: "servers[0].dir"},
		"headers":                   {change: local(func(s *Server) { s.Headers = map[string]string{"A": "b"} }), want: "servers[0].headers"},
		"other process":             {change: local(func(s *Server) { s.Process = "call" }), want: "servers[0].process"},
		"too many":                  {change: local(func(s *Server) { s.MaxProcesses = 10_001 }), want: "servers[0].maxProcesses"},
		"many of one":               {change: local(func(s *Server) { s.Process, s.MaxProcesses = ProcessServer, 2 }), want: "servers[0].maxProcesses"},
		"SSE":                       {change: remote(func(s *Server) { s.Transport, s.Headers = TransportSSE, map[string]string{"Authorization": "c"} })},
		"credential over SSE":       {change: remote(func(s *Server) { s.Transport, s.Credential = TransportSSE, "c" }), want: "servers[0].credential"},
		"streamable":                {change: remote(func(s *Server) { s.Transport = TransportStreamable })},
		"other transport":           {change: remote(func(s *Server) { s.Transport = "SSE" }), want: "servers[0].transport"},
		"modern":                    {change: remote(func(s *Server) { s.Era = gatewayconfig.EraModern })},
		"legacy SSE":                {change: remote(func(s *Server) { s.Era, s.Transport = gatewayconfig.EraLegacy, TransportSSE })},
		"modern SSE":                {change: remote(func(s *Server) { s.Era, s.Transport = gatewayconfig.EraModern, TransportSSE }), want: "servers[0].era"},
		"modern command":            {change: local(func(s *Server) { s.Era = gatewayconfig.EraModern }), want: "servers[0].era"},
		"command in any era":        {change: local(func(s *Server) { s.Era = gatewayconfig.EraAuto })},
		"other era":                 {change: remote(func(s *Server) { s.Era = "Modern" }), want: "servers[0].era"},
		"authorities without TLS":   {change: remote(func(s *Server) { s.CACert = "x" }), want: "servers[0].caCert"},
		"authorities that are none": {change: remote(func(s *Server) { s.URL, s.CACert = "https://a/mcp", "x" }), want: "servers[0].caCert"},
		"authorities of a command":  {change: local(func(s *Server) { s.CACert = "x" }), want: "servers[0].caCert"},
		"env of a URL":              {change: remote(func(s *Server) { s.Env = map[string]string{"A": "b"} }), want: "servers[0].env"},
		"endpoint at bridges":       {change: func(g *Gateway) { g.Path = "/bridge" }, want: "gateway.path"},
		"below bridges":             {change: func(g *Gateway) { g.Path = "/bridge/mcp" }, want: "gateway.path"},
		"another bridge":            {change: func(g *Gateway) { g.Path = "/bridges" }},
		"SSE at bridges":            {change: func(g *Gateway) { g.SSEPath = "/bridge/sse" }, want: "gateway.ssePath"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gatewayOf(server("a", "http://a/mcp"))
			test.change(g)
			var got string
			problems := g.Validate()
			if len(problems) > 0 {
				got = problems[0].Path
			}
			if got != test.want || len(problems) > 1 {
				t.Errorf("%v, want one at %q", problems, test.want)
			}
		})
	}
}

func TestBrokerOfServersBehindIt(t *testing.T) {
	t.Parallel()
	g := gatewayOf(
		server("a", "", func(s *Server) {
			s.Command, s.Env, s.Dir, s.Process = []string{"a", "b"}, map[string]string{"C": "d"}, "/e", ProcessServer
		}),
		server("b", "http://b/sse", func(s *Server) { s.Transport, s.ConnectTimeout = TransportSSE, time.Second }),
	)
	g.Limits.Event = 1 << 20
	five := gatewayconfig.Duration(5 * time.Second)
	want := []*gatewayconfig.Bridge{
		{
			Command: []string{"a", "b"}, Env: map[string]string{"C": "d"}, Dir: "/e", Shared: true,
			MaxProcesses: 64, ConnectTimeout: five, ResponseLimit: 1 << 20,
		},
		{MaxProcesses: 64, ConnectTimeout: gatewayconfig.Duration(time.Second), ResponseLimit: 1 << 20},
	}
	b := g.Broker("v1")
	if diff := cmp.Diff(want, []*gatewayconfig.Bridge{b.Servers[0].Bridge, b.Servers[1].Bridge}); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if b.Servers[0].URL != "" || b.Servers[1].URL != "http://b/sse" {
		t.Errorf("%+v", b.Servers)
	}
}
