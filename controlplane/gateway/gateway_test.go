package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/gatewayconfig"
)

func server(name, url string, edits ...func(*Server)) Server {
	s := DefaultServer()
	s.Name, s.URL = name, url
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func gatewayOf(servers ...Server) *Gateway {
	g := Default()
	g.Servers = servers
	return &g
}

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	if problems := gatewayOf(server("a", "http://a/mcp")).Validate(); problems != nil {
		t.Error(problems)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	a := server("a", "http://a/mcp")
	for name, test := range map[string]struct {
		gateway func(*Gateway)
		server  func(*Server)
		want    string // path of the only problem; "" for none
		warning bool
	}{
		"listen without port":          {gateway: func(g *Gateway) { g.Listen = "127.0.0.1" }, want: "gateway.listen"},
		"listen on a name":             {gateway: func(g *Gateway) { g.Listen = "example.com:1" }, want: "gateway.listen"},
		"listen on a zone":             {gateway: func(g *Gateway) { g.Listen = "[fe80::1%eth0]:1" }, want: "gateway.listen"},
		"listen on IPv6":               {gateway: func(g *Gateway) { g.Listen = "[::1]:1" }},
		"listen on any port":           {gateway: func(g *Gateway) { g.Listen = ":0" }, want: "gateway.listen", warning: true},
		"port too large":               {gateway: func(g *Gateway) { g.Listen = ":65536" }, want: "gateway.listen"},
		"path is root":                 {gateway: func(g *Gateway) { g.Path = "/" }},
		"path with dots":               {gateway: func(g *Gateway) { g.Path = "/a/../mcp" }, want: "gateway.path"},
		"path with escapes":            {gateway: func(g *Gateway) { g.Path = "/%6dcp" }, want: "gateway.path"},
		"path with query":              {gateway: func(g *Gateway) { g.Path = "/mcp?a" }, want: "gateway.path"},
		"hostname IPv4":                {gateway: func(g *Gateway) { g.Hostnames = []string{"127.0.0.1"} }},
		"hostname IPv6 in brackets":    {gateway: func(g *Gateway) { g.Hostnames = []string{"[::1]"} }},
		"hostname with port":           {gateway: func(g *Gateway) { g.Hostnames = []string{"a:1"} }, want: "gateway.hostnames[0]"},
		"empty hostname":               {gateway: func(g *Gateway) { g.Hostnames = []string{"a", ""} }, want: "gateway.hostnames[1]"},
		"origin with path":             {gateway: func(g *Gateway) { g.AllowedOrigins = []string{"https://a/"} }, want: "gateway.allowedOrigins[0]"},
		"origin of an editor":          {gateway: func(g *Gateway) { g.AllowedOrigins = []string{"vscode-webview://abc"} }},
		"origin without scheme":        {gateway: func(g *Gateway) { g.AllowedOrigins = []string{"a.example"} }, want: "gateway.allowedOrigins[0]"},
		"store with TLS":               {gateway: func(g *Gateway) { g.Sessions.Store = "rediss://u:p@redis:6380/1" }},
		"session idle beyond its life": {gateway: func(g *Gateway) { g.Sessions.IdleTimeout = 200 * time.Hour }, want: "sessions.idleTimeout", warning: true},
		"access log to a file":         {gateway: func(g *Gateway) { g.AccessLog = "/var/log/mcp.log" }},
		"access log, a wish":           {gateway: func(g *Gateway) { g.AccessLog = "yes" }, want: "gateway.accessLog"},
		"access log beside who knows":  {gateway: func(g *Gateway) { g.AccessLog = "logs/mcp.log" }, want: "gateway.accessLog"},
		"access log to a folder":       {gateway: func(g *Gateway) { g.AccessLog = "/var/log/" }, want: "gateway.accessLog"},
		"SSE elsewhere":                {gateway: func(g *Gateway) { g.SSEPath = "/sse" }},
		"no SSE":                       {gateway: func(g *Gateway) { g.SSEPath = SSEPathOff }},
		"SSE on no path":               {gateway: func(g *Gateway) { g.SSEPath = "sse" }, want: "gateway.ssePath"},
		"SSE at the endpoint":          {gateway: func(g *Gateway) { g.SSEPath = "/mcp" }, want: "gateway.ssePath"},
		"SSE messages at the endpoint": {gateway: func(g *Gateway) { g.Path, g.SSEPath = "/a/messages", "/a" }, want: "gateway.ssePath"},
		"endpoint inside":              {gateway: func(g *Gateway) { g.InternalURL = "http://envoy:8888/mcp" }},
		"endpoint inside, no URL":      {gateway: func(g *Gateway) { g.InternalURL = "envoy:8888/mcp" }, want: "gateway.internalUrl"},
		"endpoint inside, with user":   {gateway: func(g *Gateway) { g.InternalURL = "http://u@envoy/mcp" }, want: "gateway.internalUrl"},
		"endpoint inside, other path":  {gateway: func(g *Gateway) { g.InternalURL = "http://envoy:8888/" }, want: "gateway.internalUrl"},
		"no access log":                {gateway: func(g *Gateway) { g.AccessLog = "" }, want: "gateway.accessLog"},
		"no server":                    {gateway: func(g *Gateway) { g.Servers = nil }, want: "servers", warning: true},
		"same name":                    {gateway: func(g *Gateway) { g.Servers = append(g.Servers, a) }, want: "servers[1].name"},
		"same name, disabled":          {gateway: func(g *Gateway) { d := a; d.Enabled = false; g.Servers = append(g.Servers, d) }, want: "servers[1].name"},
		"same label":                   {gateway: func(g *Gateway) { g.Servers = append(g.Servers, server("A", "http://b/mcp")) }, want: "servers[1].name"},
		"same label, disabled": {gateway: func(g *Gateway) {
			s := server("A", "http://b/mcp")
			s.Enabled = false
			g.Servers = append(g.Servers, s)
		}},
		"no label, alone":                {server: func(s *Server) { s.Name = "1" }},
		"no label, one of two":           {gateway: func(g *Gateway) { g.Servers = append(g.Servers, server("1", "http://b/mcp")) }, want: "servers[1].name"},
		"two without prefix":             {gateway: func(g *Gateway) { g.Servers = append(g.Servers, server("b", "http://b/mcp")) }},
		"name with slash":                {server: func(s *Server) { s.Name = "a/b" }, want: "servers[0].name"},
		"name too long":                  {server: func(s *Server) { s.Name = strings.Repeat("a", 64) }, want: "servers[0].name"},
		"URL with fragment":              {server: func(s *Server) { s.URL = "http://a/mcp#" }, want: "servers[0].url"},
		"URL with space":                 {server: func(s *Server) { s.URL = "http://a/m cp" }, want: "servers[0].url"},
		"URL with user":                  {server: func(s *Server) { s.URL = "http://u@a/mcp" }, want: "servers[0].url"},
		"URL without host":               {server: func(s *Server) { s.URL = "http:///mcp" }, want: "servers[0].url"},
		"URL with empty port":            {server: func(s *Server) { s.URL = "http://a:/mcp" }, want: "servers[0].url"},
		"URL with port 0":                {server: func(s *Server) { s.URL = "http://a:0/mcp" }, want: "servers[0].url"},
		"URL with IPv6":                  {server: func(s *Server) { s.URL = "http://[::1]:9/mcp" }},
		"URL with zone":                  {server: func(s *Server) { s.URL = "http://[fe80::1%25eth0]:9/mcp" }, want: "servers[0].url"},
		"URL without path":               {server: func(s *Server) { s.URL = "http://a" }, want: "servers[0].url", warning: true},
		"URL of the gateway":             {server: func(s *Server) { s.URL = "http://localhost:8888/mcp" }, want: "servers[0].url"},
		"URL of the gateway, bound wide": {gateway: func(g *Gateway) { g.Listen, g.Auth = ":8888", keyed() }, server: func(s *Server) { s.URL = "http://127.0.0.1:8888/x" }, want: "servers[0].url"},
		"URL beside the gateway":         {server: func(s *Server) { s.URL = "http://127.0.0.1:8889/mcp" }},
		"host with path":                 {server: func(s *Server) { s.Host = "a/b" }, want: "servers[0].host"},
		"prefix with space":              {server: func(s *Server) { s.Prefix = "a b" }, want: "servers[0].prefix"},
		"timeout in microseconds":        {server: func(s *Server) { s.Timeout = time.Microsecond }, want: "servers[0].timeout"},
		"no idle timeout":                {server: func(s *Server) { s.IdleTimeout = 0 }},
		"no connect timeout":             {server: func(s *Server) { s.ConnectTimeout = 0 }, want: "servers[0].connectTimeout"},
		"header of the gateway":          {server: func(s *Server) { s.Headers = map[string]string{"MCP-Name": "a"} }, want: "servers[0].headers.MCP-Name"},
		"header with newline":            {server: func(s *Server) { s.Headers = map[string]string{"A": "b\r\nC: d"} }, want: "servers[0].headers.A"},
		"header with percent":            {server: func(s *Server) { s.Headers = map[string]string{"A": "100%"} }},
		"header beyond ASCII":            {server: func(s *Server) { s.Headers = map[string]string{"A": "ü"} }, want: "servers[0].headers.A"},
		"credential with newline":        {server: func(s *Server) { s.Credential = "a\n" }, want: "servers[0].credential"},
		"credential and header": {server: func(s *Server) { s.Credential, s.Headers = "a", map[string]string{"authorization": "b"} },
			want: "servers[0].credential"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gatewayOf(a)
			if test.gateway != nil {
				test.gateway(g)
			}
			if test.server != nil {
				test.server(&g.Servers[0])
			}
			var want, got []Problem
			if test.want != "" {
				want = []Problem{{Path: test.want, Warning: test.warning}}
			}
			for _, p := range g.Validate() {
				if p.Message == "" {
					t.Errorf("%s: no message", p.Path)
				}
				got = append(got, Problem{Path: p.Path, Warning: p.Warning})
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s%v", diff, g.Validate())
			}
		})
	}
}

