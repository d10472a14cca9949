package gateway

import (
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
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

func TestTokenEndpoints(t *testing.T) {
	t.Parallel()
	good := func() *gatewayconfig.OAuth {
		return &gatewayconfig.OAuth{TokenURL: "https://idp.example/token", ClientID: "gw", ClientSecret: "s"}
	}
	for name, test := range map[string]struct {
		change func(*Server)
		want   string // in the only problem; empty for none
	}{
		"all is well":      {change: func(*Server) {}},
		"on this machine":  {change: func(s *Server) { s.OAuth.TokenURL = "http://[::1]:8080/token" }},
		"no URL":           {change: func(s *Server) { s.OAuth.TokenURL = "" }, want: "servers[0].oauth.tokenUrl: is missing"},
		"plain":            {change: func(s *Server) { s.OAuth.TokenURL = "http://idp.example/token" }, want: "servers[0].oauth.tokenUrl: want https://"},
		"other scheme":     {change: func(s *Server) { s.OAuth.TokenURL = "file://idp.example/token" }, want: "servers[0].oauth.tokenUrl: want https://"},
		"with a user":      {change: func(s *Server) { s.OAuth.TokenURL = "https://u:p@idp.example/" }, want: "servers[0].oauth.tokenUrl: must hold neither"},
		"no client":        {change: func(s *Server) { s.OAuth.ClientID = "" }, want: "servers[0].oauth.clientId: is missing"},
		"no secret":        {change: func(s *Server) { s.OAuth.ClientSecret = "" }, want: "servers[0].oauth.clientSecret: is missing"},
		"line break":       {change: func(s *Server) { s.OAuth.ClientSecret = "a\nb" }, want: "servers[0].oauth.clientSecret: must be printable"},
		"way":              {change: func(s *Server) { s.OAuth.ClientAuth = "jwt" }, want: `servers[0].oauth.clientAuth: "jwt": want basic or post`},
		"scope":            {change: func(s *Server) { s.OAuth.Scopes = []string{"a", "b c"} }, want: `servers[0].oauth.scopes[1]: "b c" is no scope`},
		"resource":         {change: func(s *Server) { s.OAuth.Resource = "mcp" }, want: "servers[0].oauth.resource: want an absolute URI"},
		"resource off":     {change: func(s *Server) { s.OAuth.Resource = "off" }},
		"and a header":     {change: func(s *Server) { s.Headers = map[string]string{"authorization": "x"} }, want: "servers[0].headers.authorization: oauth or exchange"},
		"and a credential": {change: func(s *Server) { s.Credential = "x" }, want: "servers[0].credential: oauth says"},
		"over stdio":       {change: func(s *Server) { s.URL, s.Command = "", []string{"/bin/x"} }, want: "servers[0].oauth: belongs to a url"},
		"over sse":         {change: func(s *Server) { s.Transport = TransportSSE }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server("a", "http://a/mcp")
			s.OAuth = good()
			test.change(&s)
			problems := gatewayOf(s).Validate()
			switch {
			case test.want == "" && len(problems) > 0, test.want != "" && len(problems) != 1:
				t.Fatalf("problems %v", problems)
			case test.want != "" && !strings.HasPrefix(problems[0].Path+": "+problems[0].Message, test.want):
				t.Errorf("%s: %s, want %s", problems[0].Path, problems[0].Message, test.want)
			}
		})
	}
}

// A token is asked for the server that it is for.
func TestResourceOfTokens(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "https://a.example/mcp", "off": "", "urn:x": "urn:x"} {
		s := server("a", "HTTPS://A.example/mcp?key=secret", func(s *Server) {
			s.OAuth = &gatewayconfig.OAuth{TokenURL: "https://idp.example/", ClientID: "a", ClientSecret: "b", Resource: given}
		})
		g := gatewayOf(s)
		if got := g.Broker("").Servers[0].OAuth.Resource; got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
		if s.OAuth.Resource != given {
			t.Error("the projection changed the model")
		}
	}
}
