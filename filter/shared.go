package filter

import (
	"errors"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// shared is gatewayconfig.Shared as requests are held against it.
type shared struct {
	hosts    map[string]bool
	suffixes []string // ".mcp.local" of "*.mcp.local"
}

func newShared(cfg *gatewayconfig.Filter) (*shared, error) {
	if cfg.Shared == nil {
		return nil, nil
	}
	var errs []error
	if len(cfg.Hostnames) == 0 {
		errs = append(errs, errors.New("shared: want hostnames, as all others are not the endpoint's"))
	}
	if cfg.Auth != nil && len(cfg.Auth.Issuers) > 0 && !cfg.Shared.Tokens {
		errs = append(errs, errors.New("shared: no tokens of issuers without shared.tokens, as nobody takes forged claims from requests"))
	}
	s := &shared{hosts: map[string]bool{}}
	for _, pattern := range cfg.Shared.InternalHostnames {
		pattern = strings.ToLower(pattern)
		if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
			s.suffixes = append(s.suffixes, suffix)
			if len(suffix) < 2 || suffix[0] != '.' {
				errs = append(errs, errors.New("shared.internalHostnames: want hostnames, the first label may be *"))
			}
		} else {
			s.hosts[pattern] = true
		}
	}
	return s, errors.Join(errs...)
}

// internal reports whether a host, in lower case, leads to servers past the gateway.
func (s *shared) internal(host string) bool {
	host = strings.TrimRight(host, ".") // the same host to whoever resolves it
	if s.hosts[host] {
		return true
	}
	for _, suffix := range s.suffixes {
		if len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// others decides a request that is not for the endpoint, in an Envoy that has other
// traffic, too; nil for one that is. It leaves such a request as it is. Only one that
// names a host of servers is refused: their routes are for what has passed here, and
// by their hosts Envoy finds them.
func (s *Stream) others(authority string) *Decision {
	host, ok := hostOf(authority)
	if !ok {
		return nil // refused as any other: who knows what the next reader takes it for
	}
	host = strings.ToLower(host)
	switch {
	case s.g.hostnames[host]:
		if s.isOurs() {
			return nil
		}
	case s.g.shared.internal(host):
		return s.refuse(403, mcp.CodeInvalidRequest, "Host not allowed", "internal_host")
	}
	s.d.Action, s.d.Done = Pass, true
	return &s.d
}

// isOurs reports whether the request's path is the gateway's to answer for.
func (s *Stream) isOurs() bool {
	path := string(s.path)
	if under(path, s.g.cfg.Path) || s.g.cfg.SSEPath != "" && under(path, s.g.cfg.SSEPath) {
		return true
	}
	if s.g.auth == nil {
		return false
	}
	is, _ := s.isMetadata()
	return is
}

// under reports whether path is at or below base, element by element.
func under(path, base string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(base, "/"))
	return ok && (rest == "" || rest[0] == '/')
}
