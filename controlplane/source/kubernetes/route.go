package kubernetes

import (
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"mcp-gateway/controlplane/api/v1alpha1"
)

// target is where a route leads.
type target struct {
	// hostname and path are how Envoy finds the rule; hostname is empty if the route
	// has none.
	hostname, path string
	// host and sent are the same as the server gets them.
	host, sent string
	// headers are added on the way.
	headers  map[string]string
	timeout  *time.Duration
	backends []backend
}

// target resolves the route of s. Where foreign is true, an Envoy follows it that is
// not ours: then all that matters is how the broker reaches the server.
func (x *index) target(s *v1alpha1.MCPServer, foreign bool) (*target, *finding) {
	at := routeKey(s)
	if !x.permits(fromServer(s), gatewayv1.GroupName, "HTTPRoute", at) {
		return nil, notPermitted("HTTPRoute", at)
	}
	route := x.routes[at]
	if route == nil {
		return nil, unresolved(v1alpha1.ReasonTargetNotFound, "there is no HTTPRoute %s", at)
	}
	t := &target{path: or(s.Spec.Path, "/mcp"), headers: map[string]string{}}
	for _, h := range route.Spec.Hostnames {
		if !strings.HasPrefix(string(h), "*") {
			t.hostname = string(h)
			break
		}
	}
	t.host, t.sent = t.hostname, t.path
	rule, match, wrong := ruleFor(route, s.Spec.TargetRef.SectionName, t.path)
	if wrong != nil {
		return nil, wrong
	}
	if wrong := t.follow(rule, match, foreign); wrong != nil {
		return nil, wrong
	}
	t.backends, wrong = x.backends(route, rule, foreign)
	return t, wrong
}

// ruleFor returns the rule of the route that a POST to path takes, as Gateway API
// ranks them, with what of it matches.
func ruleFor(route *gatewayv1.HTTPRoute, section, path string) (*gatewayv1.HTTPRouteRule, *gatewayv1.HTTPRouteMatch, *finding) {
	at := key{Namespace: route.Namespace, Name: route.Name}
	var rule *gatewayv1.HTTPRouteRule
	var match *gatewayv1.HTTPRouteMatch
	best, named := -1, section == ""
	for i := range route.Spec.Rules {
		r := &route.Spec.Rules[i]
		if section != "" && (r.Name == nil || string(*r.Name) != section) {
			continue
		}
		named = true
		matches := r.Matches
		if len(matches) == 0 {
			matches = []gatewayv1.HTTPRouteMatch{{}}
		}
		for j := range matches {
			if rank := rankOf(&matches[j], path); rank > best {
				rule, match, best = r, &matches[j], rank
			}
		}
	}
	switch {
	case !named:
		return nil, nil, unresolved(v1alpha1.ReasonTargetNotFound, "HTTPRoute %s has no rule called %q", at, section)
	case rule == nil:
		return nil, nil, refused(v1alpha1.ReasonUnsupportedValue,
			"no rule of HTTPRoute %s matches a POST to %s by its path alone (rules with other headers, query parameters or regular expressions do not count)", at, path)
	}
	return rule, match, nil
}

// rankOf says how well m matches a POST to path, -1 for not at all: an exact path
// comes before the longest prefix, and that before a method.
func rankOf(m *gatewayv1.HTTPRouteMatch, path string) int {
	if len(m.Headers) > 0 || len(m.QueryParams) > 0 || m.Method != nil && *m.Method != gatewayv1.HTTPMethodPost {
		return -1
	}
	kind, value := pathOf(m)
	rank := 0
	switch kind {
	case gatewayv1.PathMatchExact:
		if value != path {
			return -1
		}
		rank = 1 << 20
	case gatewayv1.PathMatchPathPrefix:
		if _, ok := below(value, path); !ok {
			return -1
		}
		rank = 2 * len(strings.TrimSuffix(value, "/"))
	default:
		return -1
	}
	if m.Method != nil {
		rank++
	}
	return rank
}

func pathOf(m *gatewayv1.HTTPRouteMatch) (kind gatewayv1.PathMatchType, value string) {
	kind, value = gatewayv1.PathMatchPathPrefix, "/"
	if m.Path != nil && m.Path.Type != nil {
		kind = *m.Path.Type
	}
	if m.Path != nil && m.Path.Value != nil {
		value = *m.Path.Value
	}
	return kind, value
}

// below returns what follows prefix in path, element by element.
func below(prefix, path string) (rest string, ok bool) {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, ok = strings.CutPrefix(path, prefix)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// follow takes what a rule changes on the way. Another Envoy does that itself; ours
// refuses what it would leave out.
func (t *target) follow(r *gatewayv1.HTTPRouteRule, m *gatewayv1.HTTPRouteMatch, foreign bool) *finding {
	for i := range r.Filters {
		f := &r.Filters[i]
		switch f.Type {
		case gatewayv1.HTTPRouteFilterURLRewrite:
			if wrong := t.rewrite(f.URLRewrite, m); wrong != nil {
				return wrong
			}
		case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
			for _, h := range append(append([]gatewayv1.HTTPHeader{}, f.RequestHeaderModifier.Set...), f.RequestHeaderModifier.Add...) {
				t.headers[string(h.Name)] = h.Value
			}
			if len(f.RequestHeaderModifier.Remove) > 0 && !foreign {
				return unsupported("requestHeaderModifier.remove")
			}
		case gatewayv1.HTTPRouteFilterRequestRedirect:
			return unsupported(string(f.Type))
		default:
			if !foreign {
				return unsupported(string(f.Type))
			}
		}
	}
	if foreign {
		return nil
	}
	switch {
	case r.Retry != nil:
		return unsupported("retry") // a tool must not run twice
	case r.SessionPersistence != nil:
		return unsupported("sessionPersistence")
	case r.Timeouts != nil && r.Timeouts.BackendRequest != nil:
		return unsupported("timeouts.backendRequest")
	case r.Timeouts != nil && r.Timeouts.Request != nil:
		d, err := time.ParseDuration(string(*r.Timeouts.Request))
		if err != nil {
			return unsupported("timeouts.request")
		}
		t.timeout = &d
	}
	return nil
}

func unsupported(what string) *finding {
	return refused(v1alpha1.ReasonUnsupportedValue, "the route's rule has %s, which the gateway does not follow", what)
}

func (t *target) rewrite(r *gatewayv1.HTTPURLRewriteFilter, m *gatewayv1.HTTPRouteMatch) *finding {
	if r.Hostname != nil {
		t.host = string(*r.Hostname)
	}
	switch {
	case r.Path == nil:
	case r.Path.Type == gatewayv1.FullPathHTTPPathModifier && r.Path.ReplaceFullPath != nil:
		t.sent = *r.Path.ReplaceFullPath
	case r.Path.Type == gatewayv1.PrefixMatchHTTPPathModifier && r.Path.ReplacePrefixMatch != nil:
		kind, prefix := pathOf(m)
		rest, ok := below(prefix, t.path)
		if kind != gatewayv1.PathMatchPathPrefix || !ok {
			return unsupported("a replaced prefix without a prefix to match")
		}
		t.sent = or(strings.TrimSuffix(*r.Path.ReplacePrefixMatch, "/")+rest, "/")
	default:
		return unsupported("a path modifier of type " + string(r.Path.Type))
	}
	return nil
}
