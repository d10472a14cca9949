package gateway

import (
	"strings"
	"testing"
)

func TestForwardHeaders(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers []string
		server  func(*Server)
		want    string // in the only problem; empty for none
	}{
		"names":           {headers: []string{"X-Tenant", "baggage"}},
		"no name":         {headers: []string{"a b"}, want: "servers[0].forwardHeaders[0]: \"a b\" is no header name"},
		"a client's":      {headers: []string{"X-A", "Authorization"}, want: "servers[0].forwardHeaders[1]: a client's token"},
		"cookies":         {headers: []string{"Cookie"}, want: "servers[0].forwardHeaders[0]: Cookie holds"},
		"of a proxy":      {headers: []string{"proxy-authorization"}, want: "servers[0].forwardHeaders[0]: proxy-authorization holds"},
		"of the gateway":  {headers: []string{"X-MCP-Claims"}, want: "servers[0].forwardHeaders[0]: X-MCP-Claims belongs"},
		"of Envoy":        {headers: []string{"x-envoy-retry-on"}, want: "servers[0].forwardHeaders[0]: x-envoy-retry-on belongs"},
		"of the protocol": {headers: []string{"Mcp-Session-Id"}, want: "servers[0].forwardHeaders[0]: Mcp-Session-Id belongs"},
		"of HTTP":         {headers: []string{"Content-Length"}, want: "servers[0].forwardHeaders[0]: Content-Length belongs"},
		"twice":           {headers: []string{"X-A", "x-a"}, want: "servers[0].forwardHeaders[1]: x-a is there already"},
		"and its own": {headers: []string{"X-A"}, server: func(s *Server) { s.Headers = map[string]string{"x-a": "b"} },
			want: "servers[0].forwardHeaders[0]: headers.X-A is set too"},
		"over sse": {headers: []string{"X-A"}, server: func(s *Server) { s.Transport = TransportSSE }, want: "servers[0].forwardHeaders: a connection over sse"},
		"over stdio": {headers: []string{"X-A"}, server: func(s *Server) { s.URL, s.Command = "", []string{"/bin/x"} },
			want: "servers[0].forwardHeaders: belongs to a url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server("a", "http://a/mcp")
			s.ForwardHeaders = test.headers
			if test.server != nil {
				test.server(&s)
			}
			problems := gatewayOf(s).Validate()
			switch {
			case test.want == "" && len(problems) > 0, test.want != "" && len(problems) != 1:
				t.Fatalf("problems %v", problems)
			case test.want != "" && !strings.HasPrefix(problems[0].Path+": "+problems[0].Message, test.want):
				t.Errorf("%s: %s, want %s", problems[0].Path, problems[0].Message, test.want)
			}
		})
	}
	g := gatewayOf(server("a", "http://a/mcp", func(s *Server) { s.ForwardHeaders = []string{"X-Tenant"} }))
	if got := g.Broker("").Servers[0].ForwardHeaders; len(got) != 1 || got[0] != "x-tenant" {
		t.Errorf("the broker is told %q", got)
	}
}
