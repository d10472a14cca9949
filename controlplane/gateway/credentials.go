package gateway

import (
	"strconv"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
)

// lower returns the names in lower case.
func lower(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, strings.ToLower(n))
	}
	return out
}

// forwarded checks which headers of clients a server gets.
func (v *validation) forwarded(s *Server, at string) {
	own := map[string]bool{}
	for name := range s.Headers {
		own[strings.ToLower(name)] = true
	}
	seen := map[string]bool{}
	for i, name := range s.ForwardHeaders {
		here, lower := at+".forwardHeaders["+strconv.Itoa(i)+"]", strings.ToLower(name)
		switch {
		case !token.MatchString(name):
			v.errorf(here, "%q is no header name", name)
		case lower == "authorization":
			v.errorf(here, "a client's token is for the gateway and must not go on to a server: use exchange, oauth or headers")
		case lower == "cookie", lower == "proxy-authorization":
			v.errorf(here, "%s holds what a client proves itself by to the gateway: it goes to no server", name)
		case !gatewayconfig.MayForward(lower):
			v.errorf(here, "%s belongs to the gateway, or to HTTP itself", name)
		case own[lower]:
			v.errorf(here, "headers.%s is set too: keep one", name)
		case seen[lower]:
			v.errorf(here, "%s is there already", name)
		}
		seen[lower] = true
	}
}
