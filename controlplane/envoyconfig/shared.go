package envoyconfig

import (
	"regexp"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	headersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/mcp"
)

// SharedTokens verify tokens of the endpoint's in an Envoy that has traffic of others.
type SharedTokens struct {
	// Forged takes from all requests what only the Filters may say. It is the same for
	// all gateways and does not look at whom a request is for: no host, path or moment
	// of a change is a way around it.
	Forged *corev3.TypedExtensionConfig
	// Filters are to stand between that and the gateway's own, in this order. They are
	// there without issuers, too, and do nothing then: when issuers come or go, the
	// gateway's filter learns it at once, but connections that are open stay with the
	// listener that there was.
	Filters  []*corev3.TypedExtensionConfig
	Clusters []*clusterv3.Cluster
}

// TokensShared makes them of g's issuers.
func TokensShared(g *gateway.Gateway, p Params) (*SharedTokens, error) {
	p = p.withDefaults()
	without := &headersv3.Mutations{}
	for _, name := range []string{mcp.HeaderClaims, mcp.HeaderFailed} {
		without.RequestMutations = append(without.RequestMutations, &mutationv3.HeaderMutation{
			Action: &mutationv3.HeaderMutation_Remove{Remove: name},
		})
	}
	out := &SharedTokens{Forged: &corev3.TypedExtensionConfig{
		Name: forgedFilterName, TypedConfig: pack(&headersv3.HeaderMutation{Mutations: without}),
	}}
	config, why := &jwtv3.JwtAuthentication{}, &headersv3.Mutations{}
	if verifies(g) {
		config, why = tokensShared(g, p), failures(g)
	}
	out.Filters = []*corev3.TypedExtensionConfig{{Name: TokenFilterName, TypedConfig: pack(config)}, failureFilter(why)}
	var err error
	out.Clusters, err = keysClusters(g, p)
	return out, err
}

// tokensShared verifies tokens of requests to g. No token is kept as verified: nobody
// would tell that Envoy when an issuer withdraws a key.
func tokensShared(g *gateway.Gateway, p Params) *jwtv3.JwtAuthentication {
	config := tokens(g, p)
	for _, provider := range config.Providers {
		provider.JwtCacheConfig = nil
	}
	requirement := config.Rules[0].RequirementType
	config.Rules = nil
	for _, path := range []string{g.Path, g.StreamPath()} {
		if path != "" {
			config.Rules = append(config.Rules, &jwtv3.RequirementRule{Match: endpointOf(g, path), RequirementType: requirement})
		}
	}
	return config
}

// endpointOf matches requests for g's hostnames, with or without a port, at a path and
// below it. What it leaves out of the endpoint's has no claims, and is refused.
func endpointOf(g *gateway.Gateway, path string) *routev3.RouteMatch {
	var hosts []string
	for _, h := range g.Hostnames {
		hosts = append(hosts, regexp.QuoteMeta(h))
	}
	authority := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{
		Regex: "(?i)(" + strings.Join(hosts, "|") + ")(:[0-9]*)?",
	}}}
	match := &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: path},
		Headers: []*routev3.HeaderMatcher{{
			Name: ":authority", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: authority},
		}},
	}
	if strings.HasSuffix(path, "/") { // Envoy has no such prefix by elements
		match.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: path}
	}
	return match
}

const forgedFilterName = "mcp-forged-claims"
