package envoyconfig

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	headersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	envoymatcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// The filters in front of ours mark who sends a request, and refuse nobody: ours
// does, see package filter.

// Names of the filters that verify tokens, and of their resources.
const (
	TokenFilterName   = "mcp-tokens"
	failureFilterName = "mcp-token-failures"
)

const (
	// keysTimeout bounds a fetch of an issuer's keys, which are fetched again in the
	// background; keysAgain is when a fetch that failed is repeated.
	keysTimeout = 5 * time.Second
	keysAgain   = 2 * time.Second
	// verifiedTokens is how many tokens of an issuer each worker keeps as verified:
	// the signature of one that comes again is not computed again. They take some
	// 8 KB each; longer ones are verified each time.
	verifiedTokens = 4096
	longestToken   = 8 << 10
)

// early takes from a client's request what only the gateway's own filters may say, and
// what only a proxy in front may, if there is none, before anybody sees it. Also where
// nobody has to prove who it is: when that comes to be wanted, our filter learns it at
// once, but connections that are open stay with the listener that there was, which
// verifies nothing.
func early(g *gateway.Gateway) []*corev3.TypedExtensionConfig {
	remove := &earlyv3.HeaderMutation{Mutations: []*mutationv3.HeaderMutation{without(mcp.HeaderOwnedPrefix)}}
	if g.Proxies == 0 {
		remove.Mutations = append(remove.Mutations, without("x-forwarded-"))
	}
	return []*corev3.TypedExtensionConfig{{
		Name: "envoy.http.early_header_mutation.header_mutation", TypedConfig: pack(remove),
	}}
}

// without removes the headers whose names begin so.
func without(prefix string) *mutationv3.HeaderMutation {
	names := &envoymatcherv3.StringMatcher{MatchPattern: &envoymatcherv3.StringMatcher_Prefix{Prefix: prefix}}
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
		RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: names},
	}}
}

// tokens verifies the tokens of all issuers. Envoy's cache of verified tokens is that of
// a provider, and knows nothing of keys: so a provider has another name when its keys
// are others, and begins anew, keys and all.
func tokens(g *gateway.Gateway, p Params) *jwtv3.JwtAuthentication {
	config := &jwtv3.JwtAuthentication{
		Providers: map[string]*jwtv3.JwtProvider{},
		// What web pages ask first brings no token.
		BypassCorsPreflight: true,
	}
	either := &jwtv3.JwtRequirementOrList{}
	for i := range g.Auth.Issuers {
		issuer, name := &g.Auth.Issuers[i], provider(i)
		provider := tokensOf(issuer, name, g.Auth.KeysEvery())
		if digest := p.Keys[issuer.JWKS.URL]; digest != "" {
			name += "-" + digest
		}
		config.Providers[name] = provider
		either.Requirements = append(either.Requirements, &jwtv3.JwtRequirement{
			RequiresType: &jwtv3.JwtRequirement_ProviderName{ProviderName: name},
		})
	}
	either.Requirements = append(either.Requirements, &jwtv3.JwtRequirement{
		RequiresType: &jwtv3.JwtRequirement_AllowMissingOrFailed{AllowMissingOrFailed: &emptypb.Empty{}},
	})
	config.Rules = []*jwtv3.RequirementRule{{
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		RequirementType: &jwtv3.RequirementRule_Requires{Requires: &jwtv3.JwtRequirement{
			RequiresType: &jwtv3.JwtRequirement_RequiresAny{RequiresAny: either},
		}},
	}}
	return config
}

func provider(i int) string { return "issuer-" + strconv.Itoa(i) }

func tokensOf(i *gateway.Issuer, name string, keysEvery time.Duration) *jwtv3.JwtProvider {
	p := &jwtv3.JwtProvider{
		Issuer: i.Issuer,
		// Empty where it is the endpoint itself, which depends on the path: then our
		// filter checks it alone.
		Audiences:         i.Audiences,
		RequireExpiration: true,
		ClockSkewSeconds:  uint32(gatewayconfig.ClockSkew / time.Second),
		// Nowhere else: a token in a URL ends up in logs (2025-11-25,
		// basic/authorization, Access Token Usage). Schemes know no case: what Envoy
		// calls a prefix it looks for anywhere, so this is both usual spellings, and
		// half the work of a look for each. Our filter knows one scheme only.
		FromHeaders: []*jwtv3.JwtHeader{{Name: "authorization", ValuePrefix: "earer "}},
		// The broker needs it for what it sends on a client's behalf; no server gets it.
		Forward:                true,
		ForwardPayloadHeader:   mcp.HeaderClaims,
		FailedStatusInMetadata: name,
		JwtCacheConfig:         &jwtv3.JwtCacheConfig{JwtCacheSize: verifiedTokens, JwtMaxTokenSize: longestToken},
	}
	if i.JWKS.URL == "" {
		p.JwksSourceSpecifier = &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: i.JWKS.Text},
		}}
		return p
	}
	p.JwksSourceSpecifier = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: &jwtv3.RemoteJwks{
		HttpUri: &corev3.HttpUri{
			Uri: i.JWKS.URL, Timeout: durationpb.New(keysTimeout),
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: keysCluster(i.JWKS.URL)},
		},
		CacheDuration: durationpb.New(keysEvery),
		// An issuer that is away keeps no listener from opening.
		AsyncFetch: &jwtv3.JwksAsyncFetch{FastListener: true, FailedRefetchDuration: durationpb.New(keysAgain)},
	}}
	return p
}

