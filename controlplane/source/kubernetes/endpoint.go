package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/attach"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
)

// defaultPort is where an Envoy of the gateway's own listens.
const defaultPort = 8888

// endpoint makes a gateway without servers of what m says.
func (x *index) endpoint(m *v1alpha1.MCPGateway) (*gateway.Gateway, Verdict) {
	g, v, s := gateway.Default(), Verdict{}, &m.Spec
	port := int32(defaultPort)
	if s.Port != nil {
		port = *s.Port
	}
	g.Listen = fmt.Sprintf("0.0.0.0:%d", port)
	g.Hostnames = slices.Clone(s.Hostnames)
	if s.TargetRef != nil {
		v.add(x.listener(m, &g))
	}
	g.Path = or(s.Path, g.Path)
	g.SSEPath = s.SSEPath
	g.InternalURL = s.InternalURL
	g.AllowedOrigins = slices.Clone(s.AllowedOrigins)
	g.Name = or(s.DisplayName, g.Name)
	g.Description, g.Instructions = s.Description, s.Instructions
	number(&g.Proxies, s.Proxies)
	number(&g.NameLength, s.NameLength)
	number(&g.PageSize, s.PageSize)
	g.Partial = gatewayconfig.Partial(or(strings.ToLower(s.Partial), string(g.Partial)))
	g.Sessionless = or(strings.ToLower(s.Sessionless), g.Sessionless)
	g.AccessLog = or(strings.ToLower(s.AccessLog), g.AccessLog)
	g.ServerStats = s.ServerStats
	from := referrer{v1alpha1.GroupVersion.Group, v1alpha1.KindGateway, m.Namespace}
	v.add(x.sessions(s.Sessions, &g.Sessions, from))
	v.add(x.auth(s.Auth, &g.Auth, from))
	g.Authorization = authorization(s.Authorization)
	limits(s.Limits, &g.Limits)
	if i := s.Integrity; i != nil {
		p := &g.Integrity.Pins
		p.OnChange = gatewayconfig.Reaction(or(strings.ToLower(i.OnChange), string(p.OnChange)))
		p.OnNew = gatewayconfig.Reaction(strings.ToLower(i.OnNew))
		g.Integrity.Scan = gatewayconfig.Reaction(or(strings.ToLower(i.Scan), string(g.Integrity.Scan)))
		if len(i.ScanAllow) > 0 {
			g.Integrity.ScanAllow = map[string][]string{"*": slices.Clone(i.ScanAllow)}
		}
	}
	return &g, v
}

// listener takes what the Gateway says of the endpoint.
func (x *index) listener(m *v1alpha1.MCPGateway, g *gateway.Gateway) *finding {
	at, section := key{Namespace: m.Namespace, Name: m.Spec.TargetRef.Name}, m.Spec.TargetRef.SectionName
	parent := x.gateways[at]
	if parent == nil {
		return unresolved(v1alpha1.ReasonTargetNotFound, "there is no Gateway %s", at)
	}
	hostnames, found := hostnamesOf(parent, section)
	if !found {
		return unresolved(v1alpha1.ReasonTargetNotFound, "Gateway %s has no HTTP listener %s", at, section)
	}
	if len(g.Hostnames) == 0 {
		g.Hostnames = hostnames
	}
	if len(g.Hostnames) == 0 {
		return refused(v1alpha1.ReasonUnsupportedValue, "the listener has no hostname: name the endpoint's in spec.hostnames, as other hosts lead to the servers")
	}
	class := x.class(string(parent.Spec.GatewayClassName))
	if a := m.Spec.Auth; a != nil && len(a.Issuers) > 0 && class.Spec.ControllerName != attach.IstioController {
		return refused(v1alpha1.ReasonUnsupportedValue, "auth.issuers: tokens are verified in an Envoy of the gateway's own, or at a Gateway of Istio's: at others nobody would take forged claims from requests")
	}
	return nil
}

