package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
)

// maxName is the longest name of a server in the model.
const maxName = 63

// serverName is what a server is called outside Kubernetes: namespace and name. No
// namespace has a dot, so two servers have two names. One that is too long, or does
// not begin with a letter (then its resources could have no label), ends with a
// digest.
func serverName(namespace, name string) string {
	full := namespace + "." + name
	if len(full) <= maxName && full[0] >= 'a' && full[0] <= 'z' {
		return full
	}
	sum := sha256.Sum256([]byte(full))
	const digest = 12
	cut := "s-" + full
	return cut[:min(len(cut), maxName-digest-1)] + "-" + hex.EncodeToString(sum[:])[:digest]
}

// server makes the model's server of s, as part of m.
func (x *index) server(s *v1alpha1.MCPServer, m *v1alpha1.MCPGateway) (gateway.Server, *finding) {
	out, spec := gateway.DefaultServer(), &s.Spec
	out.Name = serverName(s.Namespace, s.Name)
	out.Enabled = spec.State != v1alpha1.StateDisabled
	out.Prefix = spec.Prefix
	switch spec.PrefixPolicy {
	case v1alpha1.PolicyAlways:
		out.PrefixPolicy = gateway.PrefixAlways
	case v1alpha1.PolicyOnConflict:
		out.PrefixPolicy = gateway.PrefixOnConflict
	case v1alpha1.PolicyNever:
		out.PrefixPolicy = gateway.PrefixNever
	}
	out.Tools, out.Prompts, out.Resources = items(spec.Tools), items(spec.Prompts), rules(spec.Resources)
	out.Era = gatewayconfig.Era(strings.ToLower(spec.Era))
	out.Partial = gatewayconfig.Partial(strings.ToLower(spec.Partial))
	out.ForwardHeaders = slices.Clone(spec.ForwardHeaders)
	if spec.Transport == v1alpha1.TransportSSE {
		out.Transport = gateway.TransportSSE
	}
	wrong := firstOf(x.reach(s, m, &out), exchanges(s, m), x.credentials(s, &out))
	if t := spec.Timeouts; t != nil {
		wrong = firstOf(wrong,
			duration(&out.Timeout, t.Call, "timeouts.call"), duration(&out.IdleTimeout, t.Idle, "timeouts.idle"),
			duration(&out.ConnectTimeout, t.Connect, "timeouts.connect"), duration(&out.ListTimeout, t.List, "timeouts.list"))
	}
	return out, wrong
}

// reach says where the server is.
func (x *index) reach(s *v1alpha1.MCPServer, m *v1alpha1.MCPGateway, out *gateway.Server) *finding {
	if s.Spec.TargetRef == nil {
		out.URL = s.Spec.URL
		if m.Spec.TargetRef != nil {
			return refused(v1alpha1.ReasonUnsupportedValue, "the routes of this gateway are those of Gateway %s/%s: a server needs an HTTPRoute there, so set targetRef",
				m.Namespace, m.Spec.TargetRef.Name)
		}
		return nil
	}
	foreign := m.Spec.TargetRef != nil
	t, wrong := x.target(s, foreign)
	if wrong != nil {
		return wrong
	}
	if foreign {
		if out.Bridged() {
			return refused(v1alpha1.ReasonUnsupportedValue, "a server over SSE is reached through the broker, to which the Gateway has no route: transport SSE is for gateways with an Envoy of their own")
		}
		if wrong := attached(x.routes[routeKey(s)], m); wrong != nil {
			return wrong
		}
		if t.hostname == "" {
			return refused(v1alpha1.ReasonUnsupportedValue, "HTTPRoute %s has no hostname: by it the Gateway finds the route", routeKey(s))
		}
		if wrong := hidden(x.routes[routeKey(s)], m, x.endpointHostnames(m)); wrong != nil {
			return wrong
		}
		out.Route = &gateway.Route{Authority: t.hostname, Path: t.path}
	} else {
		out.Endpoints = spread(t.backends)
	}
	out.URL, out.Host = heaviest(t.backends).url(t.sent), t.host
	out.Headers = t.headers
	if t.timeout != nil {
		out.Timeout = *t.timeout
	}
	return nil
}

// exchanges refuses to send clients' tokens where a stranger to the gateway says.
func exchanges(s *v1alpha1.MCPServer, m *v1alpha1.MCPGateway) *finding {
	allowed := m.Spec.AllowedServers != nil && m.Spec.AllowedServers.TokenExchange == v1alpha1.FromAll
	if s.Spec.Exchange == nil || s.Namespace == m.Namespace || allowed {
		return nil
	}
	return refused(v1alpha1.ReasonNotAllowed, "MCPGateway %s/%s has no tokens of clients exchanged for servers of namespace %s (spec.allowedServers.tokenExchange)",
		m.Namespace, m.Name, s.Namespace)
}

// credentials says what the server is sent besides what every request has.
func (x *index) credentials(s *v1alpha1.MCPServer, out *gateway.Server) *finding {
	from := fromServer(s)
	ca, wrong := x.certificates(s.Spec.CACertificateRefs, from)
	if wrong != nil {
		return wrong
	}
	out.CACert = ca
	for _, h := range s.Spec.Headers {
		value := h.Value
		if h.SecretRef != nil {
			var wrong *finding
			if value, wrong = x.secret(*h.SecretRef, from); wrong != nil {
				return wrong
			}
		}
		if out.Headers == nil {
			out.Headers = map[string]string{}
		}
		out.Headers[h.Name] = value
	}
	if ref := s.Spec.CredentialRef; ref != nil {
		var wrong *finding
		if out.Credential, wrong = x.secret(*ref, from); wrong != nil {
			return wrong
		}
	}
	if out.OAuth, wrong = x.oauth(s.Spec.OAuth, from); wrong != nil {
		return wrong
	}
	out.Exchange, wrong = x.oauth(s.Spec.Exchange, from)
	return wrong
}

func (x *index) oauth(o *v1alpha1.OAuth, from referrer) (*gatewayconfig.OAuth, *finding) {
	if o == nil {
		return nil, nil
	}
	secret, wrong := x.secret(o.ClientSecretRef, from)
	return &gatewayconfig.OAuth{
		TokenURL: o.TokenURL, ClientID: o.ClientID, ClientSecret: secret,
		ClientAuth: gatewayconfig.ClientAuth(strings.ToLower(o.ClientAuth)),
		Scopes:     slices.Clone(o.Scopes), Audience: o.Audience, Resource: o.Resource,
	}, wrong
}

func items(from *v1alpha1.Items) gateway.Items {
	if from == nil {
		return gateway.Items{}
	}
	return gateway.Items{Rules: gateway.Rules{Allow: texts(from.Allow), Deny: texts(from.Deny)}, Aliases: maps.Clone(from.Aliases)}
}

func rules(from *v1alpha1.Rules) gateway.Rules {
	if from == nil {
		return gateway.Rules{}
	}
	return gateway.Rules{Allow: texts(from.Allow), Deny: texts(from.Deny)}
}