// keysCluster names the cluster of the host that has an issuer's keys.
func keysCluster(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return "" // Validate has seen to it
	}
	return "mcp-keys-" + u.Scheme + "-" + strings.ToLower(u.Host)
}

// keysClusters are those of all issuers, one for each host.
func keysClusters(g *gateway.Gateway, p Params) ([]*clusterv3.Cluster, error) {
	var list []*clusterv3.Cluster
	if g.Auth == nil {
		return nil, nil
	}
	made := map[string]bool{}
	for i := range g.Auth.Issuers {
		at := g.Auth.Issuers[i].JWKS.URL
		name := keysCluster(at)
		if at == "" || made[name] {
			continue
		}
		made[name] = true
		c := newCluster(name, keysTimeout, keysStreams, http1(serverKeep))
		if err := remote(c, at, inFile(p.TrustedCA)); err != nil {
			return nil, fmt.Errorf("issuer %s: its jwks.url %w", g.Auth.Issuers[i].Issuer, err)
		}
		list = append(list, c)
	}
	return list, nil
}

// keysStreams is how many fetches of keys there may be at one time.
const keysStreams = 64

// authFilters are those in front of ours. With discovered, what depends on the
// issuers comes by ECDS, so that another one replaces no listener.
func authFilters(g *gateway.Gateway, p Params, discovered bool) []*hcmv3.HttpFilter {
	var list []*hcmv3.HttpFilter
	if len(g.AllowedOrigins) > 0 {
		list = append(list, &hcmv3.HttpFilter{
			Name: corsName, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&corsv3.Cors{})},
		})
	}
	for _, e := range tokenFilters(g, p) {
		f := &hcmv3.HttpFilter{Name: e.Name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: e.TypedConfig}}
		if discovered {
			f.ConfigType = &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
				ConfigSource: ads(), TypeUrls: []string{e.TypedConfig.TypeUrl},
			}}
		}
		list = append(list, f)
	}
	return list
}

// verifies reports whether there are tokens to verify.
func verifies(g *gateway.Gateway) bool { return g.Auth != nil && len(g.Auth.Issuers) > 0 }

// tokenFilters verify tokens; nil where there are none.
func tokenFilters(g *gateway.Gateway, p Params) []*corev3.TypedExtensionConfig {
	if !verifies(g) {
		return nil
	}
	list := []*corev3.TypedExtensionConfig{{Name: TokenFilterName, TypedConfig: pack(tokens(g, p))}}
	if m := failures(g); len(m.RequestMutations) > 0 {
		list = append(list, failureFilter(m))
	}
	return list
}

func failureFilter(m *headersv3.Mutations) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: failureFilterName, TypedConfig: pack(&headersv3.HeaderMutation{Mutations: m})}
}

// failures tell our filter why a token was not accepted: one that could not be verified
// is no token that is bad. Keys that are not fetched are never away.
func failures(g *gateway.Gateway) *headersv3.Mutations {
	m := &headersv3.Mutations{}
	for i := range g.Auth.Issuers {
		if g.Auth.Issuers[i].JWKS.URL == "" {
			continue
		}
		m.RequestMutations = append(m.RequestMutations, &mutationv3.HeaderMutation{
			Action: &mutationv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
				// Nothing is added where there was no failure.
				Header: &corev3.HeaderValue{
					Key: mcp.HeaderFailed, Value: "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:" + provider(i) + ":message)%",
				},
				AppendAction: corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
			}},
		})
	}
	return m
}

const corsName = "envoy.filters.http.cors"

// Of answers to web pages: what they may send, and what they may read. Arguments
// that are mirrored have any name, hence the asterisk, which stands for no
// Authorization (Fetch Standard, CORS protocol and HTTP caches).
const (
	// CORSExposed are headers that pages may read.
	CORSExposed = "mcp-session-id, mcp-protocol-version, www-authenticate, retry-after"
	corsHeaders = "authorization, content-type, accept, mcp-session-id, mcp-protocol-version, mcp-method, mcp-name, last-event-id, *"
	corsMethods = "GET, POST, DELETE"
	corsAge     = "600" // seconds
)

// CORSHeaders are headers that pages may send to g's endpoint.
func CORSHeaders(g *gateway.Gateway) string {
	if header := g.Auth.KeyHeader(); header != "" {
		return header + ", " + corsHeaders
	}
	return corsHeaders
}

// cors has browsers let web pages of the allowed origins use the endpoint. The
// filter refuses all other origins, whatever browsers would do.
func cors(g *gateway.Gateway) map[string]*anypb.Any {
	if len(g.AllowedOrigins) == 0 {
		return nil
	}
	policy := &corsv3.CorsPolicy{
		AllowMethods: corsMethods, AllowHeaders: CORSHeaders(g), ExposeHeaders: CORSExposed, MaxAge: corsAge,
	}
	for _, origin := range g.AllowedOrigins {
		policy.AllowOriginStringMatch = append(policy.AllowOriginStringMatch, &envoymatcherv3.StringMatcher{
			MatchPattern: &envoymatcherv3.StringMatcher_Exact{Exact: origin},
		})
	}
	return map[string]*anypb.Any{corsName: pack(policy)}
}