func TestSplitListen(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		":1": "0.0.0.0:1", "localhost:1": "127.0.0.1:1", "[::]:1": "[::]:1", "10.0.0.1:65535": "10.0.0.1:65535",
	} {
		if got, err := SplitListen(in); err != nil || got.String() != want {
			t.Errorf("SplitListen(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
}

func TestBroker(t *testing.T) {
	t.Parallel()
	g := gatewayOf(
		server("Weather.eu", "http://a/mcp", func(s *Server) {
			s.Prefix, s.Host, s.ListTimeout = "w_", "h", time.Second
			s.Headers = map[string]string{"X-A": "b"}
			s.Credential = "Bearer t"
		}),
		server("off", "http://b/mcp", func(s *Server) { s.Enabled = false }),
		server("cal", "https://c/mcp"),
	)
	g.Instructions = "hi"
	want := gatewayconfig.Broker{
		Name: "mcp-gateway", Version: "v1", Instructions: "hi", Path: "/mcp", NameLimit: 64, PageSize: 1000,
		Servers: []gatewayconfig.Server{
			{
				Name: "Weather.eu", URL: "http://a/mcp", Cluster: "mcp-server-Weather.eu@http://a", Host: "h", Prefix: "w_", Label: "weather.eu",
				Headers: map[string]string{"X-A": "b"}, Credential: "Bearer t",
				ListTimeout: gatewayconfig.Duration(time.Second), Partial: gatewayconfig.PartialStale,
			},
			{Name: "cal", URL: "https://c/mcp", Cluster: "mcp-server-cal@https://c", Label: "cal", Partial: gatewayconfig.PartialStale, ListTimeout: gatewayconfig.Duration(10 * time.Second)},
		},
		Sessions: gatewayconfig.Sessions{Store: "memory", IdleTimeout: gatewayconfig.Duration(24 * time.Hour), Lifetime: gatewayconfig.Duration(168 * time.Hour)},
		Limits:   gatewayconfig.DefaultLimits(),
		Integrity: gatewayconfig.Integrity{
			Pins: gatewayconfig.Pins{OnChange: gatewayconfig.ReactWarn}, Scan: gatewayconfig.ReactWarn,
		},
		Endpoint: "http://127.0.0.1:8888/mcp", SSEPath: "/mcp/sse",
	}
	if diff := cmp.Diff(want, g.Broker("v1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(g.Servers[0].Headers) != 1 {
		t.Errorf("the projection changed the model: %d headers", len(g.Servers[0].Headers))
	}
}

func TestOneServerHasNoLabel(t *testing.T) {
	t.Parallel()
	g := gatewayOf(server("a", "http://a/mcp"), server("b", "http://b/mcp", func(s *Server) { s.Enabled = false }))
	if got := g.Broker("").Servers; len(got) != 1 || got[0].Label != "" {
		t.Errorf("%+v", got)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	g := gatewayOf()
	g.Hostnames = []string{"a", "[::1]"}
	g.AllowedOrigins = []string{"https://b"}
	want := gatewayconfig.Filter{
		Path: "/mcp", SSEPath: "/mcp/sse", Hostnames: []string{"a", "::1"}, AllowedOrigins: []string{"https://b"},
		BodyLimit: 4 << 20, ResponseLimit: 16 << 20, EventLimit: 16 << 20, Depth: 128, Questions: 8192, InternalCluster: "x", AskTimeout: gatewayconfig.Duration(25 * time.Second),
	}
	if diff := cmp.Diff(want, g.Filter("x")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	g.AccessLog = AccessLogStdout
	if !g.Filter("x").Metadata {
		t.Error("an access log without metadata")
	}
	if g.Sessionless = SessionlessPooled; !g.Filter("x").Sessionless || !g.Broker("").Sessionless {
		t.Error("pooled sessions are not for both")
	}
}

// Where older clients go, and by which URL the broker sends on what they send.
func TestOldClients(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:1": "http://127.0.0.1:1/m", "localhost:1": "http://127.0.0.1:1/m", ":1": "http://127.0.0.1:1/m",
		"0.0.0.0:1": "http://127.0.0.1:1/m", "[::]:1": "http://[::1]:1/m", "10.0.0.1:1": "http://10.0.0.1:1/m",
	} {
		g := gatewayOf()
		g.Listen, g.Path = listen, "/m"
		if got := g.Broker("").Endpoint; got != want {
			t.Errorf("listen %s: endpoint %q, want %q", listen, got, want)
		}
	}
	g := gatewayOf()
	g.InternalURL = "http://envoy:8888/mcp"
	if got := g.Broker("").Endpoint; got != g.InternalURL {
		t.Errorf("endpoint %q, want the one told", got)
	}
	for told, want := range map[string]string{"": "/mcp/sse", "/sse": "/sse", SSEPathOff: ""} {
		g.SSEPath = told
		if b, f := g.Broker("").SSEPath, g.Filter("x").SSEPath; b != want || f != want {
			t.Errorf("ssePath %q: broker %q, filter %q, want %q", told, b, f, want)
		}
	}
	g.Path, g.SSEPath = "/", ""
	if got := g.Filter("x").SSEPath; got != "/sse" {
		t.Errorf("path /: ssePath %q", got)
	}
}

func TestFilterIgnoresServers(t *testing.T) {
	t.Parallel()
	one := gatewayOf(server("a", "http://a/mcp"))
	two := gatewayOf(server("b", "https://b/x", func(s *Server) { s.ListTimeout = time.Hour }), server("c", "http://c/mcp"))
	if diff := cmp.Diff(one.Filter("x"), two.Filter("x")); diff != "" {
		t.Error(diff)
	}
}

func TestLoopbackKnowsItsNames(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]bool{"127.0.0.1:8888": true, "localhost:1": true, "[::1]:1": true, "0.0.0.0:8888": false, ":8888": false} {
		g := Default()
		g.Listen = listen
		if got := slices.Contains(g.Filter("c").Hostnames, "localhost"); got != want {
			t.Errorf("%s: local names only: %v, want %v", listen, got, want)
		}
	}
	g := Default()
	g.Hostnames = []string{"gw.example"}
	if got := g.Filter("c").Hostnames; len(got) != 1 || got[0] != "gw.example" {
		t.Errorf("configured names: %v", got)
	}
}