// endpointHostnames are those by which clients find the endpoint of m at its Gateway.
func (x *index) endpointHostnames(m *v1alpha1.MCPGateway) []string {
	parent := x.gateways[key{Namespace: m.Namespace, Name: m.Spec.TargetRef.Name}]
	if len(m.Spec.Hostnames) > 0 || parent == nil {
		return m.Spec.Hostnames
	}
	hostnames, _ := hostnamesOf(parent, m.Spec.TargetRef.SectionName)
	return hostnames
}

// hostnamesOf are those of the HTTP listeners of a Gateway, or of the one that section
// names; found tells whether there is such a listener.
func hostnamesOf(parent *gatewayv1.Gateway, section string) (hostnames []string, found bool) {
	for i := range parent.Spec.Listeners {
		l := &parent.Spec.Listeners[i]
		if section != "" && string(l.Name) != section || l.Protocol != gatewayv1.HTTPProtocolType && l.Protocol != gatewayv1.HTTPSProtocolType {
			continue
		}
		found = true
		if h := l.Hostname; h != nil && !strings.HasPrefix(string(*h), "*") && !slices.Contains(hostnames, string(*h)) {
			hostnames = append(hostnames, string(*h))
		}
	}
	return hostnames, found
}

func (x *index) sessions(from *v1alpha1.Sessions, into *gateway.Sessions, who referrer) *finding {
	if from == nil {
		return nil
	}
	switch from.Store {
	case v1alpha1.StoreToken:
		into.Store = gateway.StoreToken
	case v1alpha1.StoreRedis:
		if from.RedisRef == nil {
			return refused(v1alpha1.ReasonUnsupportedValue, "sessions.redisRef is missing")
		}
		address, wrong := x.secret(*from.RedisRef, who)
		if wrong != nil {
			return wrong
		}
		into.Store = address
		if wrong := x.redis(from.Redis, &into.Redis, who); wrong != nil {
			return wrong
		}
	}
	if from.KeysRef != nil {
		data, wrong := x.secretData(key{Namespace: who.namespace, Name: from.KeysRef.Name}, who)
		if wrong != nil {
			return wrong
		}
		names := sortedNames(data)
		slices.Reverse(names)
		for _, name := range names {
			into.Keys = append(into.Keys, trimBreak(string(data[name])))
		}
	}
	return firstOf(
		duration(&into.IdleTimeout, from.IdleTimeout, "sessions.idleTimeout"),
		duration(&into.Lifetime, from.Lifetime, "sessions.lifetime"))
}

// redis is what there is to say of a Redis besides its address.
func (x *index) redis(from *v1alpha1.Redis, into *gatewayconfig.Redis, who referrer) *finding {
	if from == nil {
		return nil
	}
	into.TLS.ServerName = from.ServerName
	if from.AuthRef == nil {
		return nil
	}
	data, wrong := x.secretData(key{Namespace: who.namespace, Name: from.AuthRef.Name}, who)
	if wrong != nil {
		return wrong
	}
	for name, into := range map[string]*string{
		"username": &into.Username, "password": &into.Password,
		"sentinelUsername": &into.SentinelUsername, "sentinelPassword": &into.SentinelPassword,
	} {
		*into = trimBreak(string(data[name]))
	}
	into.TLS.CA, into.TLS.Certificate = string(data["ca.crt"]), string(data[corev1.TLSCertKey])
	into.TLS.Key = string(data[corev1.TLSPrivateKeyKey])
	return nil
}

