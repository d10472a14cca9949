package envoyconfig

import (
	"encoding/json"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	modulev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/dynamic_modules/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_modules/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mcp-gateway/controlplane/gateway"
)

// filter is the configuration of the filter in its host.
func filter(g *gateway.Gateway, p Params) (*anypb.Any, error) {
	if err := p.Host.check(); err != nil {
		return nil, err
	}
	f := g.Filter(ClusterInternal)
	if p.Host == HostGolang {
		f.InternalCluster, f.InternalAddress = "", p.BrokerInternal
	}
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode the filter's configuration: %w", err)
	}
	// Envoy hands a Struct to the module as JSON again.
	var config structpb.Struct
	if err := protojson.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("encode the filter's configuration: %w", err)
	}
	if p.Host == HostGolang {
		return golangFilter(&config, p), nil
	}
	return pack(&filterv3.DynamicModuleFilter{
		DynamicModuleConfig: &modulev3.DynamicModuleConfig{
			Name: p.Module,
			// A Go runtime cannot be unloaded: its threads would run on in
			// unmapped memory.
			DoNotClose:       true,
			MetricsNamespace: "mcp_gateway",
		},
		FilterName:   p.Module,
		FilterConfig: pack(&config),
	}), nil
}

// discoveredFilter refers to the filter by ECDS: its configuration can change
// under open streams. Until it has come once, the listener does not listen, so
// that no request ever passes without the filter.
func discoveredFilter(p Params) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: FilterName,
		ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
			ConfigSource: ads(),
			TypeUrls:     []string{p.Host.typeURL()},
		}},
	}
}

func inlineFilter(config *anypb.Any) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: FilterName, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config}}
}

// httpFilters are all of them, around ours. With discovered what may change of the
// others comes by ECDS, too.
func httpFilters(g *gateway.Gateway, p Params, filter *hcmv3.HttpFilter, discovered bool) []*hcmv3.HttpFilter {
	filters := append(authFilters(g, p, discovered), filter)
	return append(append(filters, operatorFilters(g)...), &hcmv3.HttpFilter{
		Name: "envoy.filters.http.router",
		// No x-envoy-* header of Envoy reaches a server or a client.
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&routerv3.Router{
			SuppressEnvoyHeaders: true,
			DynamicStats:         wrapperspb.Bool(g.ServerStats),
		})},
	})
}

// ads is the source of everything in xDS mode: one ordered stream.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}
