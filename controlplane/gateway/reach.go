package gateway

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
)

// maxProcesses bounds Server.MaxProcesses.
const maxProcesses = 10_000

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// beside checks that no path of a client is one at which the broker serves
// servers to Envoy.
func (v *validation) beside(g *Gateway) {
	for _, p := range []struct{ key, path string }{{"gateway.path", g.Path}, {"gateway.ssePath", g.SSEPath}} {
		if strings.HasPrefix(p.path+"/", gatewayconfig.PathBridge) {
			v.errorf(p.key, "%q is where the broker serves other servers: choose another path", p.path)
		}
	}
}

// reach checks how a server is reached: by a URL or by a command, and nothing
// that belongs to the other.
func (v *validation) reach(g *Gateway, s *Server, at string) {
	switch {
	case len(s.Command) > 0 && s.URL != "":
		v.errorf(at+".command", "url is set too: keep one of the two")
	case len(s.Command) > 0:
		v.command(s, at)
		v.era(s, at+".era")
		for _, o := range []struct {
			key string
			set bool
		}{{"host", s.Host != ""}, {"transport", s.Transport != ""}, {"headers", len(s.Headers) > 0}, {"credential", s.Credential != ""}, {"forwardHeaders", len(s.ForwardHeaders) > 0},
			{"oauth", s.OAuth != nil}, {"exchange", s.Exchange != nil}} {
			if o.set {
				v.errorf(at+"."+o.key, "belongs to a url; a command gets its settings by env or as arguments")
			}
		}
		return
	default:
		v.url(g, s, at+".url")
	}
	v.era(s, at+".era")
	switch s.Transport {
	case "", TransportStreamable, TransportSSE:
	default:
		v.errorf(at+".transport", "%q: want %s or %s", s.Transport, TransportStreamable, TransportSSE)
	}
	if s.Transport == TransportSSE && s.Credential != "" {
		v.errorf(at+".credential", "is for the gateway's own requests, and a connection over sse does not tell whose it is: use headers")
	}
	if s.Transport == TransportSSE && len(s.ForwardHeaders) > 0 {
		v.errorf(at+".forwardHeaders", "a connection over sse is not made for one request: use headers")
	}
	if s.Transport == TransportSSE && s.Exchange != nil {
		v.errorf(at+".exchange", "a connection over sse is not made for one request: use oauth")
	}
	for _, o := range []struct {
		key string
		set bool
	}{{"env", len(s.Env) > 0}, {"dir", s.Dir != ""}, {"process", s.Process != ""}, {"maxProcesses", s.MaxProcesses != 0}} {
		if o.set && len(s.Command) == 0 {
			v.errorf(at+"."+o.key, "belongs to a command")
		}
	}
}

func (v *validation) era(s *Server, at string) {
	switch s.Era {
	case "", gatewayconfig.EraAuto, gatewayconfig.EraLegacy:
	case gatewayconfig.EraModern:
		switch {
		case len(s.Command) > 0:
			v.errorf(at, "modern servers have a url: over stdio the gateway speaks revisions with sessions only")
		case s.Transport == TransportSSE:
			v.errorf(at, "modern contradicts transport: sse, which has sessions only")
		}
	default:
		v.errorf(at, "%q: want auto, legacy or modern", string(s.Era))
	}
}

// command checks a server over stdio. Arguments and values may be secrets and
// are not quoted.
func (v *validation) command(s *Server, at string) {
	for i, arg := range s.Command {
		if strings.ContainsRune(arg, 0) {
			v.errorf(index(at+".command", i), "must not hold a NUL")
		}
	}
	switch program := s.Command[0]; {
	case program == "":
		v.errorf(index(at+".command", 0), "is empty: want a program")
	case strings.Contains(program, "/") && !path.IsAbs(program):
		v.errorf(index(at+".command", 0), "want a plain name, which is looked for in PATH, or an absolute path")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		switch {
		case !variable.MatchString(name):
			v.errorf(at+".env", "%q is no name of an environment variable", name)
		case strings.ContainsRune(s.Env[name], 0):
			v.errorf(at+".env."+name, "must not hold a NUL")
		}
	}
	if s.Dir != "" && !path.IsAbs(s.Dir) {
		v.errorf(at+".dir", "want an absolute path, as the broker sees it")
	}
	switch s.Process {
	case "", ProcessSession:
	case ProcessServer:
		if s.MaxProcesses != 0 {
			v.errorf(at+".maxProcesses", "has no effect with process: server, which is one process")
		}
	default:
		v.errorf(at+".process", "%q: want %s or %s", s.Process, ProcessSession, ProcessServer)
	}
	if s.MaxProcesses < 0 || s.MaxProcesses > maxProcesses {
		v.errorf(at+".maxProcesses", "%d: want 1 to %d", s.MaxProcesses, maxProcesses)
	}
}
