package gateway

import (
	"crypto/x509"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/resourceuri"
)

// Problem is one fault of a Gateway. Messages hold no secret: neither header
// values nor URLs.
type Problem struct {
	// Path of the faulty value as the configuration spells it,
	// "servers[1].prefix".
	Path    string
	Message string
	// Warning marks what works but is likely not meant.
	Warning bool
}

// Limits of what a Gateway may ask for.
const (
	maxPrefix = 48 // bytes
	// prefixRoom is what a name keeps for itself besides a prefix when it is cut.
	prefixRoom  = 16
	maxName     = 256
	maxPage     = 1_000_000
	maxPatterns = 10_000
	maxDuration = 365 * 24 * time.Hour
)

var (
	serverName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`)
	prefix     = regexp.MustCompile(`^[a-zA-Z0-9_.-]*$`)
	endpoint   = regexp.MustCompile(`^/[a-zA-Z0-9._~/-]*$`)
	token      = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110 section 5.6.2
)

// Validate returns every problem of g, errors and warnings, in the order of
// the configuration. Without an error among them g is fit for all projections.
func (g *Gateway) Validate() []Problem {
	v := &validation{}
	v.endpoint(g)
	v.auth(g)
	v.servers(g)
	v.virtualServers(g)
	v.authorization(g)
	v.sessions(&g.Sessions)
	v.limits(g)
	v.envoyFilters(g)
	v.integrity(g)
	return v.problems
}

type validation struct{ problems []Problem }

func (v *validation) errorf(path, format string, args ...any) {
	v.problems = append(v.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (v *validation) warnf(path, format string, args ...any) {
	v.problems = append(v.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...), Warning: true})
}

func (v *validation) endpoint(g *Gateway) {
	if _, err := SplitListen(g.Listen); err != nil {
		v.errorf("gateway.listen", "%v", err)
	}
	if !endpoint.MatchString(g.Path) || path.Clean(g.Path) != g.Path {
		v.errorf("gateway.path", "%q is no plain absolute path, as /mcp", g.Path)
	}
	v.oldClients(g)
	v.beside(g)
	for i, h := range g.Hostnames {
		if why := badHostname(h); why != "" {
			v.errorf(index("gateway.hostnames", i), "%q %s", h, why)
		}
	}
	for i, o := range g.AllowedOrigins {
		if !isOrigin(o) {
			v.errorf(index("gateway.allowedOrigins", i), "%q is no origin: want scheme://host or scheme://host:port in lower case", o)
		}
	}
	if g.Proxies > mostProxies {
		v.errorf("gateway.proxies", "want %d at most", mostProxies)
	}
	if g.Name == "" {
		v.errorf("gateway.name", "must not be empty")
	}
	v.lists(g)
	switch {
	case g.AccessLog == AccessLogOff, g.AccessLog == AccessLogStdout:
	case !path.IsAbs(g.AccessLog), strings.HasSuffix(g.AccessLog, "/"), strings.ContainsRune(g.AccessLog, 0):
		v.errorf("gateway.accessLog", "%q: want off, stdout or the absolute path of a file, as Envoy sees it", g.AccessLog)
	}
}

// mostProxies is more than anybody has one behind the other.
const mostProxies = 16

// oldClients checks what only clients of older forms need: HTTP+SSE, batches.
func (v *validation) oldClients(g *Gateway) {
	sse := g.StreamPath()
	switch {
	case sse == "" || g.SSEPath == "":
	case !endpoint.MatchString(sse) || path.Clean(sse) != sse || sse == "/":
		v.errorf("gateway.ssePath", "%q is neither off nor a plain absolute path, as /sse", sse)
	case sse == g.Path || sse+gatewayconfig.PathMessages == g.Path:
		v.errorf("gateway.ssePath", "%q leaves no room for the endpoint at %q", sse, g.Path)
	}
	if g.InternalURL == "" {
		return
	}
	u, err := url.Parse(g.InternalURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || !isAuthority(u.Host):
		v.errorf("gateway.internalUrl", "is no URL, as http://envoy:8888/mcp")
	case u.User != nil || strings.ContainsAny(g.InternalURL, "?#"):
		v.errorf("gateway.internalUrl", "must hold nothing but scheme, host and path")
	case u.Path != g.Path:
		v.errorf("gateway.internalUrl", "its path must be that of the endpoint (gateway.path, %s)", g.Path)
	}
}

func (v *validation) duration(path string, d time.Duration, zero bool) {
	switch {
	case d < 0:
		v.errorf(path, "must not be negative")
	case d == 0 && !zero:
		v.errorf(path, "must be more than 0")
	case d%time.Millisecond != 0:
		v.errorf(path, "must be whole milliseconds")
	case d > maxDuration:
		v.errorf(path, "must not be more than a year (%s)", maxDuration)
	}
}

func (v *validation) servers(g *Gateway) {
	enabled := len(g.EnabledServers())
	if enabled == 0 {
		v.warnf("servers", "no server is enabled: every list is empty")
	}
	names := map[string]int{}
	labels := map[string]int{}
	for i := range g.Servers {
		s, at := &g.Servers[i], index("servers", i)
		v.server(g, s, at)
		if first, taken := names[s.Name]; taken && s.Name != "" {
			v.errorf(at+".name", "%q is the name of servers[%d] already", s.Name, first)
			continue
		}
		names[s.Name] = i
		if !s.Enabled || !serverName.MatchString(s.Name) || enabled < 2 {
			continue
		}
		label, err := resourceuri.Label(s.Name)
		if err != nil {
			v.errorf(at+".name", "%v", err)
		} else if first, taken := labels[label]; taken {
			v.errorf(at+".name", "%q and %q (servers[%d]) both mark their resource URIs with %q: rename one", s.Name, g.Servers[first].Name, first, label)
		} else {
			labels[label] = i
		}
	}
	v.prefixes(g.Servers)
	v.aliases(g.Servers)
}

// prefixes looks for equal ones, which leave the owner of a name open, and for
// nested ones, where the longest that fits wins.
func (v *validation) prefixes(servers []Server) {
	used := make([]string, len(servers))
	for i := range servers {
		if servers[i].Enabled {
			used[i] = servers[i].EffectivePrefix()
		}
		for j := range used[:i] {
			first, second := used[j], used[i]
			switch {
			case first == "" || second == "":
			case first == second:
				v.errorf(index("servers", i)+".prefix", "%q is the prefix of %q (servers[%d]) already", second, servers[j].Name, j)
			case strings.HasPrefix(first, second), strings.HasPrefix(second, first):
				v.warnf(index("servers", i)+".prefix", "%q and %q of %q (servers[%d]) overlap: a name that fits both belongs to the longer prefix",
					second, first, servers[j].Name, j)
			}
		}
	}
}

func (v *validation) server(g *Gateway, s *Server, at string) {
	switch {
	case s.Name == "":
		v.errorf(at+".name", "is missing")
	case !serverName.MatchString(s.Name):
		v.errorf(at+".name", "%q: want 1 to 63 letters, digits, dots, hyphens or underscores, beginning with a letter or digit", s.Name)
	}
	v.reach(g, s, at)
	if s.Host != "" && (!isAuthority(s.Host) || s.Host == gatewayconfig.BridgeAuthority) {
		v.errorf(at+".host", "%q is no host or host:port", s.Host)
	}
	v.caCert(s, at+".caCert")
	v.names(g, s, at)
	v.duration(at+".timeout", s.Timeout, true)
	v.duration(at+".idleTimeout", s.IdleTimeout, true)
	v.duration(at+".connectTimeout", s.ConnectTimeout, false)
	v.duration(at+".listTimeout", s.ListTimeout, false)
	v.headers(s, at)
	v.forwarded(s, at)
	v.oauth(g, s, at)
}

func (v *validation) url(g *Gateway, s *Server, at string) {
	if s.URL == "" {
		v.errorf(at, "is missing: give a url or a command")
		return
	}
	u, err := url.Parse(s.URL)
	switch {
	case !strings.Contains(s.URL, "://"):
		v.errorf(at, "want http:// or https:// in front")
	case err != nil:
		v.errorf(at, "is no URL") // the error of url.Parse quotes it, secrets and all
	case u.Scheme != "http" && u.Scheme != "https":
		v.errorf(at, "want http:// or https://")
	case u.User != nil:
		v.errorf(at, "must not hold a user or password: use headers")
	case strings.Contains(s.URL, "#"):
		v.errorf(at, "must not have a fragment (#)")
	case strings.ContainsFunc(s.URL, func(r rune) bool { return r <= ' ' || r > '~' }):
		v.errorf(at, "must be printable ASCII without spaces: escape with %%")
	case !isAuthority(u.Host):
		v.errorf(at, "has no valid host")
	case pointsTo(u, g.Listen):
		v.errorf(at, "is the gateway's own address (gateway.listen)")
	case u.Path == "" || u.Path == "/":
		v.warnf(at, "has no path; most MCP servers answer at /mcp")
	}
}

// caCert checks the authorities of a server: they are public, but not quoted.
func (v *validation) caCert(s *Server, at string) {
	switch {
	case s.CACert == "":
	case !strings.HasPrefix(strings.ToLower(s.URL), "https://"):
		v.errorf(at, "belongs to an https url")
	case !x509.NewCertPool().AppendCertsFromPEM([]byte(s.CACert)):
		v.errorf(at, "holds no certificate in PEM")
	}
}

// owned are the headers that the gateway, Envoy or HTTP itself sets.
var owned = map[string]bool{
	"host": true, "connection": true, "content-length": true, "content-type": true, "accept": true,
	"accept-encoding": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true, "expect": true, "last-event-id": true,
	mcp.HeaderSession: true, mcp.HeaderProtocolVersion: true, mcp.HeaderMethod: true, mcp.HeaderName: true,
}

func (v *validation) headers(s *Server, at string) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		here, lower := at+".headers."+name, strings.ToLower(name)
		first, taken := seen[lower]
		switch {
		case !token.MatchString(name):
			v.errorf(at+".headers", "%q is no header name", name)
		case lower == "host":
			v.errorf(here, "set the Host header with host:")
		case owned[lower] || strings.HasPrefix(lower, mcp.HeaderOwnedPrefix):
			v.errorf(here, "belongs to the gateway")
		case taken:
			v.errorf(here, "is the same header as %s", first)
		case s.Headers[name] == "":
			v.errorf(here, "has no value")
		case strings.ContainsFunc(s.Headers[name], func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }):
			v.errorf(here, "value must be printable ASCII without line breaks")
		}
		seen[lower] = name
	}
	if s.Credential == "" {
		return
	}
	if _, both := seen["authorization"]; both {
		v.errorf(at+".credential", "headers.Authorization is set too: keep one")
	}
	if strings.ContainsFunc(s.Credential, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
		v.errorf(at+".credential", "must be printable ASCII without line breaks")
	}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