func (x *index) auth(from *v1alpha1.Auth, into **gateway.Auth, who referrer) *finding {
	if from == nil {
		return nil
	}
	a := &gateway.Auth{
		Resource: from.Resource, Scopes: slices.Clone(from.Scopes), ScopesSupported: slices.Clone(from.ScopesSupported),
	}
	*into = a
	for i := range from.Issuers {
		f := &from.Issuers[i]
		issuer := gateway.Issuer{Issuer: f.Issuer, JWKS: gateway.JWKS{URL: f.JWKS.URL}, Audiences: slices.Clone(f.Audiences)}
		if ref := f.JWKS.ConfigMapRef; ref != nil {
			text, wrong := x.configMap(key{Namespace: who.namespace, Name: ref.Name}, ref.Key)
			if wrong != nil {
				return wrong
			}
			issuer.JWKS.Text = text
		}
		a.Issuers = append(a.Issuers, issuer)
	}
	wrong := duration(&a.KeysRefresh, from.KeysRefresh, "auth.keysRefresh")
	if from.APIKeys == nil || wrong != nil {
		return wrong
	}
	a.APIKeys.Header = from.APIKeys.Header
	data, wrong := x.secretData(key{Namespace: who.namespace, Name: from.APIKeys.SecretRef.Name}, who)
	for _, name := range sortedNames(data) {
		a.APIKeys.Clients = append(a.APIKeys.Clients, gateway.KeyClient{Name: name, Key: trimBreak(string(data[name]))})
	}
	return wrong
}

func authorization(from *v1alpha1.Authorization) *gatewayconfig.Authorization {
	if from == nil {
		return nil
	}
	a := &gatewayconfig.Authorization{Default: gatewayconfig.Effect(or(strings.ToLower(from.Default), string(gatewayconfig.Deny)))}
	for i := range from.Rules {
		r := &from.Rules[i]
		a.Rules = append(a.Rules, gatewayconfig.AccessRule{
			Name: r.Name, Effect: gatewayconfig.Effect(or(strings.ToLower(r.Effect), string(gatewayconfig.Allow))),
			Servers: slices.Clone(r.Servers), Tools: texts(r.Tools), Prompts: texts(r.Prompts), Resources: texts(r.Resources),
			When: r.When, Scopes: slices.Clone(r.Scopes),
		})
	}
	return a
}

func limits(from *v1alpha1.Limits, into *gateway.Limits) {
	if from == nil {
		return
	}
	for _, of := range []struct {
		into *int64
		from *resource.Quantity
	}{{&into.Body, from.Body}, {&into.Response, from.Response}, {&into.Event, from.Event}, {&into.HeaderSize, from.HeaderSize}} {
		if of.from != nil {
			*of.into = of.from.Value()
		}
	}
	for _, of := range []struct {
		into *int
		from *int32
	}{
		{&into.Headers, from.Headers}, {&into.Depth, from.Depth},
		{&into.Sessions, from.Sessions}, {&into.SessionsPerPrincipal, from.SessionsPerPrincipal}, {&into.SessionsPerAddress, from.SessionsPerAddress},
		{&into.Streams, from.Streams}, {&into.StreamsPerPrincipal, from.StreamsPerPrincipal}, {&into.StreamsPerAddress, from.StreamsPerAddress},
		{&into.Servers, from.Servers}, {&into.ItemsPerServer, from.ItemsPerServer}, {&into.Questions, from.Questions},
		{&into.SSEClients, from.SSEClients}, {&into.Calls, from.Calls}, {&into.WaitingCalls, from.WaitingCalls},
		{&into.PooledSessions, from.PooledSessions}, {&into.PooledSessionsPerServer, from.PooledSessionsPerServer},
		{&into.BridgedSessions, from.BridgedSessions}, {&into.Openings, from.Openings}, {&into.WaitingOpenings, from.WaitingOpenings},
	} {
		number(of.into, of.from)
	}
}

func number(into *int, from *int32) {
	if from != nil {
		*into = int(*from)
	}
}

func duration(into *time.Duration, from *v1alpha1.Duration, at string) *finding {
	if from == nil {
		return nil
	}
	d, err := time.ParseDuration(string(*from))
	if err != nil {
		return refused(v1alpha1.ReasonUnsupportedValue, "spec.%s is no duration", at)
	}
	*into = d
	return nil
}

func firstOf(findings ...*finding) *finding {
	for _, f := range findings {
		if f != nil {
			return f
		}
	}
	return nil
}

// texts keeps nil, which means something else than an empty list.
func texts(from []v1alpha1.Pattern) []string {
	var out []string
	for _, p := range from {
		out = append(out, string(p))
	}
	return out
}
